"""The options that a batch may be sent with."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.batches.manifest import EXPECTED
from app.budget import Amount
from app.moment import Moment
from app.traffic import Lane


class BatchOptions(BaseModel):
    """What goes with a batch."""

    model_config = ConfigDict(extra="forbid")
    domain: str = Field(description="Name of the domain.", examples=["flowers"])
    name: str | None = Field(
        None,
        max_length=200,
        pattern=r"^[^\x00]*$",
        description="For people.",
        examples=["March returns"],
    )
    provider: str | None = Field(
        None,
        max_length=64,
        pattern=r"^[^\x00]*$",
        description="Who shall answer instead of the domain's providers.",
        examples=["local"],
    )
    lane: Lane = Field(
        "batch", description="`interactive`: as urgent as requests.", examples=["batch"]
    )
    batch_size: int | None = Field(
        None,
        ge=10,
        le=100,
        description="Items committed together; unset: the service's own.",
        examples=[10],
    )
    on_error: Literal["continue", "stop"] = Field(
        "continue", description="`stop`: the first item that fails ends it.", examples=["continue"]
    )
    deadline: Moment | None = Field(
        None, description="What is not done by then is not done at all.", examples=[None]
    )
    expected_column: str = Field(
        EXPECTED,
        max_length=100,
        description="Column of a CSV that holds the true class.",
        examples=["expected"],
    )
    callback_url: str | None = Field(
        None,
        max_length=8_192,
        description="Told when the batch is completed, paused, failed or cancelled, signed with "
        "the service's WEBHOOK_SECRET: docs/webhooks.md.",
        examples=[None],
    )
    budget_usd: Amount | None = Field(
        None,
        description="US dollars that it may cost: then it is paused, and can be given more.",
        examples=[25],
    )
    dry_run: bool = Field(
        default=False,
        description="Only say what it would cost: nothing is stored, no provider is asked.",
        examples=[False],
    )
