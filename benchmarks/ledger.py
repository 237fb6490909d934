"""What the ledger and budgets cost a call: the same questions, to a deployment that answers at
once, by parts of the service that keep no books, that keep them, and that keep three budgets, in
turns, for the machine is noisy. What a round adds is summed within it.

    python -m benchmarks.ledger [--rounds 9] [--at-once 1,16] [--json OUT]
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from app.budget import Budget
from app.classification import Question
from app.cli.serve import settle_interpreter
from app.images import Url
from app.ledger import LedgerEntry
from app.parts import Parts, build_parts
from app.providers.base import Provider, ProviderAnswer
from app.settings import Settings
from app.settings_groups import AzureOpenAISettings, CacheSettings
from app.telemetry.logging import LoggingConfig, configure_logging
from app.traffic.books import OpenCall
from app.traffic.wallet import FREE
from app.usage import TokenUsage
from benchmarks.batch import Prepared
from benchmarks.report import Figure, parser, report, run

GOAL_MS = 0.1
CONCURRENCIES = (1, 16)
QUESTIONS = 400
"""Per round: about as many as are answered in the second after which they are summed."""

PLENTY = Decimal(100_000)
BUDGETS = (
    Budget(name="all", amount_usd=PLENTY),
    Budget(name="flowers", domain="flowers", period="day", amount_usd=PLENTY),
    Budget(name="caller", caller="caller", period="total", amount_usd=PLENTY),
)
BILLED = TokenUsage(390, 12)
WAYS = {"off": (), "on": (), "budgets": BUDGETS}


class NoBooks:
    """Books that record nothing."""

    def __init__(self, parts: Parts, provider: Provider) -> None:
        self.budgets = parts.books.budgets  # there are none
        now = datetime.now(UTC)
        entry = LedgerEntry("", now, "", "", "", "", "", "", "")
        self._call = OpenCall(entry, provider, TokenUsage(), FREE, 0)

    def begin(self, *_: object) -> OpenCall:
        return self._call

    def end(self, *_: object) -> None:
        return

    def booked(self, entries: Iterable[LedgerEntry]) -> None:
        return


class Service:
    """One of the measured services."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._asked = 0

    @classmethod
    async def built(cls, way: str, folder: Path, stack: AsyncExitStack) -> "Service":
        azure = AzureOpenAISettings(
            endpoint="http://localhost:1", api_key="key", deployment="gpt-4o", model="gpt-4o"
        )
        settings = Settings(
            database_url=f"sqlite:///{folder}/{way}/app.db",
            azure_openai=azure,
            rate_limit_rpm=10_000_000,
            cache=CacheSettings(ttl=0),
            budgets=WAYS[way],
        )
        parts = await stack.enter_async_context(build_parts(settings))
        parts.classification._intake = Prepared(parts.classification._intake)
        (provider,) = await parts.providers.get("azure_openai")
        provider.classify = _answering(provider.cost(BILLED))
        if way == "off":
            books = NoBooks(parts, provider)
            parts.dispatcher._calls._books = books
            parts.classification._savings._books = parts.classification._storing._books = books
            provider.most = lambda *_: BILLED
        return cls(parts)

    async def round(self, concurrency: int) -> float:
        """Milliseconds of CPU time per question, of all threads, in the second of two runs: during
        the first, leases grow to the size that is needed."""
        await self._second(concurrency)
        before = time.process_time()
        await self._second(concurrency)
        return (time.process_time() - before) / QUESTIONS * 1000

    async def _second(self, concurrency: int) -> None:
        left = iter(range(QUESTIONS))

        async def ask() -> None:
            for _ in left:
                self._asked += 1
                source = Url(f"https://example.org/{self._asked}.jpg")
                question = Question(source, "flowers", "caller", fresh=True)
                await self._parts.classification.classify(question)

        await asyncio.gather(*(ask() for _ in range(concurrency)))
        if not isinstance(self._parts.classification._storing._books, NoBooks):
            await self._parts.books._sum()


def _answering(cost: Decimal | None) -> Any:
    billed = TokenUsage(BILLED.prompt, BILLED.completion, cost_usd=cost, price="12345678")

    async def classify(_: object, domain: Any, **__: object) -> ProviderAnswer:
        await asyncio.sleep(0)
        label = domain.labels[0]
        return ProviderAnswer(
            label, {label: 1.0}, "logprobs", "gpt-4o", "gpt-4o", usage=billed, image_tokens=255
        )

    return classify


async def measure(
    folder: Path, *, rounds: int, concurrencies: Sequence[int] = CONCURRENCIES
) -> dict[str, Any]:
    """By concurrency: medians over the rounds of what each way costs and of how much more that is
    than `off` in the same round; `least` is the minimum over all rounds."""
    async with AsyncExitStack() as stack:
        services = {way: await Service.built(way, folder, stack) for way in WAYS}
        for each in services.values():
            await each.round(concurrency=4)
        return {
            str(concurrency): _figures(
                [
                    {way: await each.round(concurrency) for way, each in services.items()}
                    for _ in range(rounds)
                ]
            )
            for concurrency in concurrencies
        }


def _figures(rounds: Sequence[dict[str, float]]) -> dict[str, Any]:
    more = {way: [each[way] - each["off"] for each in rounds] for way in WAYS if way != "off"}
    return {
        "cpu_ms": {way: statistics.median(each[way] for each in rounds) for way in WAYS},
        "least_cpu_ms": {way: min(each[way] for each in rounds) for way in WAYS},
        "more_ms": {way: statistics.median(each) for way, each in more.items()},
        "least_more_ms": {
            way: min(each[way] for each in rounds) - min(each["off"] for each in rounds)
            for way in more
        },
        "within_goal": {way: statistics.median(each) <= GOAL_MS for way, each in more.items()},
    }


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    for concurrency, each in found.items():
        least = each["least_cpu_ms"]
        for way, told in (("on", "the ledger"), ("budgets", "the ledger and three budgets")):
            yield Figure(
                name=f"a call with {told}, {concurrency} at once",
                value=least[way],
                unit="ms of CPU",
                beside="without",
                beside_value=least["off"],
            )
            yield Figure(
                name=f"CPU time of {told}, {concurrency} at once",
                value=each["more_ms"][way],
                unit="ms of CPU",
                beside="a call without",
                beside_value=each["cpu_ms"]["off"],
                goal=GOAL_MS,
            )


def main() -> None:
    arguments = parser(__doc__, rounds=9)
    arguments.add_argument("--at-once", default=",".join(map(str, CONCURRENCIES)))
    options = arguments.parse_args()
    concurrencies = [int(each) for each in options.at_once.split(",")]
    configure_logging(LoggingConfig(level="warning"))
    settle_interpreter()
    with tempfile.TemporaryDirectory() as name:
        found = run(measure(Path(name), rounds=options.rounds, concurrencies=concurrencies))
    report({"goal_ms": GOAL_MS, **found}, options, figures(found))


if __name__ == "__main__":
    main()
