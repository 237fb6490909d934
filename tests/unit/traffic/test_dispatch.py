"""Asking providers: retries, time, limits and fallbacks, in virtual time."""

import asyncio
from decimal import Decimal

import pytest
from PIL import Image

from app.budget import Payer
from app.domains import Domain
from app.errors import (
    BudgetSpent,
    ContentFiltered,
    ProviderAdjusting,
    ProviderAnswerInvalid,
    ProviderCannotServeDomain,
    ProviderRateLimited,
    ProviderRefused,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from app.images import prepare
from app.settings import Settings
from app.settings_groups import ApiSettings, TrafficSettings
from app.telemetry.health import Health
from app.telemetry.metrics import Metrics
from app.traffic import Case, Dispatcher, Spent
from app.traffic.deployment import UNKNOWN_CALL_S
from app.traffic.wallet import FREE
from app.usage import TokenUsage
from tests.fakes import (
    MOST_USD,
    FakeProvider,
    PricedProvider,
    Registry,
    after,
    answer,
    spent_with,
    unkept_books,
)
from tests.pictures import encoded
from tests.virtual_time import now

pytestmark = pytest.mark.virtual_time

IMAGE = prepare(encoded(Image.new("RGB", (8, 8))), longest=8)
USAGE = TokenUsage(100, 2, {"cached": 10})


def domain(**fields) -> Domain:
    return Domain(name="flowers", classes=("rose", "daisy"), **fields)


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def dispatcher(health):
    def made(
        *providers: FakeProvider,
        rpm: int = 60,
        jitter: float = 0.5,
        retries: int = 3,
        total_s: float = 30.0,
    ) -> Dispatcher:
        settings = Settings(
            rate_limit_rpm=rpm,
            api=ApiSettings(max_retries=retries, timeout=total_s),
            traffic=TrafficSettings(retry_share=1.0),
        )
        return Dispatcher(
            Registry(*providers), settings, Metrics(), health, unkept_books(), jitter=lambda: jitter
        )

    return made


async def ask(dispatcher: Dispatcher, *names: str, spent: Spent | None = None, **fields):
    case = Case(IMAGE, domain(**fields), Payer("test"), spent=spent or Spent())
    return await dispatcher.ask(names or ("fake",), case)


async def test_the_first_answer_is_the_answer(dispatcher, health):
    provider, spent = FakeProvider("fake", after(0.2, answer(usage=USAGE))), Spent()

    got = await ask(dispatcher(provider), spent=spent)

    assert got.label == "rose"
    assert (spent.calls, spent.provider, spent.usage) == (1, "fake", USAGE)
    assert spent.provider_s == pytest.approx(0.2)
    assert spent.wait_s == 0
    assert spent.capabilities == provider.capabilities()
    assert health.last_provider_success is not None


async def test_a_failed_call_is_tried_again_after_a_growing_wait(dispatcher):
    """Half a second on average, then twice as long each time."""
    provider = FakeProvider("fake", *[ProviderUnavailable("503")] * 3)
    spent = Spent()

    await ask(dispatcher(provider, jitter=0.5), spent=spent)

    assert provider.called_at == pytest.approx([1000, 1000.5, 1001.5, 1003.5])
    assert spent.wait_s == pytest.approx(3.5)
    assert spent.calls == 4


@pytest.mark.parametrize("retries", [0, 1, 3])
async def test_it_is_given_up_after_the_last_retry(dispatcher, health, retries):
    provider = FakeProvider("fake", *[ProviderUnavailable("503")] * 20)

    with pytest.raises(ProviderUnavailable):
        await ask(dispatcher(provider, retries=retries))

    assert provider.calls == 1 + retries
    assert health.last_provider_success is None


@pytest.mark.parametrize(("of_domain", "calls"), [(0, 1), (1, 2), (5, 6), (None, 4)])
async def test_the_domains_retries_win(dispatcher, of_domain, calls):
    provider = FakeProvider("fake", *[ProviderUnavailable("503")] * 20)

    with pytest.raises(ProviderUnavailable):
        await ask(dispatcher(provider, retries=3), max_retries=of_domain)

    assert provider.calls == calls


async def test_the_total_time_is_kept(dispatcher):
    """Each call gets what is left; no call begins after the end."""
    slow = [after(4, ProviderUnavailable("503"))] * 20
    provider = FakeProvider("fake", *slow)
    began = now()

    with pytest.raises(ProviderUnavailable):
        await ask(dispatcher(provider, retries=10, total_s=10, jitter=0.25))

    assert provider.timeouts == pytest.approx([10, 5.75, 1.25])
    assert now() - began < 10 + 4


async def test_a_call_that_does_not_end_is_cut_off(dispatcher):
    """Though the provider does not keep its timeout."""
    provider = FakeProvider()
    provider.hold.clear()

    with pytest.raises(ProviderTimeout):
        await ask(dispatcher(provider, retries=0, total_s=0.02))

    assert provider.calls == 1


async def test_a_call_that_taught_how_to_ask_is_made_again_at_once(dispatcher):
    """It is no attempt: retries are left for what fails. What it cost is added."""
    taught = spent_with(ProviderAdjusting("no logprobs"), USAGE)
    provider = FakeProvider("fake", taught, taught, ProviderUnavailable("503"), answer(usage=USAGE))
    spent = Spent()

    await ask(dispatcher(provider, retries=1), spent=spent)

    assert provider.called_at == pytest.approx([1000, 1000, 1000, 1000.5])
    assert spent.calls == 4
    assert spent.usage.prompt == 300


async def test_each_call_that_taught_how_to_ask_is_under_the_limit(dispatcher):
    """They count at the provider as well."""
    taught = [ProviderAdjusting("no logprobs")] * 5
    provider = FakeProvider("fake", *taught, metered=True)

    with pytest.raises(ProviderRateLimited):
        await ask(dispatcher(provider, rpm=12, total_s=11 + UNKNOWN_CALL_S))

    assert provider.calls == 2


async def test_a_provider_that_never_learns_is_given_up(dispatcher):
    provider = FakeProvider("fake", *[ProviderAdjusting("again")] * 50)

    with pytest.raises(ProviderAdjusting):
        await ask(dispatcher(provider))

    assert provider.calls < 12


async def test_the_wait_that_was_asked_for_is_waited(dispatcher):
    provider = FakeProvider("fake", ProviderRateLimited("429", retry_after_s=12.5), metered=True)
    spent = Spent()

    await ask(dispatcher(provider), spent=spent)

    assert provider.called_at == pytest.approx([1000, 1012.5])
    assert spent.wait_s == pytest.approx(12.5)


async def test_a_wait_that_does_not_fit_is_not_waited(dispatcher):
    """The caller learns it at once. A day is not believed: after a minute it is tried again."""
    provider = FakeProvider("fake", ProviderRateLimited("429", retry_after_s=86_400), metered=True)
    began = now()

    with pytest.raises(ProviderRateLimited) as raised:
        await ask(dispatcher(provider, total_s=30))

    assert now() == began
    assert raised.value.retry_after_s == pytest.approx(60 - (30 - UNKNOWN_CALL_S) / 2, abs=0.1)


@pytest.mark.parametrize(
    "error",
    [
        ContentFiltered("violence"),
        ProviderRefused("no"),
        ProviderRejected("401"),
        ProviderCannotServeDomain("unicorn"),
    ],
    ids=lambda error: error.kind,
)
async def test_what_would_be_answered_the_same_is_not_asked_again(dispatcher, error):
    provider = FakeProvider("fake", error)

    with pytest.raises(type(error)):
        await ask(dispatcher(provider))

    assert provider.calls == 1


@pytest.mark.parametrize(("retries", "calls"), [(0, 1), (1, 2), (5, 2)])
async def test_nonsense_is_asked_again_once(dispatcher, retries, calls):
    provider = FakeProvider("fake", *[ProviderAnswerInvalid("Z")] * 9)

    with pytest.raises(ProviderAnswerInvalid):
        await ask(dispatcher(provider, retries=retries))

    assert provider.calls == calls


@pytest.mark.parametrize(
    "error",
    [
        ProviderUnavailable("503"),
        ProviderTimeout("slow"),
        ProviderRateLimited("429"),
        ProviderRejected("401"),
        ProviderCannotServeDomain("unicorn"),
    ],
    ids=lambda error: error.kind,
)
async def test_the_next_provider_is_asked_when_one_is_down(dispatcher, error):
    """In the order given; the answer is the second's."""
    first, second = FakeProvider("first", *[error] * 9), FakeProvider("second", answer("daisy"))
    spent = Spent()

    got = await ask(
        dispatcher(first, second, FakeProvider()), "first", "second", "fake", spent=spent
    )

    assert got.label == "daisy"
    assert spent.provider == "second"


@pytest.mark.parametrize(
    "error",
    [ContentFiltered("violence"), ProviderRefused("no"), ProviderAnswerInvalid("Z")],
    ids=lambda error: error.kind,
)
async def test_the_next_provider_is_not_asked_about_what_one_has_judged(dispatcher, error):
    first, second = FakeProvider("first", *[error] * 9), FakeProvider("second")

    with pytest.raises(type(error)):
        await ask(dispatcher(first, second), "first", "second")

    assert second.calls == 0


async def test_the_last_providers_error_is_told(dispatcher):
    first = FakeProvider("first", *[ProviderUnavailable("503")] * 9)
    second = FakeProvider("second", ProviderRejected("401"))

    with pytest.raises(ProviderRejected):
        await ask(dispatcher(first, second), "first", "second")


async def test_whoever_comes_later_has_time_left(dispatcher):
    """Of 30 s the first of two gets 15, with all its retries, the second what is left."""
    stuck = [after(6, ProviderTimeout("slow"))] * 20
    first, second = FakeProvider("first", *stuck), FakeProvider("second")
    began = now()

    await ask(dispatcher(first, second, retries=10, total_s=30), "first", "second")

    assert first.timeouts[0] == 15
    assert second.timeouts[0] >= 10
    assert second.timeouts[0] == pytest.approx(30 - (now() - began))


async def test_without_providers_none_is_there(dispatcher):
    with pytest.raises(ProviderUnavailable):
        await dispatcher().ask((), Case(IMAGE, domain(), Payer("test")))


async def test_what_was_spent_is_summed_over_all_calls(dispatcher):
    """Of failed ones, of both providers, and also when it fails in the end."""
    first = FakeProvider("first", *[spent_with(ProviderUnavailable("503"), USAGE)] * 2)
    second = FakeProvider("second", spent_with(ProviderRejected("401"), USAGE))
    spent = Spent()

    with pytest.raises(ProviderRejected):
        await ask(dispatcher(first, second, retries=1), "first", "second", spent=spent)

    assert spent.calls == 3
    assert spent.usage == TokenUsage(300, 6, {"cached": 30})


async def test_a_price_that_is_not_known_makes_the_sum_unknown(dispatcher):
    free = spent_with(ProviderUnavailable("503"), TokenUsage(1, 1, {}, None))
    spent = Spent()

    await ask(dispatcher(FakeProvider("fake", free, answer(usage=USAGE))), spent=spent)

    assert spent.usage.cost_usd is None
    assert spent.usage.prompt == 101


async def test_who_is_not_metered_is_not_limited(dispatcher):
    """A hundred calls at one a minute."""
    provider = FakeProvider()
    asked = dispatcher(provider, rpm=1)

    async with asyncio.timeout(30):
        for _ in range(100):
            await ask(asked)

    assert provider.calls == 100


async def test_who_is_metered_waits_for_the_quota(dispatcher):
    """And is not called when it leaves no room in time; the caller is told at once when it will."""
    provider = FakeProvider(metered=True)
    asked, spent = dispatcher(provider, rpm=12, total_s=4, retries=0), Spent()

    await ask(asked)
    began = now()
    with pytest.raises(ProviderRateLimited) as raised:
        await ask(asked, spent=spent)
    told_at = now()
    await asyncio.sleep(raised.value.retry_after_s)
    await ask(asked)

    assert told_at == began
    assert provider.calls == 2
    assert spent.calls == 0


async def test_a_minute_holds_no_more_than_its_limit(dispatcher):
    """Not even the first one, and nearly as much as it may."""
    provider = FakeProvider(metered=True)
    asked = dispatcher(provider, rpm=600)

    await asyncio.gather(*(ask(asked) for _ in range(250)))

    assert now() - 1000 == pytest.approx(25, rel=0.05)
    for start in provider.called_at:
        assert sum(start <= at < start + 10 for at in provider.called_at) <= 100


async def test_a_retry_takes_its_place_in_the_quota_too(dispatcher):
    provider = FakeProvider("fake", ProviderUnavailable("503"), metered=True)

    await ask(dispatcher(provider, rpm=6, jitter=0))

    assert provider.called_at[1] - provider.called_at[0] >= 10


class Purse:
    """Stands in for budgets: has room for calls that cost no more than `holds`."""

    def __init__(self, holds: Decimal) -> None:
        self._holds = holds
        self.changed = asyncio.Event()

    def settle(self, hold, cost) -> dict:
        return {}

    def covers(self, payer, domain) -> bool:
        return True

    async def wait_for_room(self, payer, domain, most, *, until) -> None:
        if most.cost_usd > self._holds:
            raise BudgetSpent("Nothing is left.")

    async def reserve(self, payer, domain, most):
        return None if most.cost_usd > self._holds else FREE


async def test_a_dearer_deployment_that_has_room_is_not_taken_for_the_cheaper(monkeypatch, health):
    """The first one is full. What the other one costs is more than the budget holds: that ends it,
    and nobody goes round and round."""
    books = unkept_books()
    books.budgets = Purse(holds=MOST_USD)
    cheap, dear = PricedProvider("azure", deployment="a"), PricedProvider("azure", deployment="b")
    monkeypatch.setattr(dear, "most", lambda *_: TokenUsage(1, 1, {}, 2 * MOST_USD, "dear"))
    settings = Settings(
        azure_openai={"endpoint": "https://x", "api_key": "k", "deployment": "unused"},
        deployments=[{"name": "a", "rpm": 1, "window": 1}, {"name": "b", "rpm": 600}],
    )
    asked = Dispatcher(Registry(cheap, dear), settings, Metrics(), health, books)

    await ask(asked, "azure")
    with pytest.raises(BudgetSpent):
        await ask(asked, "azure")
    assert (cheap.calls, dear.calls) == (1, 0)
