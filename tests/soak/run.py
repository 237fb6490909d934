"""One soak, from starting everything to the final checks."""

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.parts import DOMAINS_EVERY_S
from app.simulator.call_log import fingerprint
from benchmarks.load import percentile
from benchmarks.soak import Soaked, Waited
from tests.bill import Bill, Booked
from tests.receiver_process import Arrival
from tests.soak import figures, proof
from tests.soak.bulk import Bulk
from tests.soak.caller import Caller
from tests.soak.calls import bill as bill_of
from tests.soak.exporting import FORMATS, Exporting
from tests.soak.misfortunes import Misfortunes
from tests.soak.outages import Outages
from tests.soak.paid import Origin, Paid, paid
from tests.soak.people import People, sent
from tests.soak.reviewers import Reviewers
from tests.soak.watch import Watch
from tests.soak.world import World

KNOWN_TO_ALL_S = DOMAINS_EVERY_S + 1
LONG_S = 1_800.0
ABOVE, ABOVE_BRIEFLY = 0.01, 0.05
QUIET_WITHIN_S = 240.0
LOOKED_EVERY_S = 0.5
PAGE = 1_000
EVENTS = ["result.created", "result.reviewed", "batch.completed"]


@dataclass(frozen=True)
class Plan:
    """
    Attributes:
        every_s: mean time between two faults of a kind.
    """

    seconds: float
    several: bool
    seed: int
    every_s: float = 30.0

    @property
    def is_long(self) -> bool:
        """Enough to hold what is only true of many calls, and of a long life."""
        return self.seconds >= LONG_S

    @property
    def at_most_above(self) -> float:
        """Share of the bill by which the ledger may be above it: of few calls those that a death
        ends are a larger share than of many."""
        return ABOVE if self.is_long else ABOVE_BRIEFLY


@dataclass(frozen=True)
class Findings:
    """
    Attributes:
        complaints: empty when all is well.
        figures: those that are published.
        besides: by name, what else a reader of the run wants to know.
    """

    complaints: list[str]
    figures: Soaked
    besides: dict[str, Any]


