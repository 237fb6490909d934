"""Errors, broken connections and slow answers on order."""

import time
from contextlib import suppress

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletion

from tests.integration.simulator.calls import KEY, ask, question


@pytest.mark.parametrize(
    ("kind", "error", "status"),
    [
        ("error_500", openai.InternalServerError, 500),
        ("empty_500", openai.InternalServerError, 500),
        ("html_502", openai.InternalServerError, 502),
        ("unavailable_503", openai.InternalServerError, 503),
        ("timeout_408", openai.APIStatusError, 408),
        ("capacity_429", openai.RateLimitError, 429),
        ("content_filter", openai.BadRequestError, 400),
    ],
)
async def test_errors_on_order(sdk, simulator, kind, error, status):
    """For the next call; the one after it is answered. They count against the quota."""
    simulator.order(faults=[{"kind": kind, "next": 1}])

    async with sdk as client:
        with pytest.raises(error) as caught:
            await client.chat.completions.create(**question())
        await client.chat.completions.create(**question())

    assert caught.value.status_code == status
    assert "x-ratelimit-remaining-tokens" in caught.value.response.headers
    counts = simulator.look()
    assert counts["faults"] == {kind: 1}
    assert (counts["accepted"], counts["answered"]) == (2, 1)
    if kind == "content_filter":
        assert caught.value.code == "content_filter"
        inner = caught.value.body.get("innererror") or caught.value.body["inner_error"]
        assert inner["code"] == "ResponsibleAIPolicyViolation"


async def test_a_connection_that_breaks(simulator):
    """RST before a byte of an answer came; on the next connection there is one."""
    simulator.order(faults=[{"kind": "reset", "next": 2}])
    url = f"{simulator.url}/openai/v1/chat/completions"

    with pytest.raises(httpx2.ReadError, match="reset by peer"):
        httpx2.post(url, json=question(), headers={"api-key": KEY}, timeout=30)
    async with simulator.sdk() as client:
        with pytest.raises(openai.APIConnectionError):
            await client.chat.completions.create(**question())
        await client.chat.completions.create(**question())

    counts = simulator.look()
    assert counts["in_flight"] == 0
    assert counts["answered"] == 1


@pytest.mark.parametrize("kind", ["slow_body", "silence"])
async def test_an_answer_that_takes_too_long(simulator, kind):
    """The client gives up, the simulator notices and goes on."""
    simulator.order(faults=[{"kind": kind, "next": 1, "seconds": 20}])
    began = time.monotonic()

    async with simulator.sdk(timeout=0.2) as client:
        with pytest.raises(openai.APITimeoutError):
            await client.chat.completions.create(**question())
        await client.chat.completions.create(**question())

    assert time.monotonic() - began < 3


async def test_an_answer_that_is_slow_but_comes(simulator):
    """The body drips; whoever waits gets it whole. Silence ends in 408."""
    simulator.order(
        faults=[
            {"kind": "slow_body", "next": 1, "seconds": 0.3},
            {"kind": "silence", "next": 1, "seconds": 0.1},
        ]
    )
    began = time.monotonic()

    raw = await ask(simulator.sdk())
    took = time.monotonic() - began
    with pytest.raises(openai.APIStatusError) as caught:
        await ask(simulator.sdk())

    assert ChatCompletion.model_validate_json(raw.content).choices[0].finish_reason == "stop"
    assert 0.29 < took < 3
    assert caught.value.status_code == 408


async def test_garbage_on_order(simulator):
    """200, and nothing of an answer in it: never one that could be read."""
    simulator.order(faults=[{"kind": "garbage", "share": 1}])

    bodies = set()
    for _ in range(20):
        response = httpx2.post(
            f"{simulator.url}/openai/v1/chat/completions",
            json=question(),
            headers={"api-key": KEY},
            timeout=30,
        )
        assert response.status_code == 200
        bodies.add(response.content)

    assert len(bodies) == 4
    assert not any(b'"label' in body for body in bodies)


