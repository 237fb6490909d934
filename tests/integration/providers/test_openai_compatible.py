"""Any server of the OpenAI chat API: a real one on loopback that speaks like Ollama."""

import pytest

from app.classification import Question
from app.errors import ProviderUnknown
from app.images import Upload
from app.parts import build_parts
from app.settings import Settings
from tests.chat_server import chat_server
from tests.integration.providers import azure


def ollama(body):
    """Answers `B`, and knows `max_tokens` only."""
    if "max_completion_tokens" in body:
        return "400 Bad Request", azure.unsupported("max_completion_tokens")
    logprobs = azure.labelled("B", {"A": 0.1, "B": 0.8, "C": 0.06, "D": 0.04})
    return "200 OK", azure.completion('{"label":"B"}', logprobs=logprobs, model="acme-vision")


@pytest.fixture
async def server():
    async with chat_server(ollama) as server:
        yield server


def question():
    return Question(Upload(azure.picture()), "flowers", "test")


@pytest.mark.parametrize(("model", "calls"), [("acme-vision", 1), ("gpt-4.1-mini", 2)])
async def test_a_server_answers_over_real_http(server, model, calls):
    """An unknown model is asked with the older spelling, a known one learns that it must be."""
    settings = Settings(
        database_url="sqlite://",
        provider="openai_compatible",
        openai={"base_url": server.url, "model": model},
    )

    async with build_parts(settings) as parts:
        result = await parts.classification.classify(question())

    assert result.predicted_class == "rose"
    assert result.confidence == pytest.approx(0.8, abs=0.001)
    assert result.provider == "openai_compatible"
    assert result.usage.cost_usd is None
    assert len(server.asked) == calls
    head, body = server.asked[-1]
    assert head.startswith("POST /v1/chat/completions ")
    assert body["model"] == model


@pytest.mark.parametrize(
    "usage",
    [
        None,
        "free",
        {"prompt_tokens": -5, "completion_tokens": 1},
        {"prompt_tokens": 10**26, "completion_tokens": 1},
        {"prompt_tokens": 5, "prompt_tokens_details": "none"},
    ],
    ids=str,
)
async def test_a_bill_that_makes_no_sense_spoils_no_answer(usage):
    """What was reserved is booked, and nobody knows what that costs."""

    def charging(body):
        status, said = ollama({})
        return status, said | {"usage": usage}

    async with chat_server(charging) as server:
        settings = Settings(
            database_url="sqlite://",
            provider="openai_compatible",
            openai={"base_url": server.url, "model": "acme-vision"},
        )
        async with build_parts(settings) as parts:
            result = await parts.classification.classify(question())
            stored = await parts.results.get(result.id, caller=None)

    assert stored.predicted_class == "rose"
    assert stored.usage.prompt_tokens > 0
    assert stored.usage.completion_tokens == 32
    assert stored.usage.cost_usd is None


async def test_a_provider_that_is_not_configured_says_what_to_set(parts):
    """Naming it in a request is a clear refusal, not a crash."""
    with pytest.raises(ProviderUnknown, match="OPENAI_MODEL"):
        await parts.providers.get("openai_compatible")
