"""`/webhooks`: who is notified of which events."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from app.api.deliveries import DeliveryPage, DeliveryQuery, DeliveryReport, page_of
from app.api.dependencies import Caller, Joined
from app.api.raising import Raises
from app.errors import (
    DomainNotFound,
    EventForgotten,
    TooManyWebhooks,
    UrlRefused,
    WebhookDisabled,
    WebhookNotFound,
)
from app.identifiers import WEBHOOK_PATTERN
from app.moment import Moment
from app.storage.delivery_rows import DeliveryFilter
from app.webhooks import Endpoint, Signature

router = APIRouter(prefix="/webhooks", tags=["webhooks"])

WebhookId = Annotated[
    str,
    Path(pattern=WEBHOOK_PATTERN, examples=["whk_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"]),
    Raises(WebhookNotFound),
]
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


class WebhookReport(BaseModel):
    """A webhook."""

    id: str = Field(examples=["whk_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])
    url: str = Field(examples=["https://shop.example.com/hooks"])
    event_types: list[str] = Field(
        description="Types of events that are sent; empty: all.", examples=[["result.created"]]
    )
    domains: list[str] = Field(
        description="Domains whose events are sent; empty: all.", examples=[["flowers"]]
    )
    description: str | None = Field(examples=["the shop's inbox"])
    rate_limit: float | None = Field(
        description="Maximum deliveries per second; null: no limit.", examples=[None]
    )
    headers: dict[str, str] = Field(
        description="Headers that are sent; their values are not shown.",
        examples=[{"Authorization": "***"}],
    )
    caller: str = Field(examples=["anonymous"])
    status: Literal["enabled", "disabled"] = Field(examples=["enabled"])
    reason: str | None = Field(description="Why it is disabled.", examples=[None])
    failing_since: datetime | None = Field(
        description="First failure since the last success.", examples=[None]
    )
    disabled_at: datetime | None = Field(examples=[None])
    public_key: str | None = Field(
        description="`whpk_...`, which verifies `v1a` signatures.", examples=[None]
    )
    old_secret_until: datetime | None = Field(
        description="Until then, deliveries also carry a signature by the previous secret.",
        examples=[None],
    )
    readable: bool = Field(
        description="False: the key that encrypted its secret and headers is missing. Nothing is "
        "sent until the key is back, or secret and headers are replaced.",
        examples=[True],
    )
    created_at: datetime = Field(examples=["2026-01-02T03:04:05.678Z"])
    changed_at: datetime = Field(examples=["2026-01-02T03:04:05.678Z"])

    @classmethod
    def of(cls, endpoint: Endpoint) -> Self:
        return cls(**_told(endpoint))


class WebhookWithSecret(WebhookReport):
    """A webhook, and its new secret, which is shown only this once."""

    secret: str = Field(examples=["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="])

    @classmethod
    def with_secret(cls, endpoint: Endpoint, secret: str) -> Self:
        return cls(**_told(endpoint), secret=secret)


class WebhookList(BaseModel):
    """Webhooks, the oldest first."""

    webhooks: list[WebhookReport]


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


class Replayed(BaseModel):
    deliveries: int = Field(description="Deliveries that are sent again.", examples=[12])


@router.post("", status_code=201)
@Raises(DomainNotFound, TooManyWebhooks, UrlRefused)
async def create_webhook(
    body: WebhookRequest, response: Response, parts: Joined, caller: Caller
) -> WebhookWithSecret:
    """Create a webhook, which is sent events from now on; where several processes share the work,
    by all of them within two seconds. The secret that verifies events is in this response only."""
    given = body.secret.get_secret_value() if body.secret else None
    values = body.model_dump(exclude={"secret", "signature"})
    endpoint, secret = await parts.webhooks.create(
        caller.name, values, secret=given, signature=body.signature, by=caller.by
    )
    response.headers["Location"] = f"/webhooks/{endpoint.row.id}"
    return WebhookWithSecret.with_secret(endpoint, secret)


@router.get("")
async def list_webhooks(parts: Joined, caller: Caller) -> WebhookList:
    """List all webhooks."""
    found = await parts.webhooks.all(caller=caller.sees)
    return WebhookList(webhooks=[WebhookReport.of(each) for each in found])


@router.get("/{webhook_id}")
async def get_webhook(webhook_id: WebhookId, parts: Joined, caller: Caller) -> WebhookReport:
    """Get one webhook, and whether it fails."""
    return WebhookReport.of(await parts.webhooks.get(webhook_id, caller=caller.sees))


@router.patch("/{webhook_id}")
@Raises(DomainNotFound, UrlRefused)
async def change_webhook(
    webhook_id: WebhookId, change: WebhookChange, parts: Joined, caller: Caller
) -> WebhookReport:
    """Change some fields of a webhook. `headers` are replaced as a whole."""
    changed = await parts.webhooks.change(
        webhook_id, change.values, caller=caller.sees, by=caller.by
    )
    return WebhookReport.of(changed)


@router.delete("/{webhook_id}", status_code=204)
async def delete_webhook(webhook_id: WebhookId, parts: Joined, caller: Caller) -> None:
    """Delete a webhook, with its past and pending deliveries."""
    await parts.deliveries.delete(webhook_id, caller=caller.sees, by=caller.by)


@router.post("/{webhook_id}/rotate")
async def rotate_secret(
    webhook_id: WebhookId, parts: Joined, caller: Caller, body: Rotation | None = None
) -> WebhookWithSecret:
    """Sign with a new secret; for 24 hours deliveries also carry a signature by the old one."""
    given = body.secret.get_secret_value() if body and body.secret else None
    endpoint, secret = await parts.webhooks.rotate(
        webhook_id, given, caller=caller.sees, by=caller.by
    )
    return WebhookWithSecret.with_secret(endpoint, secret)


@router.post("/{webhook_id}/test")
@Raises(EventForgotten)
async def test_webhook(webhook_id: WebhookId, parts: Joined, caller: Caller) -> DeliveryReport:
    """Send a `ping` now, once, and return what came of it; works for a disabled webhook, too."""
    return DeliveryReport.of(await parts.deliveries.test(webhook_id, caller=caller.sees))


@router.post("/{webhook_id}/enable")
@Raises(WebhookDisabled)
async def enable_webhook(
    webhook_id: WebhookId, parts: Joined, caller: Caller, body: Enabling | None = None
) -> WebhookReport:
    """Enable a webhook again, and send what it missed if that is requested."""
    endpoint = await parts.webhooks.enable(webhook_id, caller=caller.sees, by=caller.by)
    if body is not None and body.replay_since is not None:
        await parts.deliveries.replay(
            webhook_id, since=body.replay_since, until=None, delivered=False, caller=caller.sees
        )
    return WebhookReport.of(endpoint)


@router.get("/{webhook_id}/deliveries")
async def list_deliveries(
    webhook_id: WebhookId,
    query: Annotated[DeliveryQuery, Query()],
    parts: Joined,
    caller: Caller,
) -> DeliveryPage:
    """List past and pending deliveries, the newest first, with every attempt."""
    await parts.webhooks.get(webhook_id, caller=caller.sees)
    wanted = DeliveryFilter(caller.sees, webhook_id, query.subject, query.state)
    return await page_of(parts, wanted, query)


@router.post("/{webhook_id}/replay", status_code=202)
@Raises(WebhookDisabled)
async def replay(
    webhook_id: WebhookId, query: Annotated[Replay, Query()], parts: Joined, caller: Caller
) -> Replayed:
    """Send again what failed or was missed, each under its original id."""
    count = await parts.deliveries.replay(
        webhook_id,
        since=query.since,
        until=query.until,
        delivered=query.delivered,
        caller=caller.sees,
    )
    return Replayed(deliveries=count)


def _told(endpoint: Endpoint) -> dict[str, Any]:
    row = endpoint.row
    own = {"headers", "public_key", "old_secret_until", "readable"}
    same = WebhookReport.model_fields.keys() - own
    return {
        **{name: getattr(row, name) for name in same},
        "headers": dict.fromkeys(endpoint.header_names, "***"),
        "public_key": endpoint.public_key,
        "old_secret_until": endpoint.signs_on_until,
        "readable": endpoint.readable,
    }
