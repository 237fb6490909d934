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
        description="Name of the batch, for people.",
        examples=["March returns"],
    )
    provider: str | None = Field(
        None,
        max_length=64,
        pattern=r"^[^\x00]*$",
        description="Provider to ask instead of the domain's providers.",
        examples=["local"],
    )
    lane: Lane = Field(
        "batch", description="`interactive`: as urgent as single requests.", examples=["batch"]
    )
    batch_size: int | None = Field(
        None,
        ge=10,
        le=100,
        description="Items committed together; unset: the service's default.",
        examples=[10],
    )
    on_error: Literal["continue", "stop"] = Field(
        "continue",
        description="`stop`: the first item that fails ends the batch.",
        examples=["continue"],
    )
    deadline: Moment | None = Field(
        None, description="Items that are not done by then are not processed.", examples=[None]
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
        description="URL that is notified when the batch is completed, paused, failed or "
        "cancelled, signed with the service's WEBHOOK_SECRET: docs/webhooks.md.",
        examples=[None],
    )
    budget_usd: Amount | None = Field(
        None,
        description="US dollars that the batch may cost: when they are spent it is paused, and can "
        "be given more.",
        examples=[25],
    )
    dry_run: bool = Field(
        default=False,
        description="Only estimate the cost: nothing is stored, and nothing is paid for.",
        examples=[False],
    )
