"""Examples of a domain that a chat model is shown: which, when, and what they cost."""

import pytest

from app.domains import Domain
from app.errors import StorageUnavailable
from app.images import Upload, prepare
from app.providers.base import Example
from app.settings_groups import CacheSettings
from app.storage import ExampleRepository
from app.storage.audit import COMMAND_LINE
from benchmarks.estimate import Simulator
from tests.fakes import answer
from tests.integration.test_batches import archive
from tests.integration.test_cascade import cost
from tests.integration.test_estimate import azure, dry_run, off, really_run
from tests.teaching import KINDS, picture

MODELS = ("gpt-4o", "gpt-4.1-mini", "gpt-5-mini")
PER_CLASS = 4


@pytest.fixture(scope="module")
def simulator():
    simulator = Simulator(MODELS)
    yield simulator
    simulator.stop()


def patterns(**fields) -> Domain:
    fields = {"few_shot": 3, "providers": ("azure_openai", "local"), **fields}
    return Domain(name="patterns", classes=KINDS, **fields)


async def teach(parts, domain: Domain, per_class: int = PER_CLASS, first: int = 0) -> None:
    for kind in KINDS:
        for seed in range(first, first + per_class):
            seen = await parts.collecting.see(Upload(picture(kind, seed)), domain)
            await parts.collecting.keep(domain, kind, seen, caller="me")
    await parts.lessons.teach(domain.name, by=COMMAND_LINE)


async def ask(client, kind: str, seed: int, **fields) -> dict:
    files = {"file": ("a.png", picture(kind, seed)), "domain": (None, "patterns")}
    texts = {name: (None, text) for name, text in fields.items()}
    answered = await client.post("/classify", files={**files, **texts})
    assert answered.status_code == 200, answered.text
    return answered.json()


