"""Webhooks in the database. All SQL for them is here; their deliveries are in `deliveries`."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

import sqlalchemy as sa

from app.errors import SecretUnreadable, WebhookNotFound
from app.storage.audit import SERVICE, By, note
from app.storage.database import Database
from app.storage.event_types import EndpointDisabled
from app.storage.events import endpoint_disabled
from app.storage.installation import change_chosen
from app.storage.outbox import Outbox, origin
from app.storage.seen_by import seen_by
from app.storage.tables import webhooks

WebhookStatus = Literal["enabled", "disabled"]
Sealed = Literal["secrets", "headers"]
"""Columns with encrypted values."""


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """Where events are sent.

    Attributes:
        kind: `callback`: for all callbacks of a caller to the origin in `url`; created
            automatically, and never changed by anyone.
        secrets, headers: encrypted. A callback has none of its own.
        rate_limit: deliveries a second; None: not limited.
        failing_since: the first failure after the last success.
    """

    id: str
    kind: Literal["endpoint", "callback"]
    caller: str
    url: str
    status: WebhookStatus
    created_at: datetime
    changed_at: datetime
    event_types: list[str] = field(default_factory=list)
    domains: list[str] = field(default_factory=list)
    description: str | None = None
    rate_limit: float | None = None
    secrets: str | None = None
    headers: str | None = None
    reason: str | None = None
    failing_since: datetime | None = None
    disabled_at: datetime | None = None


class WebhookRepository:
    """`caller` None means an operator, who sees all webhooks; to other callers, only their own
    exist."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def create(self, webhook: WebhookRow, *, by: By) -> None:
        row = asdict(webhook)

        def unit(connection: sa.Connection) -> None:
            connection.execute(sa.insert(webhooks), row)
            note(connection, by, "webhook.created", webhook.id, after=_told(row))

        await self._database.write(unit)
        await self._outbox.load()

    async def get(self, webhook_id: str, *, caller: str | None) -> WebhookRow:
        """Including callbacks. Raises WebhookNotFound."""
        query = seen_by(caller, webhooks, sa.select(webhooks).where(webhooks.c.id == webhook_id))
        row = await self._database.first(query)
        if row is None:
            raise no_webhook(webhook_id)
        return WebhookRow(**row)

    async def all(self, *, caller: str | None) -> list[WebhookRow]:
        """Oldest first, without callbacks."""
        query = seen_by(caller, webhooks, sa.select(webhooks).where(webhooks.c.kind == "endpoint"))
        rows = await self._database.mappings(query.order_by(webhooks.c.id))
        return [WebhookRow(**row) for row in rows]

    async def statuses(self) -> dict[str, WebhookStatus]:
        """By id, for all callers, without callbacks."""
        query = sa.select(webhooks.c.id, webhooks.c.status).where(webhooks.c.kind == "endpoint")
        return {row["id"]: row["status"] for row in await self._database.mappings(query)}

    async def change(
        self,
        webhook_id: str,
        values: Mapping[str, Any],
        *,
        caller: str | None,
        by: By,
    ) -> WebhookRow:
        """Raises WebhookNotFound."""
        this = seen_by(caller, webhooks, sa.update(webhooks).where(webhooks.c.id == webhook_id))
        touch = this.values(kind=webhooks.c.kind).returning(webhooks)
        change = this.values(dict(values)).returning(webhooks)
        fields = sorted(set(values) - {"changed_at"})

        def unit(connection: sa.Connection) -> sa.RowMapping | None:
            before = connection.execute(touch).mappings().first()
            after = connection.execute(change).mappings().first()
            if before is not None and after is not None:
                told = _told(after) | {"fields": fields}
                note(
                    connection, by, "webhook.changed", webhook_id, before=_told(before), after=told
                )
            return after

        row = await self._database.write(unit)
        if row is None:
            raise no_webhook(webhook_id)
        await self._outbox.load()
        return WebhookRow(**row)

    async def rotate(self, webhook_id: str, before: str, after: str, *, by: By) -> bool:
        """Replace its encrypted secrets. False: they were changed meanwhile."""
        change = (
            sa.update(webhooks)
            .where(webhooks.c.id == webhook_id, webhooks.c.secrets == before)
            .values(secrets=after)
        )

        def unit(connection: sa.Connection) -> bool:
            changed = bool(connection.execute(change).rowcount)
            if changed:
                note(connection, by, "webhook.rotated", webhook_id)
            return changed

        return await self._database.write(unit)

    async def reseal(self, reseal: Callable[[str], str], *, chosen: str, by: By) -> int:
        """Replace everything encrypted, or nothing; returns the number of webhooks. `chosen`: name
        of the installation's own encrypted value, if there is one. Raises what `reseal` raises."""
        # Callbacks have no secrets of their own.
        query = sa.select(webhooks).where(webhooks.c.kind == "endpoint").order_by(webhooks.c.id)

        def unit(connection: sa.Connection) -> int:
            change_chosen(connection, chosen, reseal)
            rows = connection.execute(query.with_for_update()).mappings().all()
            for row in rows:
                sealed = {name: row[name] for name in get_args(Sealed) if row[name] is not None}
                try:
                    values = {name: reseal(text) for name, text in sealed.items()}
                except SecretUnreadable as error:
                    raise SecretUnreadable(f"{row['id']}: {error}") from error
                connection.execute(
                    sa.update(webhooks).where(webhooks.c.id == row["id"]).values(values)
                )
            note(connection, by, "webhooks.reencrypted")
            return len(rows)

        return await self._database.write(unit)

    async def delete(self, webhook_id: str, *, caller: str | None, by: By) -> None:
        """Its deliveries are deleted by `DeliveryRepository.delete_of`. Raises WebhookNotFound."""
        this = seen_by(caller, webhooks, sa.delete(webhooks).where(webhooks.c.id == webhook_id))
        change = this.returning(webhooks)

        def unit(connection: sa.Connection) -> bool:
            before = connection.execute(change).mappings().first()
            if before is not None:
                note(connection, by, "webhook.deleted", webhook_id, before=_told(before))
            return before is not None

        if not await self._database.write(unit):
            raise no_webhook(webhook_id)
        await self._outbox.load()

    async def disable(self, webhook: WebhookRow, reason: str, now: datetime) -> bool:
        """And publish an event. False: it was not enabled, or has changed since it was read."""
        change = (
            sa.update(webhooks)
            .where(
                webhooks.c.id == webhook.id,
                webhooks.c.status == "enabled",
                webhooks.c.changed_at == webhook.changed_at,
            )
            .values(status="disabled", reason=reason, disabled_at=now, changed_at=now)
            .returning(webhooks)
        )
        telling = self._outbox.telling()

        def unit(connection: sa.Connection) -> bool:
            row = connection.execute(change).mappings().first()
            if row is None:
                return False
            told = EndpointDisabled(
                webhook_id=webhook.id, url=row["url"], reason=reason, disabled_at=now
            )
            telling.tell(connection, endpoint_disabled(row["caller"], told))
            note(connection, SERVICE, "webhook.disabled", webhook.id)
            return True

        disabled = await self._database.write(unit)
        await self._outbox.load()
        telling.wake()
        return disabled


def no_webhook(webhook_id: str) -> WebhookNotFound:
    return WebhookNotFound(f"There is no webhook {webhook_id}.")


def _told(row: sa.RowMapping | Mapping[str, Any]) -> dict[str, Any]:
    """For the audit log: not the whole URL, which may be a secret itself."""
    shown = ("caller", "status", "event_types", "domains", "rate_limit")
    return {"url": origin(row["url"]), **{name: row[name] for name in shown}}
