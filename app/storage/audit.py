"""Who changed what, written in the transaction of the change. All SQL for it is here. Entries are
never changed, and are deleted only by age."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import sqlalchemy as sa
from pydantic_core import from_json, to_json

from app.identifiers import AUDIT, lowest_id, new_id
from app.storage.database import Database
from app.storage.installation import exchange, known
from app.storage.tables import audit

Action = Literal[
    "alerts.reloaded",
    "budget.configured",
    "budget.deleted",
    "budget.put",
    "calibration.withdrawn",
    "caller.erased",
    "caller.erasing",
    "domain.configured",
    "domain.created",
    "domain.deleted",
    "domain.updated",
    "domains.reloaded",
    "example.deleted",
    "examples.forgotten",
    "examples.taken",
    "keys.changed",
    "lesson.withdrawn",
    "result.erased",
    "webhook.changed",
    "webhook.created",
    "webhook.deleted",
    "webhook.disabled",
    "webhook.rotated",
    "webhooks.reencrypted",
]
"""Every action there is an entry for."""

MAX_VALUE = 500
"""Bytes of one value, as JSON; a larger one is replaced by its size. This keeps an entry small:
what is changed has only a few fields."""


@dataclass(frozen=True, slots=True)
class By:
    """Who makes a change: the name of an API key, with the request's id."""

    actor: str
    request_id: str | None = None


COMMAND_LINE = By("command line")
"""Whoever has access to the database itself: a command, or the Python facade."""

SERVICE = By("service")
"""No person: the change came from settings, a file or a signal."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """
    Attributes:
        subject: the name or id of what was changed.
        change: `before` and `after`, of the fields that differ; None: there are no details.
    """

    id: str
    at: datetime
    actor: str
    action: str
    subject: str
    change: Mapping[str, Any] | None
    request_id: str | None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries to select; None means all. `since` is inclusive."""

    action: str | None = None
    subject: str | None = None
    actor: str | None = None
    since: datetime | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        names = ("action", "subject", "actor")
        equal = [(_C[name], getattr(self, name)) for name in names]
        conditions = [column == value for column, value in equal if value is not None]
        if self.since is not None:
            conditions.append(_C.id >= lowest_id(AUDIT, self.since))
        return conditions


class AuditRepository:
    """Raises StorageUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, by: By, action: Action) -> None:
        """For an action that changes no row, such as reading a file again."""
        await self._database.write(lambda connection: note(connection, by, action))

    async def add_when_new(
        self, by: By, action: Action, state: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """For state that is set outside the service: an entry for each subject that differs from
        the last call, by any process. `state`: the fields of each subject, as in JSON."""

        text = to_json(state).decode()
        if await known(self._database, action) == text:
            return

        def unit(connection: sa.Connection) -> None:
            last = from_json(exchange(connection, action, text) or "{}")
            for subject in sorted(last.keys() | state.keys()):
                before, after = last.get(subject), state.get(subject)
                if before != after:
                    note(connection, by, action, subject, before=before, after=after)

        await self._database.write(unit)

    async def page(
        self, wanted: AuditFilter, *, before: str | None = None, limit: int
    ) -> list[AuditEntry]:
        """Newest first, older than the id `before`."""
        query = sa.select(audit).where(*wanted.conditions()).order_by(_C.id.desc()).limit(limit)
        if before is not None:
            query = query.where(_C.id < before)
        return [_entry(row) for row in await self._database.mappings(query)]


def note(
    connection: sa.Connection,
    by: By,
    action: Action,
    subject: str = "",
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """To be called within the transaction of the change. `before` and `after` must hold no secret;
    one of them is None for what is created or deleted."""
    now = datetime.now(UTC)
    told = _differing(before, after)
    entry = AuditEntry(new_id(AUDIT, now), now, by.actor, action, subject, None, by.request_id)
    connection.execute(_ADD, asdict(entry) | {"change": told and to_json(told).decode()})


def _differing(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    if before is None and after is None:
        return None
    was, now = before or {}, after or {}
    names = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    return {
        side: None if fields is None else {name: _small(fields.get(name)) for name in names}
        for side, fields in (("before", before), ("after", after))
    }


def _small(value: Any) -> Any:
    size = len(to_json(value))
    return value if size <= MAX_VALUE else f"{size:,} bytes"


def _entry(row: sa.RowMapping) -> AuditEntry:
    change = row["change"]
    return AuditEntry(**{**row, "change": None if change is None else from_json(change)})


_C = audit.c
_ADD = sa.insert(audit)
