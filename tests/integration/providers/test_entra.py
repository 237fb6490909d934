"""Azure OpenAI without a key: a token from a real identity endpoint, as App Service has one."""

import asyncio
import json
import time

import pytest
import pytest_httpx2  # noqa: F401 - registers httpcore2 with respx
import respx

from app.classification import Question
from app.errors import ProviderRejected
from app.images import Upload
from app.parts import build_parts
from app.settings import Settings
from tests.integration.providers import azure
from tests.loopback import reply

V1 = "http://127.0.0.1:9/openai/v1/chat/completions"


@pytest.fixture
async def identity(monkeypatch):
    """Answers with `token`, or refuses when it is None."""
    issued = {"token": "entra-token", "asked": []}

    async def answer(reader, writer):
        issued["asked"].append((await reader.readuntil(b"\r\n\r\n")).decode())
        status, body = "400 Bad Request", {"error": "no identity"}
        if issued["token"]:
            expires = str(int(time.time()) + 3600)
            status, body = (
                "200 OK",
                {
                    "access_token": issued["token"],
                    "expires_on": expires,
                    "resource": "https://ai.azure.com",
                    "token_type": "Bearer",
                },
            )
        content = json.dumps(body).encode()
        writer.write(reply(content, "application/json", status, "Connection: close"))
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{port}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    yield issued
    listening.close()
    await listening.wait_closed()


@pytest.fixture
def settings():
    return Settings(
        database_url="sqlite://",
        azure_openai={
            "endpoint": "http://127.0.0.1:9",
            "deployment": "eyes",
            "auth": "entra",
            "client_id": "00000000-0000-4000-8000-000000000000",
        },
    )


def question():
    return Question(Upload(azure.picture()), "flowers", "test")


async def test_the_token_goes_into_the_call(identity, settings):
    """Taken once, for the scope that is configured, and sent as a bearer."""
    shares = {"A": 0.02, "B": 0.9, "C": 0.05, "D": 0.03}
    good = azure.completion('{"label":"B"}', logprobs=azure.labelled("B", shares))

    async with build_parts(settings) as parts:
        with respx.mock(using="httpcore2") as played:
            route = played.post(V1).respond(json=good)
            for _ in range(2):
                result = await parts.classification.classify(question())

    assert result.predicted_class == "rose"
    assert route.calls.last.request.headers["authorization"] == "Bearer entra-token"
    assert len(identity["asked"]) == 1
    assert "ai.azure.com" in identity["asked"][0]


async def test_no_token_is_a_provider_that_rejects(identity, settings):
    """A clear problem, not an exception of Azure's libraries."""
    identity["token"] = None

    async with build_parts(settings) as parts:
        with pytest.raises(ProviderRejected, match="Entra ID"):
            await parts.classification.classify(question())
