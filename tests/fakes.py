"""A provider that a test scripts."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import EntryPoint
from inspect import isawaitable

from app.budget import Budget
from app.errors import ProviderError, ProviderUnknown
from app.providers.base import Capabilities, Prompt, ProviderAnswer, Quote
from app.providers.image_tokens import ImageTokens
from app.providers.registry import GROUP
from app.storage import BudgetRepository, Database, LedgerRepository, Outbox
from app.traffic import Books, Budgets, CallJournal
from app.usage import QuotaReport, TokenUsage


def answer(
    label: str = "rose",
    confidence: float = 0.9,
    usage: TokenUsage | None = None,
    quota: QuotaReport | None = None,
):
    return ProviderAnswer(
        label,
        {label: confidence},
        "stated",
        "fake-1",
        usage=usage or TokenUsage(),
        quota=quota or QuotaReport(),
    )


def spent_with(error: ProviderError, usage: TokenUsage) -> ProviderError:
    error.usage = usage
    return error


def after(seconds: float, outcome):
    """A step of a script that takes time."""

    async def step():
        await asyncio.sleep(seconds)
        return outcome

    return step


class FakeProvider:
    """Plays `script`, with an answer, an error or a function for each call; then keeps answering.

    Attributes:
        timeouts: those given to each call.
        called_at: the time of each call, by the event loop's clock.
        asked: set by the first call.
        hold: calls wait while it is cleared.
    """

    def __init__(
        self,
        name: str = "fake",
        *steps,
        metered: bool = False,
        deployment: str = "fake-deployment",
        tokens: int = 0,
    ) -> None:
        self.name = name
        self.deployment = deployment
        self.tokens = tokens
        self.script = deque(steps)
        self.metered = metered
        self.timeouts: list[float] = []
        self.called_at: list[float] = []
        self.asked = asyncio.Event()
        self.hold = asyncio.Event()
        self.hold.set()

    @property
    def calls(self) -> int:
        return len(self.timeouts)

    def capabilities(self) -> Capabilities:
        return Capabilities("fake-1", self.deployment, self.metered, "stated")

    def estimate_tokens(self, image, domain) -> int:
        return self.tokens

    async def classify(self, image, domain, *, timeout, code_order=None, examples=()):
        self.timeouts.append(timeout)
        self.called_at.append(asyncio.get_running_loop().time())
        self.asked.set()
        await self.hold.wait()
        step = self.script.popleft() if self.script else answer(domain.labels[0])
        if isinstance(step, Callable):
            step = step()
        if isawaitable(step):
            step = await step
        if isinstance(step, Exception):
            raise step
        return step

    async def aclose(self) -> None:
        return


COST_USD, MOST_USD = Decimal("0.004"), Decimal("0.01")
"""Of a call to a PricedProvider, and the most that it may cost."""


class PricedProvider(FakeProvider):
    """Metered, and knows its cost. `price` None: the price is not known."""

    def __init__(self, name: str = "priced", *steps, **options) -> None:
        super().__init__(name, *steps, metered=True, **options)
        self.price: str | None = "test"

    def quote(self, domain) -> Quote:
        return Quote(Prompt("What is it?", "", None), 40, 10, 10)

    def image_tokens(self, image, domain) -> ImageTokens:
        return ImageTokens(50, estimated=False)

    def cost(self, usage: TokenUsage) -> Decimal | None:
        return COST_USD * (usage.prompt + usage.completion) / 100 if self.price else None

    def most(self, image, domain) -> TokenUsage:
        return TokenUsage(200, 50, {}, MOST_USD if self.price else None, self.price)

    async def classify(self, image, domain, **how):
        got = await super().classify(image, domain, **how)
        usage = TokenUsage(90, 10, {}, COST_USD if self.price else None, self.price)
        return replace(got, deployment=self.deployment, usage=usage, image_tokens=50)


class Registry:
    """A registry of fakes: those of one name are deployments of one provider."""

    def __init__(self, *deployments: FakeProvider) -> None:
        self._providers: dict[str, tuple[FakeProvider, ...]] = {}
        for each in deployments:
            self._providers[each.name] = (*self._providers.get(each.name, ()), each)

    async def get(self, name: str) -> tuple[FakeProvider, ...]:
        if name not in self._providers:
            raise ProviderUnknown(name)
        return self._providers[name]


def create(context) -> FakeProvider:
    return FakeProvider()


def create_second(context) -> FakeProvider:
    return FakeProvider("second")


def create_priced(context) -> PricedProvider:
    return PricedProvider()


ENTRY_POINTS = (
    EntryPoint("fake", "tests.fakes:create", GROUP),
    EntryPoint("second", "tests.fakes:create_second", GROUP),
    EntryPoint("priced", "tests.fakes:create_priced", GROUP),
)


def unkept_books(*budgets: Budget) -> Books:
    """Books without lasting storage: a database in memory, never queried unless there are
    budgets."""
    database = Database("sqlite://")
    outbox = Outbox(database, None)
    leases = BudgetRepository(database)
    return Books(
        "prc_test",
        CallJournal(None, "prc_test"),
        LedgerRepository(database, outbox),
        Budgets(leases, budgets, process="prc_test", clock=lambda: datetime.now(UTC)),
        leases,
        clock=lambda: datetime.now(UTC),
    )
