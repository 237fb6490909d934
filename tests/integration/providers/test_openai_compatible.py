"""Any server of the OpenAI chat API: a real one on loopback that speaks like Ollama."""

import asyncio
import json

import pytest

from app.classification import Question
from app.errors import ProviderUnknown
from app.images import Upload
from app.parts import build_parts
from app.settings import Settings
from tests.conftest import PHOTOGRAPHS
from tests.integration.providers import azure
from tests.loopback import reply


@pytest.fixture
async def server():
    """Answers `B`, keeps what it was asked, and knows `max_tokens` only."""
    asked = []

    async def answer(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1])
            for line in head.lower().splitlines()
            if line.startswith("content-length:")
        )
        body = json.loads(await reader.readexactly(length))
        asked.append((head, body))
        if "max_completion_tokens" in body:
            status, said = "400 Bad Request", azure.unsupported("max_completion_tokens")
        else:
            shares = {"A": 0.1, "B": 0.8, "C": 0.06, "D": 0.04}
            logprobs = azure.labelled("B", shares)
            status, said = (
                "200 OK",
                azure.completion('{"label":"B"}', logprobs=logprobs, model="acme-vision"),
            )
        content = json.dumps(said).encode()
        writer.write(reply(content, "application/json", status, "Connection: close"))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/v1", asked
    listening.close()
    await listening.wait_closed()


def question():
    return Question(Upload((PHOTOGRAPHS / "rose.jpg").read_bytes()), "flowers", "test")


@pytest.mark.parametrize(("model", "calls"), [("acme-vision", 1), ("gpt-4.1-mini", 2)])
async def test_a_server_answers_over_real_http(server, model, calls):
    """An unknown model is asked with the older spelling, a known one learns that it must be."""
    url, asked = server
    settings = Settings(
        database_url="sqlite://",
        provider="openai_compatible",
        openai={"base_url": url, "model": model},
    )

    async with build_parts(settings) as parts:
        result = await parts.classification.classify(question())

    assert result.predicted_class == "rose"
    assert result.confidence == pytest.approx(0.8, abs=0.001)
    assert result.provider == "openai_compatible"
    assert result.usage.cost_usd is None
    assert len(asked) == calls
    head, body = asked[-1]
    assert head.startswith("POST /v1/chat/completions ")
    assert body["model"] == model


async def test_a_provider_that_is_not_configured_says_what_to_set(parts):
    """Naming it in a request is a clear refusal, not a crash."""
    with pytest.raises(ProviderUnknown, match="OPENAI_MODEL"):
        await parts.providers.get("openai_compatible")
