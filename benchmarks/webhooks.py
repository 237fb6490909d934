"""Webhooks, delivered to receivers in a process of their own, which verify each signature:

    python -m benchmarks.webhooks [--cases throughput,isolation,pick] [--endpoints 100]
        [--events 200] [--latency 0.005] [--rounds 3] [--json OUT]

`throughput`: a real server finds `--events` for each endpoint at its start, and sends them.
`isolation`: 150 events a second, one endpoint after the other, with all endpoints healthy, and in
turns with one among them that never answers and one that only fails; what the others see.
`pick`: finding what to send next among many thousands that wait, on SQLite and on PostgreSQL.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.cli.serve import settle_interpreter
from app.parts import Parts, build_parts
from app.result import Result
from app.settings import Settings
from app.settings_groups import ApiKey
from app.storage import Database, Outbox, ResultRepository
from app.storage.audit import COMMAND_LINE
from app.telemetry.logging import LoggingConfig, configure_logging
from app.webhooks.signing import new_secret
from benchmarks import instant
from benchmarks.export import result
from benchmarks.load import percentile
from benchmarks.report import Figure, parser, report, run
from benchmarks.webhooks_pick import pick
from tests.process import Process
from tests.receiver_process import Arrival, Receiver
from tests.service import ROOT, RunningService

CASES = ("throughput", "isolation", "pick")

PER_SECOND = 150.0
"""With 100 endpoints: deliberately not one event a second for each, which is how long a sender
waits for more when all is sent. Whether an event came just before or just after would make a
difference of 50 ms."""

WARM_UP_S, COUNTED_S = 5.0, 20.0
"""An endpoint that never answers is detected only after its timeout of 15 seconds."""

ARRIVES_WITHIN_S = 60.0
"""If none arrives for this long, the benchmark is stuck."""

NOBODY = ApiKey(name="nobody", sha256="0" * 64)
"""With keys there are separate callers, each of whom receives only its own events."""

PENDING = 100_000


async def throughput(
    endpoints: int, events: int, latency_s: float, folder: Path
) -> dict[str, float]:
    """Every endpoint receives all events, which are written before the server starts."""
    secret, count = new_secret(), endpoints * events
    receiver = await asyncio.to_thread(Receiver, secret, latency_s=latency_s)
    variables = {"PROVIDER": "instant", "PYTHONPATH": f"{folder}:{ROOT}"}
    service = await asyncio.to_thread(
        lambda: RunningService(folder, EGRESS_ALLOW=receiver.place, **variables)
    )
    for number in range(endpoints):
        await asyncio.to_thread(_register, service, receiver.url(f"/good/{number}"), secret)
    await asyncio.to_thread(service.stop)
    await _tell(Database(f"sqlite:///{folder}/app.db"), events)
    before = Process(receiver.pid).cpu_s()
    await asyncio.to_thread(service.start)
    sender = Process(service.process.pid)
    idle = sender.cpu_s()
    await _arrived(receiver, count)
    costs = sender.cpu_s() - idle, Process(receiver.pid).cpu_s() - before
    arrived = await asyncio.to_thread(receiver.arrived)
    await asyncio.to_thread(service.stop)
    receiver.stop()
    return {
        "deliveries": count,
        "twice": len(arrived) - len({(each.path, each.event_id) for each in arrived}),
        "wrong_signatures": sum(each.refused is not None for each in arrived),
        "per_second": len(arrived) / (arrived[-1].at - arrived[0].at),
        "sender_cpu_ms": costs[0] / len(arrived) * 1000,
        "receiver_cpu_ms": costs[1] / len(arrived) * 1000,
    }


def _register(service: RunningService, url: str, secret: str) -> None:
    body = json.dumps({"url": url, "event_types": ["result.created"], "secret": secret}).encode()
    headers = {"content-type": "application/json"}
    wanted = urllib.request.Request(f"{service.url}/webhooks", body, headers)  # noqa: S310
    urllib.request.urlopen(wanted).close()  # noqa: S310 - our own server


async def _tell(database: Database, events: int) -> None:
    outbox = Outbox(database, None)
    await outbox.load()
    results = ResultRepository(database, outbox)
    await asyncio.gather(*(results.insert(result(number)) for number in range(events)))
    await database.close()


async def _arrived(receiver: Receiver, count: int) -> None:
    """Wait for this many, or until nothing has arrived for a minute."""
    so_far, at = 0, time.monotonic()
    while so_far < count:
        await asyncio.sleep(0.1)
        found = await asyncio.to_thread(receiver.count)
        if found == so_far and time.monotonic() - at > ARRIVES_WITHIN_S:
            raise RuntimeError(f"{so_far} of {count} deliveries arrive")
        if found > so_far:
            so_far, at = found, time.monotonic()


@dataclass(frozen=True, slots=True)
class Seen:
    """How long the healthy endpoints waited for events."""

    waits_s: Sequence[float]
    missing: int

    def milliseconds(self, share: float) -> float:
        return percentile(self.waits_s, share) * 1000


async def isolation(
    endpoints: int, latency_s: float, rounds: int, seconds: float, folder: Path
) -> dict[str, Any]:
    """The two unhealthy endpoints are counted in neither case."""
    seen: dict[str, list[Seen]] = {"healthy": [], "beside_the_sick": []}
    for turn in range(rounds):
        for name, sick in (("healthy", ()), ("beside_the_sick", ("hang", "fail"))):
            own = folder / f"{turn}-{name}"
            own.mkdir()
            seen[name].append(await _watch(endpoints, latency_s, sick, seconds, own))
    found: dict[str, Any] = {
        name: {
            "p50_ms": statistics.median(each.milliseconds(0.5) for each in rounds_of),
            "p99_ms": statistics.median(each.milliseconds(0.99) for each in rounds_of),
            "events": sum(len(each.waits_s) for each in rounds_of),
            "missing": sum(each.missing for each in rounds_of),
        }
        for name, rounds_of in seen.items()
    }
    pairs = list(zip(*seen.values(), strict=True))
    for name, share in (("p50_ratio", 0.5), ("p99_ratio", 0.99)):
        ratios = [sick.milliseconds(share) / well.milliseconds(share) for well, sick in pairs]
        found[name] = statistics.median(ratios)
        found[f"{name}s"] = ratios
    return found


async def _watch(
    endpoints: int, latency_s: float, sick: Sequence[str], seconds: float, folder: Path
) -> Seen:
    secret = new_secret()
    receiver = await asyncio.to_thread(Receiver, secret, latency_s=latency_s)
    settings = Settings(
        database_url=f"sqlite:///{folder}/app.db",
        provider="instant",
        egress_allow=receiver.place,
        api_keys=(NOBODY,),
    )
    async with build_parts(settings, serving=True) as parts:
        settle_interpreter()
        for number in range(endpoints):
            kind = sick[number] if number < len(sick) else "good"
            await _register_here(parts, number, receiver.url(f"/{kind}/{number}"), secret)
        told = await _tell_evenly(parts, endpoints, WARM_UP_S + seconds)
        counted = {
            each.id: each
            for number, each in enumerate(told)
            if number >= WARM_UP_S * PER_SECOND and number % endpoints >= 2
        }
        arrived = await _waits(receiver, counted)
    receiver.stop()
    return Seen(list(arrived.values()), len(counted) - len(arrived))


async def _register_here(parts: Parts, number: int, url: str, secret: str) -> None:
    values = {
        "url": url,
        "event_types": ["result.created"],
        "domains": [],
        "description": None,
        "rate_limit": None,
        "headers": None,
    }
    await parts.webhooks.create(f"shop-{number}", values, secret=secret, by=COMMAND_LINE)


async def _tell_evenly(parts: Parts, endpoints: int, seconds: float) -> list[Result]:
    """In the process that sends, as a request would."""
    told, began = [], time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(round(PER_SECOND * seconds)):
            await asyncio.sleep(began + number / PER_SECOND - time.perf_counter())
            caller = f"shop-{number % endpoints}"
            told.append(result(number).model_copy(update={"caller": caller}))
            group.create_task(parts.results.insert(told[-1]))
    return told


async def _waits(receiver: Receiver, told: dict[str, Result]) -> dict[str, float]:
    """For each event that arrives in time, at its first delivery."""
    ends_at = time.monotonic() + ARRIVES_WITHIN_S
    while True:
        seen: list[Arrival] = await asyncio.to_thread(receiver.arrived)
        waits = {each.subject: each.waited_s for each in reversed(seen) if each.subject in told}
        if len(waits) == len(told) or time.monotonic() > ends_at:
            return waits
        await asyncio.sleep(0.5)


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    if sent := found.get("throughput"):
        yield Figure(
            name="CPU time of a delivery",
            value=sent["sender_cpu_ms"],
            unit="ms",
            beside="receiving and verifying it",
            beside_value=sent["receiver_cpu_ms"],
        )
        yield Figure(
            name="deliveries",
            value=sent["per_second"],
            unit="a second",
            better="higher",
            beside="a core that only receives and verifies",
            beside_value=1000 / sent["receiver_cpu_ms"],
        )
    if seen := found.get("isolation"):
        for share, kind in (("median", "p50_ms"), ("99th percentile", "p99_ms")):
            yield Figure(
                name=f"from event to delivery while one endpoint hangs and one fails, {share}",
                value=seen["beside_the_sick"][kind],
                unit="ms",
                beside="all endpoints healthy",
                beside_value=seen["healthy"][kind],
            )
    for database, picked in found.get("pick", {}).items():
        yield Figure(
            name=f"finding what is due among many that wait, {database}, 99th percentile",
            value=picked["analyzed"]["due"]["p99_ms"],
            unit="ms",
            beside="where few wait",
            beside_value=picked["analyzed"]["other"]["p99_ms"],
        )


def main() -> None:
    arguments = parser(__doc__, rounds=3)
    arguments.add_argument("--cases", default=",".join(CASES))
    arguments.add_argument("--endpoints", type=int, default=100)
    arguments.add_argument("--events", type=int, default=200, help="for each endpoint")
    arguments.add_argument("--latency", type=float, default=0.005, help="of receivers, in seconds")
    arguments.add_argument("--seconds", type=float, default=COUNTED_S, help="of isolation's rounds")
    arguments.add_argument("--pending", type=int, default=PENDING, help="that wait meanwhile")
    options = arguments.parse_args()
    configure_logging(LoggingConfig(level="error"))
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        instant.install(folder)
        sys.path.insert(0, name)
        for case in options.cases.split(","):
            own = folder / case
            own.mkdir()
            match case:
                case "throughput":
                    # The plug-in is found next to the database.
                    instant.install(own)
                    work = throughput(options.endpoints, options.events, options.latency, own)
                case "isolation":
                    work = isolation(
                        options.endpoints, options.latency, options.rounds, options.seconds, own
                    )
                case _:
                    work = pick(options.pending, own)
            found[case] = run(work)
    report(found, options, figures(found))


if __name__ == "__main__":
    main()
