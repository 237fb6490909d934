"""Asking providers: retries, time, limits and fallbacks, with a clock that tests turn."""

import asyncio

import pytest
from PIL import Image

from app.domains import Domain
from app.errors import (
    ContentFiltered,
    ProviderAdjusting,
    ProviderAnswerInvalid,
    ProviderCannotServeDomain,
    ProviderRateLimited,
    ProviderRefused,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    ProviderUnknown,
)
from app.images import prepare
from app.telemetry.health import Health
from app.telemetry.metrics import Metrics
from app.traffic import Dispatcher, RetryPolicy, Spent
from app.usage import TokenUsage
from tests.fakes import FakeProvider, answer, spent_with
from tests.pictures import encoded

IMAGE = prepare(encoded(Image.new("RGB", (8, 8))), longest=8)
USAGE = TokenUsage(100, 2, {"cached": 10})


def domain(**fields) -> Domain:
    return Domain(name="flowers", classes=("rose", "daisy"), **fields)


class Clock:
    """Sleeping moves it, and nothing else unless a test does."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def takes(self, seconds: float, outcome):
        """A step of a provider's script that lasts."""

        def step():
            self.now += seconds
            return outcome

        return step


class Providers:
    """A registry of fakes."""

    def __init__(self, *providers: FakeProvider) -> None:
        self._providers = {each.name: each for each in providers}

    async def get(self, name: str) -> FakeProvider:
        if name not in self._providers:
            raise ProviderUnknown(name)
        return self._providers[name]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def dispatcher(clock, health):
    def made(*providers: FakeProvider, rpm: int = 60, jitter: float = 0.5, **policy) -> Dispatcher:
        return Dispatcher(
            Providers(*providers),
            RetryPolicy(**policy),
            Metrics(),
            health,
            requests_per_minute=rpm,
            clock=clock,
            sleep=clock.sleep,
            jitter=lambda: jitter,
        )

    return made


async def ask(dispatcher: Dispatcher, *names: str, spent: Spent | None = None, **fields):
    return await dispatcher.ask(names or ("fake",), IMAGE, domain(**fields), spent or Spent())


async def test_the_first_answer_is_the_answer(dispatcher, clock, health):
    provider, spent = FakeProvider("fake", clock.takes(0.2, answer(usage=USAGE))), Spent()

    got = await ask(dispatcher(provider), spent=spent)

    assert got.label == "rose"
    assert (spent.calls, spent.provider, spent.usage) == (1, "fake", USAGE)
    assert spent.provider_s == pytest.approx(0.2)
    assert spent.wait_s == 0
    assert spent.capabilities == provider.capabilities()
    assert health.last_provider_success is not None


async def test_a_failed_call_is_tried_again_after_a_growing_wait(dispatcher, clock):
    """Half a second on average, then twice as long each time."""
    provider = FakeProvider("fake", *[ProviderUnavailable("503")] * 3)
    spent = Spent()

    await ask(dispatcher(provider, jitter=0.5), spent=spent)

    assert clock.slept == [0.5, 1.0, 2.0]
    assert spent.wait_s == 3.5
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


async def test_the_total_time_is_kept(dispatcher, clock):
    """Each call gets what is left; no call begins after the end."""
    slow = [clock.takes(4, ProviderUnavailable("503"))] * 20
    provider = FakeProvider("fake", *slow)
    began = clock.now

    with pytest.raises(ProviderUnavailable):
        await ask(dispatcher(provider, retries=10, total_s=10, jitter=0.25))

    assert provider.timeouts == pytest.approx([10, 5.75, 1.25])
    assert clock.now - began < 10 + 4


async def test_a_call_that_does_not_end_is_cut_off(dispatcher):
    """Though the provider does not keep its timeout."""
    provider = FakeProvider()
    provider.hold.clear()

    with pytest.raises(ProviderTimeout):
        await ask(dispatcher(provider, retries=0, total_s=0.02))

    assert provider.calls == 1


