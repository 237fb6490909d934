"""What a simulator billed, and what a service booked."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import sqlalchemy as sa

from app.simulator.faults import UNTOLD
from app.storage import Database
from app.storage.tables import SUMS, cost_days, cost_hours, ledger, results
from tests.simulator_process import SimulatorProcess

DEPLOYMENTS = ("east", "west")
RPM, TPM = 60_000, 1_000_000_000
PROMPT_USD, COMPLETION_USD = Decimal("0.0000025"), Decimal("0.00001")
"""Per token of gpt-4o."""

TOKENS = ("prompt", "image", "completion", "reasoning")

BILLED = {*UNTOLD, "slow_body", "output_filter", "refusal"}
"""Kinds of faults whose calls are billed."""

SEED = "2"
"""With this seed each of the rare faults occurs."""


class Azure(SimulatorProcess):
    """A simulator with two deployments."""

    def __init__(
        self,
        faults: Sequence[dict[str, Any]],
        *,
        latency: str = "0.05:0.1",
        calls: Path | None = None,
    ) -> None:
        """`calls`: a file for a line of each call."""
        options = ["--seed", SEED, "--accuracy", "0.97", "--latency", latency]
        for each in DEPLOYMENTS:
            options += ["--deployment", f"{each}:gpt-4o:{RPM}:{TPM}"]
        if calls is not None:
            options += ["--calls", str(calls)]
        super().__init__(*options)
        for each in DEPLOYMENTS:
            self.order(each, faults=faults)

    def order(self, deployment: str, **change: Any) -> None:
        httpx2.post(
            f"{self.url}/_sim/deployments/{deployment}", json=change, timeout=30
        ).raise_for_status()

    def bill(self) -> "Bill":
        deployments = httpx2.get(f"{self.url}/_sim", timeout=30).json()["deployments"]
        counts = [deployments[each]["counts"] for each in DEPLOYMENTS]
        faults = sum((Counter(each["faults"]) for each in counts), Counter[str]())
        told, untold = (
            Counter({name: sum(each[what][name] for each in counts) for name in TOKENS})
            for what in ("billed", "untold")
        )
        return Bill(
            arrived=[each["arrived"] for each in counts],
            turned_away=sum(each["turned_away"] for each in counts),
            faults=faults,
            calls=sum(each["answered"] for each in counts) + sum(faults[kind] for kind in BILLED),
            told=told,
            untold=untold,
        )


@dataclass(frozen=True)
class Bill:
    """
    Attributes:
        arrived: calls, by deployment.
        calls: the number of billed calls.
        told, untold: tokens.
    """

    arrived: list[int]
    turned_away: int
    faults: Counter[str]
    calls: int
    told: Counter[str]
    untold: Counter[str]

    @property
    def usd(self) -> Decimal:
        tokens = self.told + self.untold
        return tokens["prompt"] * PROMPT_USD + tokens["completion"] * COMPLETION_USD


@dataclass
class Booked:
    """The final content of the database.

    Attributes:
        tokens: where they were reported as usage.
        sums: of the ledger, of hours and of days, by name.
        cached: answers that needed no call.
    """

    calls: int
    estimated: int
    estimated_usd: Decimal
    tokens: Counter[str]
    usd: Decimal
    kinds: Counter[str]
    unsummed: int
    sums: dict[str, dict[str, Decimal]]
    cached: int

    @classmethod
    async def read(cls, url: str) -> "Booked":
        database = Database(url)
        try:
            rows = await database.read(
                lambda each: each.execute(sa.select(ledger)).mappings().all()
            )
            by = {
                table.name: await database.read(
                    lambda each, table=table: each.execute(sa.select(table)).mappings().all()
                )
                for table in (cost_hours, cost_days)
            }
            answered = results.c.status != "failed"
            cached = sa.select(sa.func.count()).where(results.c.cached, answered)
            free = await database.read(lambda each: each.execute(cached).scalar_one())
        finally:
            await database.close()
        asked = [each for each in rows if each["kind"] == "asked"]
        told = [each for each in asked if not each["estimated"]]
        guessed = [each for each in asked if each["estimated"]]
        return cls(
            calls=len(asked),
            estimated=len(guessed),
            estimated_usd=sum((each["cost_usd"] for each in guessed), Decimal(0)),
            tokens=Counter({name: sum(each[f"{name}_tokens"] for each in told) for name in TOKENS}),
            usd=sum((each["cost_usd"] for each in rows), Decimal(0)),
            kinds=Counter(each["kind"] for each in rows),
            unsummed=sum(not each["rolled"] for each in rows),
            sums={"ledger": _summed(rows)} | {name: _added(each) for name, each in by.items()},
            cached=free,
        )

    def complaints(self) -> Iterator[str]:
        """Errors that are errors in every case."""
        if self.unsummed:
            yield f"{self.unsummed} entries are in no sum"
        for name, sums in self.sums.items():
            if sums != self.sums["ledger"]:
                yield f"{name} has {sums}, and the ledger {self.sums['ledger']}"
        if (saved := self.kinds.total() - self.kinds["asked"]) != self.cached:
            yield f"{saved} entries for {self.cached} answers that needed no call"


def _summed(rows: Sequence[Any]) -> dict[str, Decimal]:
    """Computed from entries, independently of the service."""
    sums = dict.fromkeys(SUMS, Decimal(0))
    for row in rows:
        sums["calls"] += row["kind"] == "asked"
        sums["estimated_calls"] += row["estimated"]
        sums["unpriced_calls"] += row["cost_usd"] is None
        sums[row["kind"]] += row["answers"]
        sums["cost_usd"] += row["cost_usd"] or 0
        sums["estimated_usd"] += (row["cost_usd"] or 0) * row["estimated"]
        if row["kind"] != "asked":
            sums[f"saved_{row['kind']}_usd"] += row["saved_usd"]
        for name in SUMS:
            if name.endswith("_tokens"):
                sums[name] += row[name]
    return sums


def _added(rows: Sequence[Any]) -> dict[str, Decimal]:
    return {name: sum((Decimal(each[name]) for each in rows), Decimal(0)) for name in SUMS}
