"""The signals that rules watch: one function for each, and the one list of them.

To add one, write a function that reads it and the expression with which Prometheus reads it, and
add an entry to OWN, or an entry point in the group `classifier.signals` of another package.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Literal

from app.alerts import expressions
from app.alerts.rule import Reading, Readings, Rule, Side
from app.analytics import BASELINE, Drift
from app.errors import ConfigurationError
from app.moment import began
from app.plug_ins import plug_ins
from app.storage import (
    CostRepository,
    ExampleRepository,
    Spending,
    TallyRepository,
    WebhookRepository,
)
from app.tally import Tally
from app.traffic import Board, ProviderState

GROUP = "classifier.signals"

Unit = Literal["share", "seconds", "US dollars", "", "index"]

SLOWEST = 0.95
"""The percentile reported for times: this share is faster."""


CLOCKS_DIFFER = timedelta(minutes=1)
"""The most that the clocks of processes differ."""


@dataclass(frozen=True, slots=True)
class Sources:
    tallies: TallyRepository
    costs: CostRepository
    board: Board
    webhooks: WebhookRepository
    examples: ExampleRepository


@dataclass(slots=True)
class Look:
    """A view of everything at one moment; data that several rules need is read once."""

    sources: Sources
    now: datetime
    _states: list[ProviderState] | None = None
    _tallies: dict[timedelta, Mapping[str, Tally]] = field(default_factory=dict)
    _drifts: dict[timedelta, Mapping[str, Drift]] = field(default_factory=dict)

    async def tallies(self, window: timedelta) -> Mapping[str, Tally]:
        """By domain."""
        if window not in self._tallies:
            # Entries that a wrong clock dated far ahead would otherwise stay in every window until
            # then.
            since, until = self.now - window, self.now + CLOCKS_DIFFER
            self._tallies[window] = await self.sources.tallies.by_domain(since, until)
        return self._tallies[window]

    async def drifts(self, window: timedelta) -> Mapping[str, Drift]:
        """By domain."""
        if window not in self._drifts:
            since, until = self.now - window - BASELINE, self.now - window
            before = await self.sources.tallies.by_domain(since, until)
            self._drifts[window] = {
                domain: Drift.between(tally, before.get(domain, Tally()), since, until)
                for domain, tally in (await self.tallies(window)).items()
            }
        return self._drifts[window]

    @property
    def known_drifts(self) -> Mapping[str, Drift]:
        """Over the longest window that any rule has asked for so far."""
        longest = max(self._drifts, default=None)
        return {} if longest is None else self._drifts[longest]

    async def states(self) -> list[ProviderState]:
        """Of all processes."""
        if self._states is None:
            self._states = await self.sources.board.read()
        return self._states


@dataclass(frozen=True, slots=True)
class Signal:
    """
    Attributes:
        subject: what a reading is about; empty: there is only one.
        windowed: it is computed from the last minutes, hours or days.
        expression: for Prometheus, true where the rule is broken.
        promised: the threshold is the setting of the signal's name in
            `monitoring.alert_thresholds`, and a reading on this side of it is wrong; None: each
            rule has a threshold of its own.
    """

    about: str
    subject: Literal["domain", "deployment", "check", "webhook", ""]
    unit: Unit
    read: "Callable[[Look, timedelta], Awaitable[Readings]]"
    expression: Callable[[Rule], str]
    windowed: bool = False
    promised: Side | None = None


async def accuracy(look: Look, window: timedelta) -> Readings:
    tallies = await look.tallies(window)
    return {
        domain: Reading(each.right / each.labelled, each.labelled)
        for domain, each in tallies.items()
        if each.labelled
    }


async def unseen_accuracy(look: Look, window: timedelta) -> Readings:
    tallies = await look.tallies(window)
    return {
        domain: Reading(each.unseen_right / each.unseen_labelled, each.unseen_labelled)
        for domain, each in tallies.items()
        if each.unseen_labelled
    }


async def response_time(look: Look, window: timedelta) -> Readings:
    found = {}
    for domain, each in (await look.tallies(window)).items():
        if (milliseconds := each.percentile("total", SLOWEST)) is not None:
            found[domain] = Reading(milliseconds / 1_000, each.results)
    return found


async def error_rate(look: Look, window: timedelta) -> Readings:
    tallies = await look.tallies(window)
    return {
        domain: Reading(share, each.results + each.unanswered)
        for domain, each in tallies.items()
        if (share := each.failure_share) is not None
    }


async def queue_wait(look: Look, window: timedelta) -> Readings:
    total = Tally.total((await look.tallies(window)).values())
    milliseconds = total.percentile("wait", SLOWEST)
    if milliseconds is None:
        return {"": Reading(0.0, total.results)} if total.results else {}
    return {"": Reading(milliseconds / 1_000, total.results)}


async def drift(look: Look, window: timedelta) -> Readings:
    """Of predicted classes or of confidence, whichever has moved more."""
    tallies, found = await look.tallies(window), {}
    for domain, each in (await look.drifts(window)).items():
        if each.classes is not None and each.confidence is not None:
            value = max(each.classes, each.confidence)
            found[domain] = Reading(value, tallies[domain].results)
    return found


async def cost_per_day(look: Look, _: timedelta) -> Readings:
    today = Spending(since=began(look.now, "day"))
    spent = await look.sources.costs.spent(today, "day", look.now)
    return {"": Reading(float(spent.total.cost_usd), spent.total.calls)}


async def unhealthy(look: Look, _: timedelta) -> Readings:
    failing: Counter[str] = Counter()
    for checks in {each.process: each.checks for each in await look.states()}.values():
        for name, passes in checks.items():
            failing[name] += not passes
    return {name: Reading(count) for name, count in failing.items()}


async def breaker_open(look: Look, _: timedelta) -> Readings:
    open_in: Counter[str] = Counter()
    for provider in await look.states():
        for each in provider.deployments:
            # A half-open breaker lets calls through as a test: not yet known to work again.
            open_in[f"{provider.provider}/{each.name}"] += each.breaker != "closed"
    return {name: Reading(count) for name, count in open_in.items()}


async def webhook_disabled(look: Look, _: timedelta) -> Readings:
    found = await look.sources.webhooks.statuses()
    return {name: Reading(float(status == "disabled")) for name, status in found.items()}


async def lesson_refused(look: Look, _: timedelta) -> Readings:
    aside = await look.sources.examples.aside()
    return {domain: Reading(float(count), count) for domain, count in aside.items()}


OWN: Mapping[str, Signal] = {
    "accuracy": Signal(
        "Share of right answers, of those whose true class is known, without those that a person "
        "looked at because they were unsure.",
        "domain",
        "share",
        accuracy,
        expressions.accuracy,
        windowed=True,
        promised="below",
    ),
    "unseen_accuracy": Signal(
        "Share of right answers, of those that were accepted and drawn at random for a person to "
        "look at.",
        "domain",
        "share",
        unseen_accuracy,
        expressions.unseen_accuracy,
        windowed=True,
    ),
    "response_time": Signal(
        "Seconds within which 95 % of the results were there.",
        "domain",
        "seconds",
        response_time,
        expressions.response_time,
        windowed=True,
        promised="above",
    ),
    "error_rate": Signal(
        "Share of pictures that got no answer.",
        "domain",
        "share",
        error_rate,
        expressions.error_rate,
        windowed=True,
    ),
    "queue_wait": Signal(
        "Seconds within which 95 % of the calls that had to wait for quota were made.",
        "",
        "seconds",
        queue_wait,
        expressions.queue_wait,
        windowed=True,
    ),
    "cost_per_day": Signal(
        "What calls have cost today (UTC).",
        "",
        "US dollars",
        cost_per_day,
        expressions.cost_per_day,
    ),
    "drift": Signal(
        "How far predicted classes or confidence are from those of the four weeks before: the "
        "population stability index.",
        "domain",
        "index",
        drift,
        expressions.drift,
        windowed=True,
    ),
    "unhealthy": Signal(
        "Processes in which a health check fails.",
        "check",
        "",
        unhealthy,
        expressions.unhealthy,
    ),
    "breaker_open": Signal(
        "Processes that leave a deployment alone because it fails.",
        "deployment",
        "",
        breaker_open,
        expressions.breaker_open,
    ),
    "webhook_disabled": Signal(
        "1 for a webhook that the service has disabled.",
        "webhook",
        "",
        webhook_disabled,
        expressions.webhook_disabled,
    ),
    "lesson_refused": Signal(
        "Examples from reviews that are set aside: taught with them, answers became worse.",
        "domain",
        "",
        lesson_refused,
        expressions.lesson_refused,
    ),
}


@cache
def signals() -> Mapping[str, Signal]:
    """By name: the service's own, and those of installed packages. Raises ConfigurationError."""
    found = dict(OWN)
    for name, each in plug_ins(GROUP).items():
        try:
            found[name] = each.load()
        except Exception as error:
            raise ConfigurationError(f"The signal {name} can't be used: {error}") from error
    return found