async def test_a_call_that_taught_how_to_ask_is_made_again_at_once(dispatcher, clock):
    """It is no attempt: retries are left for what fails. What it cost is added."""
    taught = spent_with(ProviderAdjusting("no logprobs"), USAGE)
    provider = FakeProvider("fake", taught, taught, ProviderUnavailable("503"), answer(usage=USAGE))
    spent = Spent()

    await ask(dispatcher(provider, retries=1), spent=spent)

    assert clock.slept == [0, 0, 0.5]
    assert spent.calls == 4
    assert spent.usage.prompt == 300


async def test_each_call_that_taught_how_to_ask_is_under_the_limit(dispatcher):
    """They count at the provider as well."""
    taught = [ProviderAdjusting("no logprobs")] * 5
    provider = FakeProvider("fake", *taught, metered=True)

    with pytest.raises(ProviderRateLimited):
        await ask(dispatcher(provider, rpm=12, total_s=0.1))

    assert provider.calls == 2


async def test_a_provider_that_never_learns_is_given_up(dispatcher):
    provider = FakeProvider("fake", *[ProviderAdjusting("again")] * 50)

    with pytest.raises(ProviderAdjusting):
        await ask(dispatcher(provider))

    assert provider.calls < 12


async def test_the_wait_that_was_asked_for_is_waited(dispatcher, clock):
    provider = FakeProvider("fake", ProviderRateLimited("429", retry_after_s=12.5))

    await ask(dispatcher(provider))

    assert clock.slept == [12.5]


async def test_a_wait_that_does_not_fit_is_not_waited(dispatcher, clock):
    """The caller learns it at once, with the provider's own time."""
    provider = FakeProvider("fake", ProviderRateLimited("429", retry_after_s=86_400))

    with pytest.raises(ProviderRateLimited) as raised:
        await ask(dispatcher(provider, total_s=30))

    assert raised.value.retry_after_s == 86_400
    assert clock.slept == []


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


async def test_whoever_comes_later_has_time_left(dispatcher, clock):
    """Of 30 s the first of two gets 15, with all its retries, the second what is left."""
    stuck = [clock.takes(6, ProviderTimeout("slow"))] * 20
    first, second = FakeProvider("first", *stuck), FakeProvider("second")
    began = clock.now

    await ask(dispatcher(first, second, retries=10, total_s=30), "first", "second")

    assert first.timeouts[0] == 15
    assert second.timeouts[0] >= 10
    assert second.timeouts[0] == pytest.approx(30 - (clock.now - began))


async def test_without_providers_none_is_there(dispatcher):
    with pytest.raises(ProviderUnavailable):
        await dispatcher().ask((), IMAGE, domain(), Spent())


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

    async with asyncio.timeout(5):
        for _ in range(100):
            await ask(asked)

    assert provider.calls == 100


async def test_who_is_metered_waits_for_the_limiter(dispatcher):
    """And is not called when the limit leaves no room in time; the caller is told when it will."""
    provider = FakeProvider(metered=True)
    asked, spent = dispatcher(provider, rpm=12, total_s=0.02, retries=0), Spent()

    for _ in range(2):
        await ask(asked)
    with pytest.raises(ProviderRateLimited) as raised:
        await ask(asked, spent=spent)

    assert provider.calls == 2
    assert spent.calls == 0
    assert raised.value.retry_after_s == 5


async def test_room_in_the_limiter_comes_back(dispatcher):
    """At 600 a minute 100 at once, then one every 100 ms: three too many take 0.3 s at least."""
    provider = FakeProvider(metered=True)
    asked = dispatcher(provider, rpm=600)
    time = asyncio.get_running_loop().time
    began = time()

    for _ in range(103):
        await ask(asked)

    assert time() - began > 0.29
    assert provider.calls == 103


async def test_a_retry_takes_its_place_in_the_limiter_too(dispatcher):
    """Of two places the first question took both."""
    provider = FakeProvider("fake", ProviderUnavailable("503"), metered=True)
    asked = dispatcher(provider, rpm=12, total_s=0.05, jitter=0)

    await ask(asked)
    with pytest.raises(ProviderRateLimited):
        await ask(asked)

    assert provider.calls == 2
