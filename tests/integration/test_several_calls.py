"""Pictures about which a domain asks several times: over HTTP, in the ledger, within budgets."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app.errors import ContentFiltered
from app.settings_groups import CacheSettings
from app.storage.tables import ledger
from tests.fakes import COST_USD, MOST_USD, answer
from tests.integration.calls import until, upload

CLASSES = ["cat", "dog", "bird"]


@pytest.fixture
def settings(settings):
    return settings.model_copy(
        update={"rate_limit_rpm": 100_000, "cache": CacheSettings(ttl=3_600)}
    )


@pytest.fixture
async def priced(parts):
    (provider,) = await parts.providers.get("priced")
    return provider


@pytest.fixture
async def ask(client):
    async def classify(**headers):
        files = upload(domain="pets", provider="priced")
        return (await client.post("/classify", files=files, headers=headers)).json()

    async def make(**domain):
        spec = {"name": "pets", "classes": CLASSES, **domain}
        made = await client.post("/domains", json=spec)
        assert made.status_code == 201, made.text
        return classify

    return make


async def booked(parts, result_id) -> list[Decimal]:
    """What each call about it cost."""
    rows = sa.select(ledger.c.cost_usd).where(ledger.c.result_id == result_id)

    def costs(connection):
        return [each.cost_usd for each in connection.execute(rows)]

    return await parts.database.read(costs)


async def answers(parts, result_id) -> int:
    """That these calls brought."""
    count = sa.select(sa.func.sum(ledger.c.answers)).where(ledger.c.result_id == result_id)
    return await parts.database.read(lambda each: each.execute(count).scalar_one())


def said(*labels):
    return [
        replace(answer(label), probabilities=dict.fromkeys(CLASSES, 0.1) | {label: 0.8})
        for label in labels
    ]


async def test_votes_are_told_booked_and_kept(parts, priced, ask):
    """Four calls decide it: four entries, their sum on the result; the next asks nobody."""
    classify = await ask(votes=5, confidence_threshold=0.6)
    priced.script.extend(said("cat", "dog", "cat", "cat"))
    result, again = await classify(), await classify()

    assert (result["predicted_class"], result["confidence_source"]) == ("cat", "votes")
    assert result["confidence"] == pytest.approx((3 + 1 / 3) / 5, abs=1e-6)
    assert result["usage"]["cost_usd"] == float(4 * COST_USD)
    assert await booked(parts, result["id"]) == [COST_USD] * 4
    assert await answers(parts, result["id"]) == 1
    assert priced.calls == 4
    assert again["cached"]
    assert again["probabilities"] == result["probabilities"]


async def test_calls_that_are_booked_before_there_is_a_result_belong_to_it(parts, priced, ask):
    """The second one waits for its turn for so long that the first is in the ledger by then."""
    classify = await ask(orders=2)
    go_on = asyncio.Event()

    async def late():
        await go_on.wait()
        return said("cat")[0]

    priced.script.extend([*said("cat"), late])
    asked = asyncio.create_task(classify())
    await until(lambda: asyncio.sleep(0, priced.calls == 2))
    await parts.books._book_unstored(older_than_s=0)
    go_on.set()
    result = await asked

    assert await booked(parts, result["id"]) == [COST_USD] * 2


async def test_fresh_is_asked_as_often_again(priced, ask):
    classify = await ask(votes=3)
    await classify()
    await classify(**{"Cache-Control": "no-cache"})

    assert priced.calls == 4


async def test_a_failed_second_order_costs_the_answer_nothing(parts, priced, ask):
    classify = await ask(orders=2)
    priced.script.extend([*said("cat"), ContentFiltered("no")])
    result = await classify()

    assert (result["status"], result["confidence"]) == ("accepted", 0.8)
    assert priced.calls == 2
    assert await booked(parts, result["id"]) == [COST_USD]


async def test_an_answer_without_its_second_order_is_not_kept(priced, ask):
    """The next one may have both."""
    classify = await ask(orders=2)
    priced.script.extend([*said("cat"), ContentFiltered("no"), *said("cat", "cat")])
    for _ in "123":
        result = await classify()

    assert result["cached"]
    assert priced.calls == 4


@pytest.mark.parametrize("action", ["block", "degrade"])
async def test_a_budget_that_is_spent_in_the_middle_ends_the_votes(
    client, parts, priced, ask, action
):
    """Three calls fit: the answer stands on them, and the local model is no voter."""
    classify = await ask(votes=5)
    amount = float(2 * COST_USD + MOST_USD)
    await client.put("/budgets/small", json={"amount_usd": amount, "action": action})
    priced.script.extend(said("cat", "dog", "bird", "cat", "cat"))
    result = await classify()

    assert priced.calls == 3
    assert (result["confidence_source"], result["degraded"]) == ("votes", False)
    assert await booked(parts, result["id"]) == [COST_USD] * 3
    assert (await client.get("/budgets/small")).json()["spent_usd"] == float(3 * COST_USD)
