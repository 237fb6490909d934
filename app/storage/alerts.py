"""Alerts in the database, and the lease on evaluating them. All SQL for them is here."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, Literal, get_args

import sqlalchemy as sa

from app.errors import AlertNotFound
from app.storage.database import Database
from app.storage.event_types import AlertReport
from app.storage.events import alert_changed
from app.storage.outbox import Outbox
from app.storage.tables import STANDS, alerts, turns
from app.storage.turns import taking_turn

AlertState = Literal["firing", "pending", "resolved"]
STATES: tuple[AlertState, ...] = get_args(AlertState)
"""Most urgent first."""

TURN = "alerts"


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One period in which a subject broke a rule.

    Attributes:
        subject: a domain, a deployment, a check, a webhook's id, or "" where there is only one.
        value: the last reading.
        since: when the rule was first broken.
        seen_at: time of the last reading.
        reason: `no_data`, `rule_removed`; None: it resolved because the reading recovered.
        told: by notification target, the last state that was sent to it.
    """

    id: str
    rule: str
    subject: str
    signal: str
    state: AlertState
    severity: str
    value: float
    threshold: float
    description: str
    runbook: str
    since: datetime
    seen_at: datetime
    domain: str | None = None
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    reason: str | None = None
    told: dict[str, str] = field(default_factory=dict)

    def report(self) -> AlertReport:
        return AlertReport(**{name: getattr(self, name) for name in AlertReport.model_fields})


@dataclass(frozen=True, slots=True)
class Change:
    """`before` None: the alert is new. `after` None: it was pending and is dropped."""

    before: AlertRow | None
    after: AlertRow | None

    @property
    def told(self) -> AlertRow | None:
        """The alert, if it has just started to fire or has resolved."""
        was = self.before.state if self.before else None
        after = self.after
        return after if after and after.state != was and after.state != "pending" else None


@dataclass(frozen=True, slots=True)
class Turn:
    process: str
    at: datetime


class AlertRepository:
    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def take_turn(self, process: str, now: datetime, *, free_after: timedelta) -> Turn | None:
        """Succeeds for the process that held the last turn, or when no turn was taken for
        `free_after`; None: another process holds it. Raises StorageUnavailable."""
        taking = taking_turn(TURN, process, now, free_after)
        return Turn(process, now) if await self._database.write(taking) else None

    async def leave_turn(self, process: str) -> None:
        """Any process may take the next turn. Raises StorageUnavailable."""
        leave = sa.delete(turns).where(turns.c.name == TURN, turns.c.process == process)
        await self._database.change(leave)

    async def advance(
        self, turn: Turn, decide: Callable[[Sequence[AlertRow]], Sequence[Change]]
    ) -> list[Change] | None:
        """Pass the standing alerts to `decide`, apply its changes, and publish them as events.
        None: another process took the turn meanwhile. Raises StorageUnavailable."""
        telling = self._outbox.telling()

        def unit(connection: sa.Connection) -> list[Change] | None:
            mine = connection.execute(_KEEP_TURN, {"mine": turn.process, "taken": turn.at})
            if not mine.rowcount:
                return None
            rows = connection.execute(_STANDING).mappings()
            changes = list(decide([AlertRow(**row) for row in rows]))
            for each in changes:
                _write(connection, each)
            told = [each.told for each in changes if each.told]
            telling.tell(connection, *(alert_changed(each.report()) for each in told))
            return changes

        changes = await self._database.write(unit)
        telling.wake()
        return changes

    async def page(self, state: AlertState | None, *, limit: int) -> list[AlertRow]:
        """Firing alerts first, then pending, then resolved ones; within each, newest first."""
        column = alerts.c
        query = sa.select(alerts).order_by(_PLACE, column.id.desc()).limit(limit)
        if state is not None:
            query = query.where(column.state == state)
        return await self._rows(query)

    async def standing(self) -> list[AlertRow]:
        return await self._rows(_STANDING)

    async def get(self, alert_id: str) -> AlertRow:
        """Raises AlertNotFound."""
        rows = await self._rows(sa.select(alerts).where(alerts.c.id == alert_id))
        if not rows:
            raise AlertNotFound(f"There is no alert {alert_id}.")
        return rows[0]

    async def changed_since(self, moment: datetime) -> list[AlertRow]:
        """Alerts that fired or resolved at `moment` or later, oldest first."""
        resolved = await self._rows(sa.select(alerts).where(alerts.c.resolved_at >= moment))
        fired = [
            each
            for each in await self.standing()
            if each.fired_at is not None and each.fired_at >= moment
        ]
        return sorted((*resolved, *fired), key=attrgetter("id"))

    async def mark_told(self, target: str, told: Sequence[AlertRow]) -> None:
        """Record the state in which each alert is given here as sent to `target`."""

        def unit(connection: sa.Connection) -> None:
            for each in told:
                # The first statement writes (see Unit), so no one else can write this row
                # meanwhile.
                mine = sa.update(alerts).where(alerts.c.id == each.id)
                now = connection.execute(mine.values(id=each.id).returning(alerts.c.told)).scalar()
                if now is not None:
                    connection.execute(mine.values(told=now | {target: each.state}))

        await self._database.write(unit)

    async def _rows(self, query: sa.Select[Any]) -> list[AlertRow]:
        return [AlertRow(**row) for row in await self._database.mappings(query)]


def _write(connection: sa.Connection, change: Change) -> None:
    before, after = change.before, change.after
    if before is None and after is not None:
        connection.execute(sa.insert(alerts), asdict(after))
    elif before is not None:
        this = alerts.c.id == before.id
        if after is None:
            connection.execute(sa.delete(alerts).where(this))
        else:
            values = asdict(after)
            del values["told"]  # `mark_told` alone writes it
            connection.execute(sa.update(alerts).where(this).values(values))


_STANDING = sa.select(alerts).where(STANDS)
_PLACE = sa.case({state: place for place, state in enumerate(STATES)}, value=alerts.c.state)
_KEEP_TURN = (
    sa.update(turns)
    .where(
        turns.c.name == TURN,
        turns.c.process == sa.bindparam("mine"),
        turns.c["at"] == sa.bindparam("taken", type_=turns.c["at"].type),
    )
    .values(name=TURN)
)
