"""A service under the eyes of its alert rules: the test decides what its database contains, what
its processes report, and what time it is."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from app.alerts import Alerting, Rules, Sources
from app.identifiers import RESULT, WEBHOOK, new_id
from app.result import Failure, LabelSource, Result, Timings
from app.settings_groups import AlertThresholds
from app.storage import (
    AlertRepository,
    CostRepository,
    Database,
    ExampleRepository,
    LessonRepository,
    Outbox,
    TallyRepository,
    WebhookRepository,
)
from app.storage.alerts import AlertRow
from app.storage.audit import COMMAND_LINE
from app.storage.tallies import count_results
from app.storage.webhooks import WebhookRow
from app.telemetry.metrics import Metrics
from app.traffic import DeploymentState, ProviderState
from tests.clock import Clock
from tests.entries import book, entry
from tests.service import ROOT

SHIPPED = ROOT / "config" / "alerts.yaml"
EVERY_S = 15.0


class Blackboard:
    """The reports of all processes, as of one provider with one deployment."""

    def __init__(self) -> None:
        self.breaker = "closed"
        self.checks = {"storage": True, "quota": True}

    async def read(self) -> list[ProviderState]:
        deployment = DeploymentState(
            "west", "gpt-4o", 0, self.breaker, 0, None, 0.1, {}, last_error=None
        )
        return [
            ProviderState(name, "azure_openai", {}, [deployment], dict(self.checks))
            for name in ("host:1", "host:2")
        ]


class Inbox:
    """A target that accepts messages, or does not."""

    def __init__(self, name: str = "people") -> None:
        self.name, self.number = name, 1
        self.takes = True
        self.attempts = 0
        self.got: list[tuple[str, str, str]] = []

    async def tell(self, alerts: Sequence[AlertRow]) -> bool:
        self.attempts += 1
        if self.takes:
            self.got += [(each.rule, each.subject, each.state) for each in alerts]
        return self.takes


class World:
    """
    Attributes:
        clock: starts at noon of today, UTC.
    """

    def __init__(self, database: Database, rules: Path = SHIPPED) -> None:
        self.database = database
        self.clock = Clock()
        self.clock.now = self.clock.now.replace(hour=12, minute=0, second=0, microsecond=0)
        self.outbox = Outbox(database, None)
        self.board = Blackboard()
        self.webhooks = WebhookRepository(database, self.outbox)
        self.examples = ExampleRepository(database)
        self.lessons = LessonRepository(database)
        self.stored = AlertRepository(database, self.outbox)
        self.metrics = Metrics()
        self.rules = Rules(rules, AlertThresholds())

    def engine(self, process: str = "prc_a", *targets: Inbox, every_s: float = EVERY_S) -> Alerting:
        return Alerting(
            self.rules,
            Sources(
                TallyRepository(self.database, clock=self.clock),
                CostRepository(self.database),
                self.board,
                self.webhooks,
                self.examples,
            ),
            self.stored,
            targets,
            self.metrics,
            process=process,
            every_s=every_s,
            clock=self.clock,
        )

    async def pass_time(self, *engines: Alerting, **passed: float) -> None:
        """Let every engine evaluate at its usual interval."""
        end = self.clock.now + timedelta(**passed)
        while self.clock.now < end:
            self.clock.now = min(end, self.clock.now + timedelta(seconds=EVERY_S))
            for each in engines:
                await each.look()

    async def results(
        self,
        count: int = 1,
        *,
        predicted: str = "rose",
        expected: str | None = None,
        source: LabelSource = "request",
        failed: bool = False,
        total_ms: float = 100,
        wait_ms: float = 0,
        ago: timedelta = timedelta(0),
        domain: str = "flowers",
    ) -> None:
        """Store this many identical results."""
        moment = self.clock.now - ago
        result = Result(
            id=new_id(RESULT, moment),
            domain=domain,
            predicted_class=None if failed else predicted,
            confidence=None if failed else 0.9,
            status="failed" if failed else "accepted",
            error=Failure(type="/problems/provider-timeout", detail="") if failed else None,
            expected=expected,
            expected_source=source if expected else None,
            timings_ms=Timings(wait=wait_ms, total=total_ms),
            caller="shop",
            domain_version="1",
            created_at=moment,
        )
        await self.database.write(lambda each: count_results(each, [result] * count))

    async def spend(self, usd: str) -> None:
        await book(self.database, entry(self.clock.now, usd))

    async def webhook(self) -> WebhookRow:
        """Create a webhook."""
        now = self.clock.now
        row = WebhookRow(new_id(WEBHOOK), "endpoint", "shop", "https://x.y", "enabled", now, now)
        await self.webhooks.create(row, by=COMMAND_LINE)
        return row

    async def disable(self, row: WebhookRow) -> None:
        assert await self.webhooks.disable(row, "Nothing but failures.", self.clock.now)

    async def enable(self, row: WebhookRow) -> None:
        values = {"status": "enabled", "reason": None, "changed_at": self.clock.now}
        await self.webhooks.change(row.id, values, caller=None, by=COMMAND_LINE)

    async def alerts(self, *states: str) -> list[tuple[str, str, str]]:
        """Rule, subject and state of all alerts, or of those in these states."""
        rows = await self.stored.page(None, limit=1_000)
        return [
            (each.rule, each.subject, each.state)
            for each in rows
            if not states or each.state in states
        ]

    def only(self, *names: str, **changed: object) -> None:
        """Keep only the rules of these names, with these fields changed."""
        self.rules.all = tuple(
            replace(each, **changed) for each in self.rules.all if each.name in names
        )
