"""A simulator's configuration: at its start, and as changed while it runs."""

import math
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from app.simulator.models import NAMES, Model, find_model

WIDEST = math.exp(1.6448536269514722**2 / 2)
"""The largest possible ratio of a lognormal distribution's 95th percentile to its mean."""

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=3_600)]

FaultKind = Literal[
    "error_500",
    "empty_500",
    "html_502",
    "unavailable_503",
    "timeout_408",
    "capacity_429",
    "reset",
    "slow_body",
    "silence",
    "garbage",
    "content_filter",
    "output_filter",
    "refusal",
]


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Latency(_Told):
    """How long answers take: a floor and a lognormal rest. All zero: none."""

    mean_s: Seconds = Field(1.1, description="Mean of what the model takes.")
    p95_s: Seconds = Field(2.2, description="Its 95th percentile.")
    floor_s: Seconds = Field(0.3, description="No answer comes sooner.")
    network_min_s: Seconds = Field(0.01, description="Each way through the network, at least,")
    network_max_s: Seconds = Field(0.03, description="and at most; evenly between.")

    @model_validator(mode="after")
    def _is_lognormal(self) -> Self:
        mean, p95 = self.mean_s - self.floor_s, self.p95_s - self.floor_s
        if mean < 0 or p95 < mean or p95 > mean * WIDEST:
            raise ValueError(
                f"needs floor_s <= mean_s <= p95_s, and p95_s at most {WIDEST:.1f} times as far "
                "above floor_s as mean_s is"
            )
        if self.network_max_s < self.network_min_s:
            raise ValueError("needs network_min_s <= network_max_s")
        return self

    @classmethod
    def none(cls) -> Self:
        """Answers at once."""
        return cls(mean_s=0, p95_s=0, floor_s=0, network_min_s=0, network_max_s=0)


class Fault(_Told):
    """One kind of mishap, for the `next` calls that get in, or for a `share` of them."""

    kind: FaultKind = Field(
        description="`error_500`, `empty_500`, `html_502`, `unavailable_503`, `timeout_408`, "
        "`capacity_429`: errors of the service. `reset`: the connection breaks. `slow_body`: the "
        "answer drips over `seconds`. `silence`: nothing comes for `seconds`, then 408. `garbage`: "
        "200 with nonsense. `content_filter` (400), `output_filter`, `refusal` (200): a `share` is "
        "one of the pictures, so that a picture meets the same fate again."
    )
    next: int | None = Field(None, ge=1, description="How many calls.")
    share: float | None = Field(None, ge=0, le=1, description="Of the calls.")
    seconds: Seconds = Field(30, description="Of `slow_body` and `silence`.")

    @model_validator(mode="after")
    def _has_extent(self) -> Self:
        if (self.next is None) == (self.share is None):
            raise ValueError("give `next` or `share`")
        return self


class Behaviour(_Told):
    """Of one deployment. On order only what is given changes; `faults` and `latency` are replaced
    as a whole."""

    rpm: int = Field(600, ge=0, description="Requests per minute; 0: none get in.")
    tpm: int = Field(100_000, ge=0, description="Tokens per minute; 0: none get in.")
    window_s: Literal[1, 10] = Field(10, description="Length of the windows that hold `rpm`.")
    images_count: bool = Field(
        True, description="Whether pictures count in `tpm` when a call arrives; nobody says so."
    )
    tenant_share: float = Field(
        0, ge=0, lt=1, description="Share of the quota that somebody else takes, evenly over time."
    )
    clock_skew_s: float = Field(0, description="How far the windows' clock is ahead of this one.")
    rate_limit_headers: Literal["exact", "missing", "absurd"] = Field(
        "exact", description="`absurd`: -1 remaining, and a day to wait."
    )
    latency: Latency = Latency()
    faults: tuple[Fault, ...] = Field((), description="The first that strikes is the one.")
    down: bool = Field(False, description="503 for every call, counted against no quota.")
    refuses: frozenset[str] = Field(
        frozenset(), description="Parameters that it answers with 400 `unsupported_parameter`."
    )
    top_logprobs: int = Field(
        20, ge=0, le=20, description="At most so many come, however many were asked for."
    )
    tokenisation: Literal["plain", "split", "open", "closed", "mixed"] = Field(
        "plain",
        description="How the answer's quotes are cut: in one token with other signs, each alone, "
        "the value with its opening or with its closing quote, or one of these by picture.",
    )
    tell_image_tokens: bool = Field(
        False, description="`usage.prompt_tokens_details` has `image_tokens` and `text_tokens`."
    )
    accuracy: Share | None = Field(
        None, description="Share of right answers to a declared truth; null: the local model looks."
    )
    calibration: float = Field(
        1,
        gt=0,
        le=10,
        description="1: what is said with p is right with p. Below, it is surer than it should be "
        "(its logits are divided by this), above less sure.",
    )
    position_bias: Share = Field(
        0, description="Share of the probability that moves to the class that is offered first."
    )
    sampling: bool = Field(
        False,
        description="Answers are drawn, as often as is said of them, unless `temperature` is 0; "
        "else the most probable one is given.",
    )


class DeploymentConfig(Behaviour):
    """
    Attributes:
        name: by which it is called.
        model: `gpt-4o` or another name of `app.simulator.models`, with or without its version.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    model: str = "gpt-4o"

    @field_validator("model")
    @classmethod
    def _is_known(cls, value: str) -> str:
        try:
            find_model(value)
        except KeyError:
            raise ValueError(f"{value!r} is none of {', '.join(NAMES)}") from None
        return value

    @property
    def simulated(self) -> Model:
        return find_model(self.model)

    def changed(self, by: Behaviour) -> Self:
        """A copy with the fields that `by` sets."""
        return self.model_copy(update={name: getattr(by, name) for name in by.model_fields_set})


class SimulatorConfig(_Told):
    """
    Attributes:
        deployments: by different names.
        key: the one that is accepted; None: any, but none is not.
        seed: the same seed gives the same answers to the same pictures.
        truth: from the SHA-256 (hex) of a picture as it is received to its class.
    """

    deployments: tuple[DeploymentConfig, ...] = (DeploymentConfig(name="gpt-4o"),)
    key: str | None = None
    seed: int = 0
    truth: Mapping[str, str] = Field(default_factory=dict)

    @field_validator("deployments")
    @classmethod
    def _are_different(cls, value: tuple[DeploymentConfig, ...]) -> tuple[DeploymentConfig, ...]:
        if len({each.name for each in value}) < len(value):
            raise ValueError("two deployments have the same name")
        return value
