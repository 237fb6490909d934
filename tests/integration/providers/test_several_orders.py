"""What a chat model is told when it is asked several times, and what is made of odd answers."""

import json

import pytest

from app.classification import Question
from app.domains import Domain
from app.images import Upload
from app.parts import build_parts
from app.settings import Settings
from app.storage.audit import COMMAND_LINE
from tests.chat_server import chat_server
from tests.integration.providers import azure

MANY = tuple(f"class {number}" for number in range(9))


def codes(body):
    return body["response_format"]["json_schema"]["schema"]["properties"]["label"]["enum"]


def classes(body):
    """In the order in which they were offered."""
    rows = body["messages"][0]["content"].splitlines()
    return [row.partition(" ")[2] for row in rows if row.partition(" ")[0] in codes(body)]


def told(body, shown=5, **more):
    """The odds of class n are 1 in 2 ** n; the most probable are told."""
    weights = {
        code: 0.5 ** MANY.index(label)
        for code, label in zip(codes(body), classes(body), strict=True)
    }
    total = sum(weights.values())
    best = sorted(weights, key=weights.get, reverse=True)
    shares = {code: weights[code] / total for code in best[:shown]}
    logprobs = azure.labelled(best[0], shares)
    return azure.completion(json.dumps({"label": best[0]}), logprobs=logprobs, **more)


def silent(body):
    """No logprobs, and how sure it is where it is asked that."""
    code = dict(zip(classes(body), codes(body), strict=True))[MANY[0]]
    asked = body["response_format"]["json_schema"]["schema"]["required"]
    answer = {"label": code, "confidence": 80}
    return azure.completion(json.dumps({name: answer[name] for name in asked}))


async def look(answers, model="acme", **asked):
    """The result, and the bodies that were sent."""

    def answer(body):
        return "200 OK", answers(len(server.asked), body)

    async with chat_server(answer) as server:
        settings = Settings(
            database_url="sqlite://",
            provider="openai_compatible",
            openai={"base_url": server.url, "model": model},
        )
        async with build_parts(settings) as parts:
            await parts.domains.create(Domain(name="many", classes=MANY, **asked), by=COMMAND_LINE)
            question = Question(Upload(azure.picture()), "many", "test")
            result = await parts.classification.classify(question)
        return result, [body for _, body in server.asked]


async def test_the_second_order_offers_the_classes_that_were_told():
    """Five of nine, the other way round; the others keep what they had, within the tail."""
    result, (first, second) = await look(lambda call, body: told(body), orders=2)

    assert sorted(classes(first)) == sorted(MANY)
    assert classes(second) == [each for each in reversed(classes(first)) if each in MANY[:5]]
    assert codes(second) == list("ABCDE")
    true = {label: 0.5**place / (2 - 0.5**8) for place, label in enumerate(MANY)}
    assert 0 < result.tail < 0.04
    assert result.probabilities == pytest.approx(true, abs=result.tail + 1e-4)
    assert result.usage.prompt_tokens == 2 * 214


async def test_a_second_call_without_probabilities_counts_for_nothing():
    """Nor what the model then states of itself; all three calls are paid."""

    def answers(call, body):
        return told(body, 9) if call == 1 else silent(body)

    result, bodies = await look(answers, orders=2)

    assert len(bodies) == 3
    assert (result.confidence_source, result.tail) == ("logprobs", None)
    assert result.confidence == pytest.approx(1 / (2 - 0.5**8), abs=1e-4)
    assert result.usage.prompt_tokens == 3 * 214


async def test_a_second_call_to_a_newer_model_counts_for_nothing():
    def answers(call, body):
        return told(body, 9) if call == 1 else told(body, 9, model="gpt-4o-2027-01-01")

    result, bodies = await look(answers, model="gpt-4o", orders=2)

    assert len(bodies) == 2
    assert result.model == "gpt-4o-2024-11-20"


async def test_votes_are_sampled_at_the_models_own_temperature():
    """Each with its classes in another order; nine calls at most, five when all agree."""

    result, (first, *votes) = await look(lambda call, body: silent(body), votes=9)

    assert first["temperature"] == 0
    assert len(votes) == 5
    assert not any("temperature" in each for each in votes)
    assert len({tuple(classes(each)) for each in votes}) == 5
    assert result.confidence_source == "votes"
    assert result.confidence == pytest.approx((5 + 1 / 9) / 6, abs=1e-6)
