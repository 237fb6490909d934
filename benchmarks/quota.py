"""How much of a quota is spent on answers: this service, a semaphore around the SDK, and a token
bucket that sleeps on a 429, side by side, each against a simulator of its own.

    python -m benchmarks.quota [--cases steady,bursty,...] [--minutes 3] [--json OUT]

600 requests a minute, enforced over windows of 10 s, 5 to 50 ms of network each way. The first
minute is not counted. `share` is of what a case leaves of the quota: where another tenant takes
30 % the rest, where one call in twenty fails after it was admitted the other nineteen.
"""

import asyncio
import json
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.load import percentile
from benchmarks.quota_clients import CLIENTS, DEPLOYMENT, Plan, command
from benchmarks.report import Figure, parser, report
from tests.redis_server import RedisServer
from tests.simulator_process import SimulatorProcess

RPM, PLENTY = 600, 100_000_000
CALL_TOKENS, IMAGE_TOKENS = 186, 85
"""Tokens that the simulator counts for one of these calls, and for the picture in it."""
NETWORK = {"network_min_s": 0.005, "network_max_s": 0.05}
PEERS = {
    "semaphore": "`Semaphore(32)` around the SDK",
    "script": "a token bucket that sleeps on 429",
}
PEER_NAMES = {"semaphore": "the semaphore", "script": "the token bucket"}
GOAL_SHARE = 0.97
LATENCY = {"mean_s": 0.9, "p95_s": 1.7, "floor_s": 0.3, **NETWORK}
"""Latency of the model: its 99th percentile is 2.5 s, whatever comes on top."""


@dataclass(frozen=True)
class Order:
    """A change made to one of the simulators `at` a share of the measured time."""

    at: float
    change: dict[str, Any]
    simulator: int = 0


@dataclass(frozen=True)
class Case:
    """
    Attributes:
        call_tokens: tokens that the simulator counts for one of these calls.
        left: the share of the quota that is available over the measured time.
        behaviour: of the simulators, from the start.
    """

    burst: int = 13
    every_s: float = 1.0
    rpm: int = RPM
    tpm: int = PLENTY
    deployments: int = 1
    replicas: int = 1
    people: float = 0.0
    left: float = 1.0
    call_tokens: int = CALL_TOKENS
    behaviour: dict[str, Any] = field(default_factory=dict)
    orders: tuple[Order, ...] = ()

    @property
    def per_minute(self) -> float:
        """Calls that the quota allows, before `orders`."""
        return min(self.rpm, self.tpm / self.call_tokens) * self.deployments

    @property
    def period_s(self) -> int:
        """Length of the window in which the quota is enforced. Measurements start and end with a
        window; otherwise a client that takes all of it at once would seem to get more than there
        is."""
        return 60 if self.tpm < PLENTY else 10


