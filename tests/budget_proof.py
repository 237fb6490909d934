"""Callers that want more than a budget holds: `python -m tests.budget_proof [--several] [--usd 1]`.

16 at once, against a simulator, of one service on SQLite, or, with `--several`, of four on
PostgreSQL and Redis, which dies halfway. In the end the simulator has billed no more than the
budget, and what is left of it would not pay for a call of each process.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import httpx2
from PIL import Image

from benchmarks.quota import Case, Simulator
from benchmarks.quota_clients import DEPLOYMENT
from tests.pictures import encoded
from tests.redis_server import RedisServer
from tests.service import RunningService
from tests.shared_servers import SharedServers

CALLERS = 16
SERVICES = 4
PATIENCE = 3
"""Refusals after which a caller gives up."""

RPM, TPM = 60_000, 100_000_000
LATENCY = {"mean_s": 0.1, "p95_s": 0.2, "floor_s": 0.05}

INPUT, OUTPUT = Decimal("2.5"), Decimal(10)
"""US dollars for a million tokens of gpt-4o."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    Attributes:
        billed: by the simulator, in US dollars.
        ledger: the spending that the service reports.
        most: the most that one call can cost.
    """

    budget: Decimal
    answered: int
    refused: int
    billed: Decimal
    ledger: Decimal
    most: Decimal

    def complaints(self, processes: int) -> list[str]:
        found = []
        if self.billed > self.budget:
            found.append(f"{self.billed - self.budget} USD were spent too much")
        if self.ledger != self.billed:
            found.append(f"the ledger says {self.ledger}, the bill {self.billed}")
        if self.billed < self.budget - processes * self.most:
            found.append(f"{self.budget - self.billed} USD are left, and nobody may spend them")
        return found


async def prove(usd: Decimal, *, several: bool, dearer: int = 1) -> Outcome:
    """`dearer`: multiple of gpt-4o's price, for a short proof."""
    price = {"input": str(INPUT * dearer), "output": str(OUTPUT * dearer)}
    simulator = Simulator(Case(rpm=RPM, tpm=TPM, behaviour={"latency": LATENCY}))
    try:
        with services(several, simulator.url, usd, price) as (running, redis):
            answered, refused = await spend(running, redis)
            async with httpx2.AsyncClient(base_url=running[0].url, timeout=30) as client:
                ledger = await settled(client)
        billed = simulator.counts()["billed"]
    finally:
        simulator.stop()
    cost = (billed["prompt"] * INPUT + billed["completion"] * OUTPUT) * dearer / 1_000_000
    # A picture, its text, and a cap of 32 tokens for the answer.
    most = (250 * INPUT + 32 * OUTPUT) * dearer / 1_000_000
    return Outcome(usd, answered, refused, cost, ledger, most)


async def spend(running: list[RunningService], redis: RedisServer | None) -> tuple[int, int]:
    """Return how many were answered and refused."""
    numbers, answered, refused = itertools.count(), 0, 0

    async def caller(service: RunningService) -> None:
        nonlocal answered, refused
        mine = 0
        async with httpx2.AsyncClient(base_url=service.url, timeout=60) as client:
            while mine < PATIENCE:
                response = await client.post(
                    "/classify",
                    files={"file": ("a.png", picture(next(numbers)))},
                    data={"domain": "flowers"},
                )
                if response.status_code == 200:
                    answered += 1
                    if answered == 50 and redis is not None:
                        redis.kill()
                elif response.status_code == 429:
                    mine += 1
                    refused += 1
                else:
                    raise RuntimeError(response.text)

    callers = itertools.islice(itertools.cycle(running), CALLERS)
    await asyncio.gather(*map(caller, callers))
    return answered, refused


async def settled(client: httpx2.AsyncClient) -> Decimal:
    """The spending once nothing is reserved any more."""
    for _ in range(100):
        (budget,) = (await client.get("/budgets")).json()["budgets"]
        if not budget["reserved_usd"]:
            break
        await asyncio.sleep(0.1)
    return Decimal(str(budget["spent_usd"]))


def picture(number: int) -> bytes:
    """A different picture for each number."""
    colour = (number % 256, number // 256 % 256, 7)
    return encoded(Image.new("RGB", (64, 64), colour))


@contextmanager
def services(several: bool, simulator: str, usd: Decimal, price: dict[str, str]):
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="budget-")))
        variables = {
            "AZURE_OPENAI_ENDPOINT": simulator,
            "AZURE_OPENAI_API_KEY": "key",
            "AZURE_OPENAI_DEPLOYMENT": DEPLOYMENT,
            "AZURE_OPENAI_MODEL": "gpt-4o",
            "AZURE_OPENAI_PRICE": str(price).replace("'", '"'),
            "RATE_LIMIT_RPM": str(RPM),
            "BUDGETS": f'[{{"name": "all", "amount_usd": {usd}, "period": "month"}}]',
        }
        redis = None
        if several:
            shared = SharedServers(folder)
            stack.callback(shared.close)
            variables |= shared.variables
            redis = shared.redis
        running = []
        for number in range(SERVICES if several else 1):
            own = folder / str(number)
            own.mkdir()
            service = RunningService(own, **variables)
            running.append(service)
            stack.callback(service.stop)
        yield running, redis


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--several", action="store_true")
    parser.add_argument("--usd", type=Decimal, default=Decimal(1))
    given = parser.parse_args()
    outcome = asyncio.run(prove(given.usd, several=given.several))
    complaints = outcome.complaints(SERVICES if given.several else 1)
    told = (
        f"budget {outcome.budget} USD: billed {outcome.billed}, ledger {outcome.ledger}; "
        f"{outcome.answered:,} answered, {outcome.refused} refused"
    )
    sys.stdout.write("\n".join([told, *complaints, ""]))
    sys.exit(bool(complaints))


if __name__ == "__main__":
    main()
