"""Evaluates the rules, in one process at a time, and notifies the targets of the outcome."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import product

import structlog

from app.alerts.file import Rules
from app.alerts.notify import WITHIN_S, Target
from app.alerts.rule import Readings, Rule
from app.alerts.signals import Look, Sources, signals
from app.alerts.state import changes
from app.analytics import Drift
from app.errors import StorageUnavailable
from app.storage import AlertRepository
from app.storage.alerts import AlertRow, Change, Turn
from app.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger(__name__)

TOLD_WITHIN = timedelta(days=1)
"""News older than this is no longer sent."""

LOOK_S = 1.5 * WITHIN_S
"""An evaluation takes no longer than this, even if a target uses all its time."""


@dataclass(frozen=True, slots=True)
class RuleNow:
    """A rule and the current reading of each of its subjects; None: it could not be read."""

    rule: Rule
    readings: Readings | None


class Alerting:
    """All state is in the database: it survives a restart, and another process can take over."""

    def __init__(
        self,
        rules: Rules,
        sources: Sources,
        stored: AlertRepository,
        targets: tuple[Target, ...],
        metrics: Metrics,
        *,
        process: str,
        every_s: float,
        clock: Callable[[], datetime],
    ) -> None:
        self.rules = rules
        self.stored = stored
        self._sources = sources
        self._targets = targets
        self._metrics = metrics
        self._process = process
        # The process that evaluated last keeps the turn while it lives: others may see breakers and
        # checks some seconds later, which would make alerts flap. It also keeps the turn while it
        # waits for a slow target, so that no other process sends the same news again.
        self._free_after = timedelta(seconds=every_s + max(every_s, LOOK_S))
        self._clock = clock
        self._evaluates = False

    async def look(self) -> None:
        """Evaluate and notify, when it is this process's turn. Raises StorageUnavailable."""
        now = self._clock()
        turn = await self.stored.take_turn(self._process, now, free_after=self._free_after)
        self._evaluates = turn is not None
        drifts: Mapping[str, Drift] = {}
        if turn is not None:
            drifts = await self._evaluate(turn)
            await self._tell(now)
        self._metrics.drift(dict(_known(drifts)))
        self._count(await self.stored.standing())

    async def aclose(self) -> None:
        """Give up the turn, so that another process can take over without waiting."""
        if self._evaluates:
            with suppress(StorageUnavailable):
                await self.stored.leave_turn(self._process)

    async def now(self) -> list[RuleNow]:
        """Raises StorageUnavailable."""
        look = Look(self._sources, self._clock())
        return [RuleNow(rule, await _read(rule, look)) for rule in self.rules.all]

    async def _evaluate(self, turn: Turn) -> Mapping[str, Drift]:
        """Return the drift found in domains for which some drift rule has enough samples."""
        now, rules = turn.at, self.rules.all
        look = Look(self._sources, now)
        readings: dict[str, Readings] = {}
        for rule in rules:
            if (found := await _read(rule, look)) is not None:
                readings[rule.name] = found
        decide = partial(changes, rules=rules, readings=readings, now=now)
        for each in await self.stored.advance(turn, decide) or ():
            _log(each)
        counted = {
            subject
            for rule in rules
            for subject, reading in readings.get(rule.name, {}).items()
            if rule.signal == "drift" and rule.counts(reading)
        }
        return {name: each for name, each in look.known_drifts.items() if name in counted}

    async def _tell(self, now: datetime) -> None:
        if not self._targets:
            return
        changed = await self.stored.changed_since(now - TOLD_WITHIN)
        await asyncio.gather(*(self._tell_to(each, changed) for each in self._targets))

    async def _tell_to(self, target: Target, changed: list[AlertRow]) -> None:
        """Send what the target was not told yet, or did not accept."""
        news = [each for each in changed if each.told.get(target.name) != each.state]
        if not news:
            return
        taken = await target.tell(news)
        self._metrics.alert_message(taken=taken)
        if taken:
            await self.stored.mark_told(target.name, news)
        else:
            log.warning("alerts could not be told, and are told again", notify=target.number)

    def _count(self, standing: list[AlertRow]) -> None:
        counts: dict[tuple[str, str, str], int] = {
            (rule.name, rule.severity, state): 0
            for rule, state in product(self.rules.all, ("pending", "firing"))
        }
        for each in standing:
            key = (each.rule, each.severity, each.state)
            if key in counts:  # else it belongs to another process's rules
                counts[key] += 1
        self._metrics.alerts(counts)


async def _read(rule: Rule, look: Look) -> Readings | None:
    """A failing signal does not keep others from being read. Raises StorageUnavailable."""
    signal = signals()[rule.signal]
    try:
        found = await signal.read(look, rule.window or timedelta())
    except StorageUnavailable:
        raise
    except Exception:
        log.exception("a signal could not be read", rule=rule.name, signal=rule.signal)
        return None
    return {subject: each for subject, each in found.items() if rule.covers(subject)}


def _known(drifts: Mapping[str, Drift]) -> Iterator[tuple[tuple[str, str], float]]:
    for domain, each in drifts.items():
        for of, value in (("classes", each.classes), ("confidence", each.confidence)):
            if value is not None:
                yield (domain, of), value


def _log(change: Change) -> None:
    alert = change.told
    if alert is None:
        return
    told = log.warning if alert.state == "firing" else log.info
    told(
        "alert fires" if alert.state == "firing" else "alert resolved",
        rule=alert.rule,
        subject=alert.subject,
        severity=alert.severity,
        value=alert.value,
        threshold=alert.threshold,
        alert_id=alert.id,
    )
