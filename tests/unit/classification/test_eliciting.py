"""By how many calls, in which orders, and what stands when some of them fail."""

import asyncio
from dataclasses import replace

import pytest

from app.budget import Payer
from app.classification.asking import Asking
from app.classification.orders import shuffled
from app.errors import (
    ContentFiltered,
    Interrupted,
    ProviderAnswerInvalid,
    ProviderUnavailable,
)
from tests.fakes import COST_USD, PricedProvider, after
from tests.unit.classification.eyes import IMAGE, Eyes, Model, domain, said, voted

pytestmark = pytest.mark.virtual_time


class TestOrders:
    async def test_one_order_is_one_call(self):
        model = Model(said())
        await Eyes(model).look(domain())

        assert model.orders == [shuffled(IMAGE.sha256, domain())]

    async def test_two_orders_are_each_others_reverse(self):
        model = Model(said("cat", 0.8), said("cat", 0.5))
        eyes = Eyes(model)
        answer = await eyes.look(domain(orders=2))

        assert model.orders[1] == tuple(reversed(model.orders[0]))
        assert 0.5 < answer.probabilities["cat"] < 0.8
        assert eyes.spent.usage.cost_usd == 2 * COST_USD
        assert [each.cost_usd for each in eyes.spent.entries] == [COST_USD, COST_USD]

    async def test_the_second_call_offers_what_the_first_one_told(self):
        """And "none of these", which is always an answer where it is allowed."""
        first = said("cat", 0.9, tail=0.05, untold=frozenset({"bird", None}))
        model = Model(first, replace(first, tail=0.0, untold=frozenset()))
        answer = await Eyes(model).look(domain(orders=2, allow_none=True))

        assert sorted(model.orders[1]) == [0, 1, 3]
        assert answer.probabilities["bird"] == first.probabilities["bird"]

    async def test_what_leaves_nothing_to_choose_from_is_not_asked_again(self):
        first = said("cat", 0.9, tail=0.1, untold=frozenset({"dog", "bird"}))
        model = Model(first)

        assert (await Eyes(model).look(domain(orders=2))).probabilities == first.probabilities
        assert model.calls == 1

    async def test_who_looks_at_pixels_is_asked_once(self):
        model = Model(said(source="local"))
        await Eyes(model).look(domain(orders=2, votes=5))

        assert model.calls == 1

    @pytest.mark.parametrize(
        "second",
        [
            ContentFiltered("no"),
            ProviderAnswerInvalid("nonsense"),
            ProviderUnavailable("down"),
            said("dog", 0.9, model="fake-2"),
            said("dog", 0.9, source="stated"),
        ],
        ids=repr,
    )
    async def test_the_first_answer_stands_without_a_second(self, second):
        """That failed, is another model's, or came without its probabilities. It is paid for."""
        model = Model(said("cat", 0.8), *[second] * 3)
        eyes = Eyes(model, api={"max_retries": 2})
        answer = await eyes.look(domain(orders=2))

        assert (answer.label, answer.probabilities["cat"]) == ("cat", 0.8)
        answered = 1 if isinstance(second, Exception) else 2
        assert [each.cost_usd for each in eyes.spent.entries] == [COST_USD] * answered

    async def test_a_failed_call_is_tried_again_as_any(self):
        model = Model(said(), ProviderUnavailable("down"), said())
        eyes = Eyes(model)
        await eyes.look(domain(orders=2))

        assert model.orders[1] == model.orders[2]
        assert eyes.spent.calls == 3

    async def test_whoever_answered_first_is_asked_again_and_nobody_instead(self):
        first, second = Model(), Model(said(), ContentFiltered("no"))
        first.name, second.name = "first", "second"
        first.script += [ProviderUnavailable("down")] * 9
        eyes = Eyes(first, second, api={"max_retries": 0})
        answer = await eyes.look(domain(orders=2), names=("first", "second"))

        assert (first.calls, second.calls) == (1, 2)
        assert (answer.label, eyes.spent.provider) == ("cat", "second")

    async def test_a_deployment_of_another_model_is_not_asked(self):
        """Though it has room, and the first one none for a moment."""
        here, there = (Model(deployment=each) for each in ("here", "there"))
        there.capabilities = lambda: replace(PricedProvider.capabilities(there), model="other-1")
        here.script += [said(), said()]
        there.script += [said(model="other-1"), said(model="other-1")]
        await Eyes(here, there).look(domain(orders=2))

        assert sorted((here.calls, there.calls)) == [0, 2]

    async def test_all_calls_together_have_the_time_of_one(self):
        model = Model(after(7, said()), after(7, said("dog")))
        eyes = Eyes(model, api={"timeout": 10, "max_retries": 0})
        began = asyncio.get_running_loop().time()
        answer = await eyes.look(domain(orders=2))

        assert answer.label == "cat"
        assert answer.probabilities["cat"] == 0.8
        assert asyncio.get_running_loop().time() - began <= 10.1