CASES = {
    "steady": Case(),
    "bursty": Case(burst=260, every_s=20.0),
    "one_second_windows": Case(behaviour={"window_s": 1}),
    "tokens": Case(rpm=6_000, tpm=RPM * CALL_TOKENS),
    "tokens_without_pictures": Case(
        rpm=6_000,
        tpm=RPM * (CALL_TOKENS - IMAGE_TOKENS),
        call_tokens=CALL_TOKENS - IMAGE_TOKENS,
        behaviour={"images_count": False},
    ),
    "tenant": Case(left=0.85, orders=(Order(0.5, {"tenant_share": 0.3}),)),
    "halved": Case(left=0.75, orders=(Order(0.5, {"rpm": RPM // 2}),)),
    "faults": Case(left=0.95, behaviour={"faults": [{"kind": "error_500", "share": 0.05}]}),
    "death": Case(
        burst=8,
        deployments=2,
        left=0.4,
        orders=(Order(1 / 3, {"down": True}), Order(2 / 3, {"down": False})),
    ),
    "people": Case(burst=2, every_s=0.15, people=2 / 13.3),
    "replicas": Case(burst=3, every_s=0.9, replicas=4),
}


class Simulator(SimulatorProcess):
    """A simulator with one deployment."""

    def __init__(self, case: Case) -> None:
        deployment = f"{DEPLOYMENT}:gpt-4o:{case.rpm}:{case.tpm}"
        super().__init__("--accuracy", "0.97", "--deployment", deployment)
        self.order({"latency": LATENCY, **case.behaviour})

    def order(self, change: dict[str, Any]) -> None:
        self._ask(f"/_sim/deployments/{DEPLOYMENT}", json.dumps(change).encode())

    def counts(self) -> dict[str, Any]:
        counts: dict[str, Any] = self._ask("/_sim")["deployments"][DEPLOYMENT]["counts"]
        return counts

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own simulator
            self.url + path, body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return json.loads(answer.read())


@dataclass(frozen=True)
class Spell:
    """How long a case lasts: seconds that are not counted, and seconds that are."""

    warm_up: float
    counted: float


async def measure(name: str, case: Case, spell: Spell, folder: Path) -> dict[str, float]:
    """Run one client in one case."""
    redis = RedisServer(folder) if case.replicas > 1 else None
    simulators = [await asyncio.to_thread(Simulator, case) for _ in range(case.deployments)]
    plan = Plan(
        urls=[each.url for each in simulators],
        rpm=case.rpm,
        tpm=case.tpm,
        seconds=spell.warm_up + case.period_s + spell.counted + 3,
        burst=case.burst,
        every_s=case.every_s,
        people=case.people,
        redis_url=redis.url if redis and name == "service" else None,
    )
    files = [folder / f"{number}.jsonl" for number in range(case.replicas)]
    processes = []
    for file in files:
        with file.open("w") as out:
            processes.append(
                await asyncio.create_subprocess_exec(
                    *command(name, plan), stdout=out, stderr=subprocess.DEVNULL
                )
            )
    await asyncio.sleep(spell.warm_up)
    await asyncio.sleep(-time.time() % case.period_s)
    began, before = time.time(), _sum(simulators)
    for order in case.orders:
        await asyncio.sleep(began + order.at * spell.counted - time.time())
        await asyncio.to_thread(simulators[order.simulator].order, order.change)
    await asyncio.sleep(began + spell.counted - time.time())
    lasted, after = time.time() - began, _sum(simulators)
    for process in processes:
        await process.wait()
    for simulator in simulators:
        simulator.stop()
    if redis:
        redis.kill()
    spent = {name: after[name] - before[name] for name in after}
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    ended = [each for each in lines if began <= each["at"] < began + lasted]
    return _figures(case, lasted, spent, ended)


def _sum(simulators: Sequence[Simulator]) -> dict[str, float]:
    names = ("arrived", "accepted", "answered", "refused_requests", "refused_tokens")
    counts = [each.counts() for each in simulators]
    return {name: sum(each[name] for each in counts) for name in names}


def _figures(
    case: Case, lasted: float, spent: dict[str, float], lines: list[dict[str, Any]]
) -> dict[str, float]:
    minutes = lasted / 60
    refused = spent["refused_requests"] + spent["refused_tokens"]
    waits = [each["waited_s"] for each in lines if each["answered"]]
    people = [each["waited_s"] for each in lines if each["person"] and each["answered"]]
    figures = {
        "share": spent["answered"] / (case.per_minute * case.left * minutes),
        "answers_per_minute": spent["answered"] / minutes,
        "refused_share": refused / max(1, spent["arrived"]),
        "retries_per_picture": max(0.0, spent["arrived"] / max(1, len(lines)) - 1),
        "tokens_wasted_share": max(0.0, 1 - spent["answered"] / max(1, spent["accepted"])),
        "failed": sum(not each["answered"] for each in lines),
        "p50_wait_s": percentile(waits, 0.5),
        "p95_wait_s": percentile(waits, 0.95),
        "p99_took_s": percentile([each["took_s"] for each in lines], 0.99),
    }
    return figures | ({"p95_wait_of_people_s": percentile(people, 0.95)} if people else {})


async def compare(
    names: Sequence[str], clients: Sequence[str], spell: Spell, at_once: int
) -> dict[str, Any]:
    """Run clients side by side, with this many cases at once."""
    room = asyncio.Semaphore(at_once)

    async def one(name: str) -> dict[str, Any]:
        case = CASES[name]
        async with room:
            with tempfile.TemporaryDirectory() as folder:
                found = await asyncio.gather(
                    *(measure(each, case, spell, _made(folder, each)) for each in clients)
                )
        return dict(zip(clients, found, strict=True))

    return dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))


def _made(folder: str, name: str) -> Path:
    path = Path(folder) / name
    path.mkdir()
    return path


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    for case, clients in found.items():
        ours = clients["service"]
        for peer in [name for name in PEERS if name in clients]:
            each = clients[peer]
            yield Figure(
                name=f"{case}: quota spent on answers, beside the {PEER_NAMES[peer]}",
                value=ours["share"],
                unit="%",
                better="higher",
                beside=PEERS[peer],
                beside_value=each["share"],
                goal=GOAL_SHARE,
            )
            yield Figure(
                name=f"{case}: calls refused, beside the {PEER_NAMES[peer]}",
                value=ours["refused_share"],
                unit="%",
                beside=PEERS[peer],
                beside_value=each["refused_share"],
            )


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--cases", default=",".join(CASES))
    arguments.add_argument("--clients", default=",".join(CLIENTS))
    arguments.add_argument("--minutes", type=float, default=3.0)
    arguments.add_argument("--warm-up", type=float, default=1.0, help="minutes before them")
    arguments.add_argument("--at-once", type=int, default=2, help="cases")
    options = arguments.parse_args()
    found = asyncio.run(
        compare(
            options.cases.split(","),
            options.clients.split(","),
            Spell(options.warm_up * 60, options.minutes * 60),
            options.at_once,
        )
    )
    report(found, options, figures(found))


if __name__ == "__main__":
    main()