class Soak:
    def __init__(self, plan: Plan, world: World) -> None:
        self._plan = plan
        self._world = world
        self._outages = Outages()
        self._caller = Caller(world)
        self._people = People(self._caller, plan.seed)
        self._bulk = Bulk(self._caller)
        self._reviewers = Reviewers(self._caller, plan.seed)
        self._exporting = Exporting(self._caller, plan.seed)
        self._watch = Watch(world)
        self._complaints: list[str] = []
        self._commit = figures.commit()

    async def run(self) -> Findings:
        watching = asyncio.create_task(self._watch.look())
        telling = asyncio.create_task(self._tell_each_minute())
        hooks = [
            await self._register(each.url("/all"))
            for each in (self._world.steady, self._world.shaky)
        ]
        await asyncio.sleep(KNOWN_TO_ALL_S)
        try:
            await self._work()
            await self._be_quiet(hooks)
        finally:
            self._outages.write(self._world.folder / "outages.jsonl")
            for each in (watching, telling):
                each.cancel()
        return await self._prove()

    async def _work(self) -> None:
        plan = self._plan
        until = time.time() + plan.seconds
        misfortunes = Misfortunes(
            self._world,
            self._outages,
            seed=plan.seed,
            seconds=plan.seconds,
            every_s=plan.every_s,
        )
        self._caller.gives_up_at = until + QUIET_WITHIN_S
        async with asyncio.TaskGroup() as group:
            for each in (
                misfortunes.happen(),
                self._people.ask(until),
                self._bulk.run(until),
                self._reviewers.look(until),
                self._exporting.read(until, self._people.questions),
            ):
                group.create_task(each)

    async def _register(self, url: str) -> str:
        """Create a webhook and return its path."""
        wanted = {"url": url, "event_types": EVENTS, "secret": self._world.secret}
        created = await self._caller.ask("webhook", "POST", "/webhooks", json=wanted)
        created.raise_for_status()
        return str(created.headers["location"])

    async def _be_quiet(self, hooks: list[str]) -> None:
        """Wait until no delivery is pending."""
        ends_at = time.time() + QUIET_WITHIN_S
        for path, rows in [
            ("/results?status=pending", "results"),
            *((f"{each}/deliveries?state=pending", "deliveries") for each in hooks),
        ]:
            while pending := (await self._caller.ask("quiet", "GET", path)).json()[rows]:
                if time.time() > ends_at:
                    self._complaints.append(f"{len(pending)} {rows} or more stay pending")
                    break
                await asyncio.sleep(LOOKED_EVERY_S)

    async def _prove(self) -> Findings:
        rows = await self._listed()
        complaints = [*self._complaints, *self._people.complaints, *self._exporting.complaints]
        complaints += proof.questions(self._people.questions, rows)
        items = {each.id: await self._bulk.items(each) for each in self._bulk.batches}
        for each in self._bulk.batches:
            complaints += proof.batch(each, items[each.id], rows)
        complaints += proof.reviews(self._reviewers.decisions, await self._histories())
        for form in FORMATS:
            complaints += proof.exported(form, await self._exporting.ids(form), rows.keys())
        arrivals = {
            "the steady receiver": self._world.steady.arrived(),
            "the shaky receiver": self._world.shaky.arrived(),
        }
        reviewed = [each for each, row in rows.items() if row["decided_by"] not in (None, "model")]
        for name, arrived in arrivals.items():
            complaints += proof.told(
                name,
                arrived,
                results=rows.keys(),
                reviewed=reviewed,
                batches=[each.id for each in self._bulk.batches],
            )
        complaints += proof.refusals(self._caller.attempts, self._outages)
        complaints += self._watch.complaints(is_long=self._plan.is_long)
        for name, status in (await asyncio.to_thread(self._world.stop)).items():
            if status:
                complaints.append(f"{name} ended with {status}")
        calls = self._world.azure.calls()
        bill, booked = bill_of(calls), await Booked.read(self._world.database_url)
        complaints += proof.ledger(booked, bill, at_most_above=self._plan.at_most_above)
        twice = paid(
            calls,
            self._outages,
            {fingerprint(each): each for each in self._world.processes},
            await asyncio.to_thread(self._origins),
        )
        complaints += proof.paid(twice)
        lost = proof.lost(self._people.questions, items, rows)
        return Findings(
            complaints,
            self._figures(len(rows), lost, twice, booked, bill),
            self._besides(rows, arrivals, booked, bill, twice),
        )

    async def _listed(self) -> dict[str, dict[str, Any]]:
        rows: dict[str, dict[str, Any]] = {}
        query: dict[str, Any] = {"limit": PAGE}
        while True:
            page = (await self._caller.ask("results", "GET", "/results", params=query)).json()
            rows |= {each["id"]: each for each in page["results"]}
            if page["next_cursor"] is None:
                return rows
            query["cursor"] = page["next_cursor"]

    async def _histories(self) -> dict[str, dict[str, Any]]:
        return {
            each: (await self._caller.ask("history", "GET", f"/reviews/{each}")).json()
            for each in self._reviewers.decisions
        }

    def _origins(self) -> dict[str, Origin]:
        """By what Azure is sent of their pictures."""
        origins = self._people.origins() | self._bulk.origins()
        return {sent(seed): origin for seed, origin in origins.items()}

    def _besides(
        self,
        rows: dict[str, dict[str, Any]],
        arrivals: dict[str, list[Arrival]],
        booked: Booked,
        bill: Bill,
        twice: Paid,
    ) -> dict[str, Any]:
        attempts, outages = self._caller.attempts, self._outages
        return {
            "failed": sum(row["status"] == "failed" for row in rows.values()),
            "reviews": len(self._reviewers.decisions),
            "exports": self._exporting.count,
            "told": figures.told(arrivals),
            "outages, by kind": figures.outages(outages),
            "refused": figures.refused(attempts),
            "later, p50/p99 ms": figures.percentiles("later", attempts, outages),
            "event loop lag, p99/p99.9 ms": [self._watch.lag_ms(0.99), self._watch.lag_ms(0.999)],
            "ledger": f"{booked.usd} USD, {booked.calls - bill.calls} calls more than billed, "
            f"{booked.estimated} estimated",
            "calls": {"billed": twice.calls, "paid again without need": len(twice.unexplained)},
        }

    def _figures(self, results: int, lost: int, twice: Paid, booked: Booked, bill: Bill) -> Soaked:
        waited = figures.percentiles("at once", self._caller.attempts, self._outages)
        answered_s = percentile([each.took_s for each in self._people.questions], 0.99)
        return Soaked(
            at=time.strftime("%Y-%m-%d", time.gmtime()),
            commit=self._commit,
            minutes=round(self._plan.seconds / 60, 1),
            questions=len(self._people.questions),
            results=results,
            batches=len(self._bulk.batches),
            outages=len(self._outages.all),
            lost=lost,
            paid_twice=twice.again,
            causes=figures.causes(twice),
            ledger_above=round(float(booked.usd / bill.usd - 1), 5),
            processes=[figures.kept(each) for each in self._watch.longest()],
            calm=Waited(p50=waited["calm"][0], p99=waited["calm"][1]),
            all=Waited(p50=waited["all"][0], p99=waited["all"][1]),
            answered_p99=round(1000 * answered_s),
        )

    async def _tell_each_minute(self) -> None:
        began = time.time()
        while True:
            await asyncio.sleep(60)
            memory = ", ".join(f"{name} {each:.0f} MB" for name, each in self._watch.now().items())
            sys.stderr.write(
                f"{(time.time() - began) / 60:.0f} min: {len(self._people.answered)} of "
                f"{len(self._people.questions)} answered, {len(self._bulk.batches)} batches, "
                f"{len(self._reviewers.decisions)} reviews, {self._exporting.count} exports, "
                f"{len(self._outages.all)} outages; {memory}\n"
            )

    async def aclose(self) -> None:
        await self._caller.aclose()


async def soak(plan: Plan, folder: Path) -> Findings:
    async with AsyncExitStack() as stack:
        world = await asyncio.to_thread(World, folder, several=plan.several)
        stack.callback(world.close)
        running = Soak(plan, world)
        stack.push_async_callback(running.aclose)
        return await running.run()
