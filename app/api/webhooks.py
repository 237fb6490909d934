"""`/webhooks`: who is notified of which events."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from app.api.deliveries import DeliveryPage, DeliveryQuery, DeliveryReport, page_of
from app.api.dependencies import Caller, Joined
from app.api.raising import Raises
from app.api.webhook_reports import Replayed, WebhookList, WebhookReport, WebhookWithSecret
from app.api.webhook_requests import Enabling, Replay, Rotation, WebhookChange, WebhookRequest
from app.errors import (
    DomainNotFound,
    EventForgotten,
    TooManyWebhooks,
    UrlRefused,
    WebhookDisabled,
    WebhookNotFound,
)
from app.identifiers import WEBHOOK_PATTERN
from app.storage.delivery_rows import DeliveryFilter

router = APIRouter(prefix="/webhooks", tags=["webhooks"])

WebhookId = Annotated[
    str,
    Path(pattern=WEBHOOK_PATTERN, examples=["whk_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"]),
    Raises(WebhookNotFound),
]


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