def zipped(count: int = 15) -> bytes:
    return archive(
        **{
            f"{kind}-{seed}.png": picture(kind, 100 + seed)
            for kind in KINDS
            for seed in range(count // len(KINDS))
        }
    )


@pytest.fixture
def shown(parts, monkeypatch):
    """By the name of the provider, the examples of each call."""
    calls: list[tuple[str, tuple[Example, ...]]] = []

    async def spy(name: str) -> None:
        (provider,) = await parts.providers.get(name)
        classify = provider.classify

        async def classified(image, domain, *, examples=(), **how):
            calls.append((name, tuple(examples)))
            return await classify(image, domain, examples=examples, **how)

        monkeypatch.setattr(provider, "classify", classified)

    return calls, spy


class TestShown:
    @pytest.fixture
    def settings(self, settings, simulator):
        return azure(settings, simulator, "gpt-4o")

    @pytest.mark.each_database
    async def test_the_nearest_of_each_class_the_most_like_last(self, client, parts, shown):
        calls, spy = shown
        domain = patterns()
        await parts.domains.create(domain, by=COMMAND_LINE)
        await teach(parts, domain)
        await spy("azure_openai")

        await ask(client, "discs", 99)

        ((_, examples),) = calls
        assert sorted(each.label for each in examples) == sorted(KINDS)
        assert examples[-1].label == "discs"
        assert all(each.image.jpeg for each in examples)

    async def test_never_the_picture_itself(self, client, parts, shown):
        calls, spy = shown
        domain = patterns(few_shot=8)
        await parts.domains.create(domain, by=COMMAND_LINE)
        await teach(parts, domain)
        await spy("azure_openai")

        await ask(client, "discs", 0)
        await ask(client, "discs", 99)

        mine = (await parts.collecting.see(Upload(picture("discs", 0)), domain)).sha256
        itself, other = ({each.image.sha256 for each in examples} for _, examples in calls)
        assert mine not in itself
        assert (len(itself), len(other)) == (8, 8)

    async def test_none_without_a_lesson_or_to_the_local_model(self, client, parts, shown):
        calls, spy = shown
        domain = patterns()
        await parts.domains.create(domain, by=COMMAND_LINE)
        await spy("azure_openai")
        await ask(client, "discs", 99)
        await teach(parts, domain)
        await spy("local")

        await ask(client, "discs", 99, provider="local")

        assert calls == [("azure_openai", ()), ("local", ())]

    async def test_what_was_not_known_to_the_lesson_is_not_shown(self, client, parts, shown):
        calls, spy = shown
        domain = patterns(few_shot=8)
        await parts.domains.create(domain, by=COMMAND_LINE)
        await teach(parts, domain, per_class=2)
        seen = await parts.collecting.see(Upload(picture("discs", 98)), domain)
        await parts.collecting.keep(domain, "discs", seen, caller="me")
        await spy("azure_openai")

        await ask(client, "discs", 99)
        await parts.lessons.teach("patterns", by=COMMAND_LINE)
        await ask(client, "discs", 99)

        before, after = (len(examples) for _, examples in calls)
        assert (before, after) == (6, 7)

    async def test_what_was_forgotten_is_not_shown_any_more(self, client, parts, shown):
        calls, spy = shown
        domain = patterns(few_shot=8)
        await parts.domains.create(domain, by=COMMAND_LINE)
        await teach(parts, domain, per_class=2)
        await spy("azure_openai")
        await ask(client, "discs", 99)
        (newest,) = await parts.examples.page("patterns", limit=1)

        await client.delete(f"/domains/patterns/examples/{newest.id}")
        await ask(client, "discs", 98)

        before, after = ({each.image.sha256 for each in examples} for _, examples in calls)
        assert before - after == {newest.sha256}

    async def test_the_same_are_shown_though_many_came_since(
        self, client, parts, shown, monkeypatch
    ):
        """Also after a restart, and in other processes."""
        monkeypatch.setattr("app.classification.showing.MOST_OF_A_LABEL", 2)
        calls, spy = shown
        domain = patterns(few_shot=6)
        await parts.domains.create(domain, by=COMMAND_LINE)
        await teach(parts, domain, per_class=2)
        for seed in (50, 51):
            seen = await parts.collecting.see(Upload(picture("discs", seed)), domain)
            await parts.collecting.keep(domain, "discs", seen, caller="me")
        await spy("azure_openai")

        await ask(client, "discs", 99)

        ((_, examples),) = calls
        assert len(examples) == 6

    async def test_a_second_order_is_shown_them_too(self, client, parts, shown):
        calls, spy = shown
        domain = patterns(orders=2)
        await parts.domains.create(domain, by=COMMAND_LINE)
        await teach(parts, domain)
        await spy("azure_openai")

        await ask(client, "discs", 99)

        first, second = (tuple(each.label for each in examples) for _, examples in calls)
        assert first == second
        assert len(first) == 3


class TestSaved:
    @pytest.fixture
    def settings(self, settings, simulator):
        return azure(settings, simulator, "gpt-4o")

    async def test_a_call_that_would_show_none_is_worth_no_examples(self, client, parts, fake):
        """As long as there is no lesson."""
        saved = []
        for few_shot in (0, 8):
            domain = patterns(
                few_shot=few_shot, cascade={"threshold": 0.5}, providers=("fake", "azure_openai")
            )
            await parts.domains.create(domain, by=COMMAND_LINE)
            fake.script.append(answer("discs", 0.9))
            await ask(client, "discs", 99)
            costs = await cost(client, answers=len(saved) + 1)
            saved.append(costs["savings"]["cascade"]["usd"])
            await parts.domains.delete("patterns", by=COMMAND_LINE)

        first, both = saved
        assert both == pytest.approx(2 * first)


class TestKept:
    @pytest.fixture
    def settings(self, settings, simulator):
        return azure(settings, simulator, "gpt-4o", cache=CacheSettings())

    async def test_until_other_examples_are_shown(self, client, parts):
        domain = patterns(providers=("azure_openai",))
        await parts.domains.create(domain, by=COMMAND_LINE)
        await teach(parts, domain)

        told = [await ask(client, "discs", 99) for _ in range(2)]
        await teach(parts, domain, per_class=1, first=50)
        told += [await ask(client, "discs", 99) for _ in range(2)]

        assert [each["cached"] for each in told] == [False, True, False, True]

    async def test_an_answer_without_them_is_not_kept_for_one_with(
        self, client, parts, shown, monkeypatch
    ):
        """The database does not give them for a moment."""
        calls, spy = shown
        domain = patterns()
        await parts.domains.create(domain, by=COMMAND_LINE)
        await teach(parts, domain)
        await spy("azure_openai")
        with monkeypatch.context() as away:

            async def fails(*_, **__):
                raise StorageUnavailable("It is away.")

            away.setattr(ExampleRepository, "to_learn", fails)
            without = await ask(client, "discs", 99)

        again = await ask(client, "discs", 99)

        assert [len(examples) for _, examples in calls] == [0, 3]
        assert (without["cached"], again["cached"]) == (False, False)


class TestBilled:
    """As much as was told, and never more than was reserved."""

    @pytest.fixture(params=[("gpt-4o", "low"), ("gpt-4.1-mini", "high"), ("gpt-5-mini", "low")])
    def way(self, request):
        return request.param

    @pytest.fixture
    def model(self, way):
        return way[0]

    @pytest.fixture
    def settings(self, settings, simulator, model):
        return azure(settings, simulator, model)

    async def test_a_dry_run_tells_what_they_cost(self, client, parts, simulator, way):
        model, detail = way
        domain = patterns(providers=("azure_openai",), detail=detail, image_size=256)
        await parts.domains.create(domain, by=COMMAND_LINE)
        bare = await dry_run(client, ("a.zip", zipped()), domain="patterns")
        await teach(parts, domain)

        told = await dry_run(client, ("a.zip", zipped()), domain="patterns")
        before = simulator.billed(model)
        done = await really_run(client, zipped(), domain="patterns")
        after = simulator.billed(model)
        billed = {part: after[part] - before[part] for part in after}
        again = await dry_run(client, ("a.zip", zipped()), domain="patterns")

        assert done["counts"]["failed"] == 0
        assert bare["prompt_tokens"]["expected"] < 0.7 * told["prompt_tokens"]["expected"]
        assert abs(told["prompt_tokens"]["expected"] / billed["prompt"] - 1) < 0.1
        assert told["tokens"]["low"] <= billed["prompt"] + billed["completion"]
        assert billed["prompt"] + billed["completion"] <= told["tokens"]["high"]
        assert abs(off(again, billed)) < 0.02

    async def test_a_call_costs_no_more_than_is_reserved(self, client, parts, shown, model):
        domain = patterns(providers=("azure_openai",), detail="high", few_shot=8)
        await parts.domains.create(domain, by=COMMAND_LINE)
        await teach(parts, domain)
        (provider,) = await parts.providers.get("azure_openai")
        told = await ask(client, "discs", 99)
        image = prepare(picture("discs", 99), longest=domain.image_size)

        most = provider.most(image, domain)

        assert told["usage"]["prompt_tokens"] <= most.prompt
        assert told["usage"]["cost_usd"] <= float(most.cost_usd)