class TestVotes:
    @pytest.mark.parametrize(
        ("script", "calls", "label"),
        [
            (("cat", "cat", "cat"), 3, "cat"),
            (("cat", "dog", "dog", "dog", "dog"), 5, "dog"),
            (("cat", "dog", "dog", "cat", "dog"), 5, "dog"),
        ],
    )
    async def test_votes_end_when_they_are_decided(self, script, calls, label):
        """Of five at most; each in an order of its own. Three of four are not enough for the
        threshold, four of five are."""
        model = Model(*map(voted, script))
        eyes = Eyes(model)
        answer = await eyes.look(domain(votes=5))

        assert (model.calls, answer.label) == (calls, label)
        assert answer.confidence_source == "votes"
        assert len(eyes.spent.entries) == eyes.spent.calls == calls
        assert model.orders == [shuffled(IMAGE.sha256, domain(), call) for call in range(calls)]

    async def test_those_that_may_decide_it_are_cast_at_once(self):
        model = Model(*[after(1, voted("cat"))] * 3)
        began = asyncio.get_running_loop().time()
        await Eyes(model).look(domain(votes=5))

        assert asyncio.get_running_loop().time() - began == pytest.approx(2, abs=0.1)

    async def test_who_tells_probabilities_needs_no_votes(self):
        model = Model(said())
        answer = await Eyes(model).look(domain(votes=5))

        assert (model.calls, answer.confidence_source) == (1, "logprobs")

    async def test_the_votes_that_came_count_when_one_fails(self):
        model = Model(voted("cat"), voted("dog", 0.9), ContentFiltered("no"), voted("bird"))
        answer = await Eyes(model).look(domain(votes=5))

        assert (model.calls, answer.label) == (3, "dog")
        assert answer.probabilities["cat"] == pytest.approx((1 + 1 / 3) / 3)

    async def test_one_that_came_alone_is_what_it_said(self):
        model = Model(voted("cat"), *[ContentFiltered("no")] * 2)
        answer = await Eyes(model).look(domain(votes=5))

        assert (answer.confidence_source, answer.probabilities["cat"]) == ("stated", 0.8)


class TestMoney:
    async def test_what_was_paid_before_a_cancellation_is_in_the_ledger(self):
        """The first call as it was billed, the one that was cut off as it may have been."""
        model = Model(said(), after(5, said()))
        eyes = Eyes(model)
        asking = Asking(eyes.eliciting, joinable_s=10)
        task = asyncio.create_task(
            asking.ask(("fake",), IMAGE, domain(orders=2), key=None, payer=Payer("test"))
        )
        await asyncio.sleep(1)
        task.cancel()
        asked = await task

        assert isinstance(asked.outcome, Interrupted)
        assert asked.entries[0].cost_usd == COST_USD
        assert len(asked.entries) == 2

    async def test_who_joins_pays_nothing_and_gets_the_same(self):
        model = Model(*map(voted, ("cat", "dog", "cat", "cat", "cat")))
        asking = Asking(Eyes(model).eliciting, joinable_s=10)
        one, other = await asyncio.gather(
            *(
                asking.ask(("fake",), IMAGE, domain(votes=5), key="picture", payer=Payer("test"))
                for _ in "12"
            )
        )

        assert (len(one.entries), len(other.entries)) == (5, 0)
        assert one.outcome.probabilities == other.outcome.probabilities
        assert other.saved_usd == 5 * COST_USD
