"""Models of reports on webhooks."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from app.webhooks import Endpoint


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


class Replayed(BaseModel):
    deliveries: int = Field(description="Deliveries that are sent again.", examples=[12])


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