async def test_refusal_and_filtered_output(simulator):
    simulator.order(faults=[{"kind": "refusal", "next": 1}, {"kind": "output_filter", "next": 1}])

    refused = (await ask(simulator.sdk(), logprobs=True)).parse().choices[0]
    filtered = (await ask(simulator.sdk())).parse().choices[0]

    assert refused.message.content is None
    assert refused.message.refusal
    assert "".join(each.token for each in refused.logprobs.refusal) == refused.message.refusal
    assert filtered.finish_reason == "content_filter"
    assert filtered.content_filter_results["violence"]["filtered"] is True


async def test_a_client_that_goes_away_while_it_sends_is_no_mistake(simulator):
    """Half a body, then nobody: nothing is raised, nothing counted."""
    pieces = [
        {"type": "http.request", "body": b'{"model": "ey', "more_body": True},
        {"type": "http.disconnect"},
    ]
    path = "/openai/v1/chat/completions"
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b""}

    async def receive():
        return pieces.pop(0)

    async def send(_):
        pass

    simulator.start(key=None)
    scope["headers"] = [(b"api-key", b"any")]
    await simulator.app(scope, receive, send)

    assert not pieces
    assert simulator.look()["arrived"] == 0


async def test_a_deployment_is_down_and_comes_back(simulator):
    """While it is down nothing counts against the quota."""
    simulator.start(rpm=6)
    simulator.order(down=True)
    for _ in range(3):
        with pytest.raises(openai.InternalServerError) as caught:
            await ask(simulator.sdk())
    simulator.order(down=False)
    await ask(simulator.sdk())

    assert caught.value.status_code == 503
    counts = simulator.look()
    assert (counts["turned_away"], counts["accepted"]) == (3, 1)


UNTOLD = ("content_filter", "timeout_408", "silence", "reset", "garbage")
UNBILLED = ("error_500", "empty_500", "html_502", "unavailable_503", "capacity_429")


@pytest.mark.parametrize("kind", UNTOLD)
@pytest.mark.parametrize("behaviour", [{}, {"model": "gpt-5-mini", "tokenisation": "mixed"}])
def test_what_is_billed_and_not_told(simulator, kind, behaviour):
    """As much as the answer to the same call."""
    simulator.start(**behaviour)
    asked = {key: value for key, value in question().items() if key != "max_completion_tokens"}
    simulator.order(faults=[{"kind": kind, "next": 1, "seconds": 0.01}])

    _send(simulator, asked)
    first = simulator.look()
    _send(simulator, asked)
    both = simulator.look()

    assert not any(first["billed"].values())
    assert first["untold"] == both["untold"] == both["billed"]
    assert both["untold"]["completion"] > 0


@pytest.mark.parametrize("kind", UNBILLED)
def test_errors_that_are_not_billed(simulator, kind):
    simulator.order(faults=[{"kind": kind, "next": 1}])

    _send(simulator, question())

    counts = simulator.look()
    assert not any((*counts["billed"].values(), *counts["untold"].values()))


def test_refusals_of_quota_are_not_billed(simulator):
    simulator.order(rpm=0)

    _send(simulator, question())

    counts = simulator.look()
    assert counts["refused_requests"] == 1
    assert not any((*counts["billed"].values(), *counts["untold"].values()))


def test_a_slow_body_is_billed_as_told(simulator):
    """Though nobody waits for the end of it."""
    simulator.order(faults=[{"kind": "slow_body", "next": 1, "seconds": 20}])

    _send(simulator, question(), timeout=0.2)

    counts = simulator.look()
    assert counts["billed"]["prompt"] > 0
    assert not any(counts["untold"].values())


def _send(simulator, body, timeout=30):
    """However it ends."""
    url = f"{simulator.url}/openai/v1/chat/completions"
    with suppress(httpx2.TransportError):
        httpx2.post(url, json=body, headers={"api-key": KEY}, timeout=timeout)
