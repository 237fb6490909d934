"""One soak, from starting everything to the final checks."""

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.parts import DOMAINS_EVERY_S
from benchmarks.load import percentile
from tests.bill import Bill, Booked
from tests.receiver_process import Arrival
from tests.soak import figures, proof
from tests.soak.bulk import Bulk
from tests.soak.caller import Caller
from tests.soak.exporting import FORMATS, Exporting
from tests.soak.misfortunes import Misfortunes
from tests.soak.outages import Outages
from tests.soak.people import People
from tests.soak.reviewers import Reviewers
from tests.soak.watch import Watch
from tests.soak.world import World

KNOWN_TO_ALL_S = DOMAINS_EVERY_S + 1
QUIET_WITHIN_S = 240.0
LOOKED_EVERY_S = 0.5
PAGE = 1_000
EVENTS = ["result.created", "result.reviewed", "batch.completed"]

UNSTORED_S = 2.0
"""Answers from this long before a death may not have been stored."""

CALL_S = 6.0
"""API_TIMEOUT: how long a call waits for an Azure that does not answer."""

REDELIVERED_S = 12.0
"""For this long after Redis is back, two processes may work on the same item."""


@dataclass(frozen=True)
class Plan:
    """
    Attributes:
        every_s: mean time between two faults of a kind.
        lasts: the run is long enough to tell whether memory grows.
        at_most_above: share of the bill.
    """

    seconds: float
    several: bool
    seed: int
    every_s: float = 30.0
    lasts: bool = True
    at_most_above: float = 0.01


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

    async def run(self) -> dict[str, Any]:
        """Return the findings; `complaints` is empty when all is well."""
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

    async def _prove(self) -> dict[str, Any]:
        rows = await self._listed()
        complaints = [*self._complaints, *self._people.complaints, *self._exporting.complaints]
        complaints += proof.questions(self._people.questions, rows)
        for each in self._bulk.batches:
            complaints += proof.batch(each, await self._bulk.items(each), rows)
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
        if self._plan.lasts:
            complaints += self._watch.complaints()
        answered, pictures = self._world.azure.answered(), self._pictures()
        at_risk = self._at_risk()
        complaints += proof.paid(answered, pictures, at_risk)
        bill = self._world.azure.bill()
        for name, status in (await asyncio.to_thread(self._world.stop)).items():
            if status:
                complaints.append(f"{name} ended with {status}")
        booked = await Booked.read(self._world.database_url)
        complaints += proof.ledger(booked, bill, at_most_above=self._plan.at_most_above)
        return {
            **self._figures(rows, arrivals, booked, bill),
            "paid_twice": answered - pictures,
            "could_be_paid_twice": at_risk,
            "complaints": complaints,
        }

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

    def _pictures(self) -> int:
        """The number of different pictures asked about."""
        return len({each.picture for each in self._people.questions}) + self._bulk.pictures

    def _at_risk(self) -> int:
        """Calls that were in progress, or whose answers were not stored, when something died, or
        when a process was stopped that waited for a disturbed Azure, which it does only for a
        while."""
        self._world.azure.look()
        seconds: set[int] = set()
        for each in self._outages.all:
            began, ended = each.began - UNSTORED_S, each.ended
            if each.how == "SIGKILL":
                until = {"postgres": ended, "redis": ended + REDELIVERED_S}
                seconds |= {*range(int(began), int(until.get(each.of, each.began)) + 1)}
            elif each.how == "SIGTERM" and self._outages.any(began, ended, "azure", after_s=CALL_S):
                seconds |= {*range(int(began), int(ended) + 1)}
        return self._world.azure.admitted(seconds)

    def _figures(
        self,
        rows: dict[str, dict[str, Any]],
        arrivals: dict[str, list[Arrival]],
        booked: Booked,
        bill: Bill,
    ) -> dict[str, Any]:
        attempts, outages = self._caller.attempts, self._outages
        waited_s = percentile([each.took_s for each in self._people.questions], 0.99)
        return {
            "questions": len(self._people.questions),
            "batches": len(self._bulk.batches),
            "results": len(rows),
            "failed": sum(row["status"] == "failed" for row in rows.values()),
            "reviews": len(self._reviewers.decisions),
            "exports": self._exporting.count,
            "told": figures.told(arrivals),
            "outages": figures.outages(outages),
            "refused": figures.refused(attempts),
            "at once, p50/p99 ms": figures.percentiles("at once", attempts, outages),
            "later, p50/p99 ms": figures.percentiles("later", attempts, outages),
            "until answered, p99 ms": round(1000 * waited_s),
            "event loop lag, p99/p99.9 ms": [self._watch.lag_ms(0.99), self._watch.lag_ms(0.999)],
            "memory and handles": figures.grown(self._watch.longest()),
            "ledger": f"{booked.usd} USD, {float(booked.usd / bill.usd - 1):+.3%} of the bill, "
            f"{booked.calls - bill.calls} calls more, {booked.estimated} estimated",
        }

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


async def soak(plan: Plan, folder: Path) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        world = await asyncio.to_thread(World, folder, several=plan.several)
        stack.callback(world.close)
        running = Soak(plan, world)
        stack.push_async_callback(running.aclose)
        return await running.run()
