"""Calls that fail, or that there is no time for: what the answer is then, and who may have it."""

import asyncio
from dataclasses import replace

import pytest

from app.budget import Payer
from app.classification.asking import Asking
from app.errors import ContentFiltered, ProviderUnavailable
from app.settings_groups import AzureOpenAISettings
from app.traffic import Spent
from tests.fakes import COST_USD, after
from tests.unit.classification.eyes import IMAGE, Eyes, Model, domain, said, voted
from tests.virtual_time import now

pytestmark = pytest.mark.virtual_time


async def ask(asking: Asking, of=None, key="picture", looked_at=None):
    return await asking.ask(
        ("fake",),
        IMAGE,
        of or domain(orders=2),
        key=key,
        payer=Payer("test"),
        looked_at=looked_at,
    )


class TestWhoMayHaveIt:
    @pytest.mark.parametrize(
        ("script", "of"),
        [
            ((said(), ContentFiltered("no")), domain(orders=2)),
            ((voted("cat"), voted("cat"), ContentFiltered("no")), domain(votes=5)),
            ((voted("cat"), ContentFiltered("no")), domain(votes=2)),
        ],
    )
    async def test_an_answer_on_fewer_calls_is_incomplete(self, script, of):
        eyes = Eyes(Model(*script))
        await eyes.look(of)

        assert eyes.spent.incomplete

    @pytest.mark.parametrize(
        ("script", "of"),
        [
            ((said(), said()), domain(orders=2)),
            ((voted("cat"),) * 3, domain(votes=5)),
            ((said("cat", 0.9, tail=0.1, untold=frozenset({"dog", "bird"})),), domain(orders=2)),
            ((ProviderUnavailable("down"), said(), said()), domain(orders=2)),
        ],
    )
    async def test_one_on_all_that_were_wanted_is_not(self, script, of):
        """A call that succeeds when it is tried again is one that came."""
        eyes = Eyes(Model(*script))
        await eyes.look(of)

        assert not eyes.spent.incomplete

    async def test_who_joined_asks_for_a_full_one(self):
        model = Model(after(1, said("cat", 0.8)), ContentFiltered("no"), said(), said("cat", 0.5))
        asking = Asking(Eyes(model).eliciting, joinable_s=10)
        first, second = await asyncio.gather(ask(asking), ask(asking))

        assert first.spent.incomplete
        assert not second.spent.incomplete
        assert not second.again
        assert second.outcome.probabilities["cat"] < 0.8
        assert model.calls == 4

    async def test_who_comes_later_finds_none_held(self):
        model = Model(said(), ContentFiltered("no"))
        asking = Asking(Eyes(model).eliciting, joinable_s=10)
        await ask(asking, looked_at=0)
        later = await ask(asking, looked_at=0)

        assert not later.again
        assert model.calls == 4


class TestTime:
    async def test_no_call_is_made_that_can_not_end(self):
        """It would be billed. The first one took seven seconds of ten."""
        model = Model(after(7, said()), after(7, said()))
        eyes = Eyes(model, api={"timeout": 10, "max_retries": 0})
        answer = await eyes.look(domain(orders=2))

        assert (model.calls, len(eyes.spent.entries)) == (1, 1)
        assert answer.probabilities["cat"] == 0.8

    async def test_one_that_failed_is_not_made_again_when_it_is_too_late(self):
        model = Model(
            after(4, said()), after(3, ProviderUnavailable("down")), after(4, said("dog"))
        )
        eyes = Eyes(model, api={"timeout": 10, "max_retries": 3})
        answer = await eyes.look(domain(orders=2))

        assert (model.calls, answer.label) == (2, "cat")

    async def test_of_calls_at_the_same_time_the_longest_counts(self):
        """Wall time; money adds up."""
        model = Model(
            after(1, voted("cat")),
            *[after(2, voted("dog")), after(4, voted("bird"))],
            *[after(1, voted("dog")), after(3, voted("dog"))],
        )
        eyes = Eyes(model)
        began = now()
        await eyes.look(domain(votes=5))
        took_s = now() - began

        assert eyes.spent.provider_s == pytest.approx(1 + 4 + 3)
        assert eyes.spent.provider_s + eyes.spent.wait_s == pytest.approx(took_s)
        assert eyes.spent.usage.cost_usd == 5 * COST_USD
        assert eyes.spent.calls == len(eyes.spent.entries) == 5


class TestMistakes:
    """Of ours, in a further call: what is paid for is not thrown away."""

    async def test_the_first_answer_stands(self):
        eyes = Eyes(Model(said(), ValueError("odd")))
        answer = await eyes.look(domain(orders=2))

        assert (answer.label, answer.probabilities["cat"]) == ("cat", 0.8)
        assert eyes.spent.incomplete

    async def test_the_votes_beside_it_are_not_cut_off(self):
        model = Model(voted("cat"), ValueError("odd"), after(2, voted("dog", 0.9)))
        eyes = Eyes(model)
        answer = await eyes.look(domain(votes=5))

        assert (answer.label, answer.confidence_source) == ("dog", "votes")
        assert sum(each.cost_usd == COST_USD for each in eyes.spent.entries) == 2


class PoolModel(Model):
    """Answers as the domain has it."""

    def __init__(self, of, model, **options) -> None:
        source = "stated" if of.votes > 1 else "logprobs"
        super().__init__(*[after(1, said(source=source, model=model))] * 1_000, **options)
        self.model = model

    def capabilities(self):
        return replace(super().capabilities(), model=self.model)


@pytest.mark.parametrize("of", [domain(orders=2), domain(votes=3)], ids=["orders", "votes"])
async def test_in_a_pool_of_models_each_picture_gets_all_its_calls(of):
    """Though all of the quota is wanted, and no other model's answer will do."""
    models = {"here": "some-1", "there": "other-1"}
    pool = [PoolModel(of, model, deployment=name) for name, model in models.items()]
    eyes = Eyes(
        *pool,
        azure_openai=AzureOpenAISettings(endpoint="https://x", api_key="k", deployment="unused"),
        deployments=[{"name": each, "rpm": 60} for each in models],
    )

    async def look() -> bool:
        spent = Spent()
        await eyes.look(of, spent=spent, lane="batch")
        return spent.incomplete

    incomplete = await asyncio.gather(*(look() for _ in range(60)))

    assert sum(incomplete) == 0
    assert all(each.calls >= 40 for each in pool)
