"""Models of requests about webhooks."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from app.moment import Moment
from app.webhooks import Signature

Url = Annotated[
    str,
    Field(
        max_length=8_192,
        description="Where events are sent: https, and on the public internet unless EGRESS_ALLOW "
        "names it.",
        examples=["https://shop.example.com/hooks"],
    ),
]
EventTypes = Annotated[
    list[str],
    Field(
        max_length=50,
        description="Types of events to send; empty: all.",
        examples=[["result.created", "batch.completed"]],
    ),
]
Domains = Annotated[
    list[str],
    Field(
        max_length=200,
        description="Domains to send events of; empty: all. Events of no domain are always sent.",
        examples=[["flowers"]],
    ),
]
Description = Annotated[
    str | None,
    Field(
        max_length=500,
        pattern=r"^[^\x00]*$",
        description="Free text for people.",
        examples=["the shop's inbox"],
    ),
]
RateLimit = Annotated[
    float | None,
    Field(
        ge=0.01,
        le=10_000,
        description="Maximum deliveries per second; null: no limit.",
        examples=[50],
    ),
]
HeadersToSend = Annotated[
    dict[str, str] | None,
    Field(
        description="Headers to send with every delivery; stored encrypted, and never shown again.",
        examples=[{"Authorization": "Bearer for-the-receiver"}],
    ),
]
GivenSecret = Annotated[
    SecretStr | None,
    Field(
        description="`whsec_` and 24 to 64 bytes in base64, or `whsk_` and the seed of an ed25519 "
        "key; generated if unset.",
        examples=[None],
    ),
]


class WebhookRequest(BaseModel):
    """A new webhook."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    url: Url
    event_types: EventTypes = []
    domains: Domains = []
    description: Description = None
    rate_limit: RateLimit = None
    headers: HeadersToSend = None
    secret: GivenSecret = None
    signature: Signature | None = Field(
        None,
        description="`v1`: HMAC-SHA256 with a shared secret; `v1a`: ed25519, where receivers know "
        "only the public key. Unset: as the secret implies, else `v1`.",
        examples=["v1"],
    )


class WebhookChange(BaseModel):
    """What to change; the rest stays."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    url: Url | None = None
    event_types: EventTypes | None = None
    domains: Domains | None = None
    description: Description = None
    rate_limit: RateLimit = None
    headers: HeadersToSend = None

    @property
    def values(self) -> dict[str, Any]:
        """The fields that were given; null for a field that can't be null changes nothing."""
        given = self.model_dump(exclude_unset=True)
        never_null = ("url", "event_types", "domains")
        return {
            name: value
            for name, value in given.items()
            if value is not None or name not in never_null
        }


class Rotation(BaseModel):
    """The next secret."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    secret: GivenSecret = None


class Replay(BaseModel):
    """What is to be sent again."""

    model_config = ConfigDict(extra="forbid")
    since: Moment = Field(
        description="Deliveries created then or later.", examples=["2026-01-02T03:00:00Z"]
    )
    until: Moment | None = Field(
        None, description="And before this; unset: until now.", examples=[None]
    )
    delivered: bool = Field(
        default=False,
        description="True: also those that were delivered; else only those that failed or were "
        "missed.",
    )


class Enabling(BaseModel):
    """What to send when a webhook is enabled again."""

    model_config = ConfigDict(extra="forbid")
    replay_since: Moment | None = Field(
        None,
        description="Send again what failed or was missed since then; unset: nothing.",
        examples=[None],
    )
