"""Answers, as the real SDK sees them."""

import hashlib
import json
import math
import re

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletion

from tests.integration.simulator.calls import CODES, KEY, ROSE, ask, question
from tests.pictures import jpeg


async def test_an_answer_with_logprobs(sdk, simulator):
    """The declared class, its distribution at the code's token, usage and Azure's headers; valid by
    the SDK's own types, its keys in the order of the alphabet."""
    simulator.start(truth={hashlib.sha256(ROSE).hexdigest(): "sunflower"}, accuracy=0.9)

    raw = await ask(sdk, logprobs=True, top_logprobs=20, temperature=0)

    body = json.loads(raw.content)
    answer = ChatCompletion.model_validate(body, strict=True)
    assert answer.model == "gpt-4o-2024-11-20"
    assert json.loads(answer.choices[0].message.content) == {"label": "C"}
    tokens = answer.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == '{"label":"C"}'
    assert {each.token for each in tokens[3].top_logprobs} == set(CODES)
    assert answer.usage.completion_tokens == len(tokens) == 5
    assert answer.usage.prompt_tokens > 85
    assert answer.choices[0].content_filter_results["violence"]["filtered"] is False

    def in_order(value):
        if isinstance(value, dict):
            assert list(value) == sorted(value)
        for each in value.values() if isinstance(value, dict) else value:
            if isinstance(each, dict | list):
                in_order(each)

    in_order(body)
    headers = raw.headers
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["x-ms-deployment-name"] == "eyes"
    assert headers["x-ratelimit-limit-requests"] == "60000"
    assert headers["x-ratelimit-remaining-requests"] == "59999"
    assert re.fullmatch(r"[0-9a-f-]{36}", headers["apim-request-id"])
    assert headers["x-request-id"] == raw.request_id


@pytest.mark.parametrize("detail", ["low", "high"])
@pytest.mark.parametrize("told", [False, True])
async def test_usage_counts_the_picture(simulator, detail, told):
    """85 and 765 tokens of gpt-4o for 1024 pixels; named apart when that is ordered."""
    simulator.start(tell_image_tokens=told)
    body = question(jpeg(1024, 1024))
    body["messages"][1]["content"][0]["image_url"]["detail"] = detail

    async with simulator.sdk() as client:
        usage = (await client.chat.completions.create(**body)).usage
        bare = await client.chat.completions.create(**body | {"messages": [body["messages"][0]]})

    expected = {"low": 85, "high": 765}[detail]
    assert usage.prompt_tokens - bare.usage.prompt_tokens == expected + 4
    assert getattr(usage.prompt_tokens_details, "image_tokens", None) == (
        expected if told else None
    )
    assert simulator.look()["billed"]["image"] == expected


@pytest.mark.parametrize("header", ["api-key", "authorization"])
@pytest.mark.parametrize(
    "path",
    [
        "openai/v1/chat/completions",
        "openai/deployments/eyes/chat/completions?api-version=2024-10-21",
    ],
)
def test_key_and_bearer_on_both_paths(simulator, header, path):
    """The right key is taken either way, a wrong one or none is 401."""
    scheme = "Bearer " if header == "authorization" else ""
    url = f"{simulator.url}/{path}"

    right = httpx2.post(url, json=question(), headers={header: scheme + KEY}, timeout=30)
    wrong = httpx2.post(url, json=question(), headers={header: f"{scheme}nope"}, timeout=30)
    none = httpx2.post(url, json=question(), timeout=30)

    assert [each.status_code for each in (right, wrong, none)] == [200, 401, 401]
    assert simulator.look()["arrived"] == 1


async def test_any_key_does_where_none_is_set(simulator):
    simulator.start(key=None)

    assert (await ask(simulator.sdk(api_key="whatever"))).http_response.status_code == 200


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("openai/deployments/ears/chat/completions?api-version=2024-10-21", "DeploymentNotFound"),
        ("openai/deployments/eyes/chat/completions", "404"),
        ("openai/deployments/eyes/chat/completions?api-version=soon", "404"),
        ("openai/nowhere", "404"),
    ],
)
def test_what_is_not_there(simulator, path, code):
    response = httpx2.post(
        f"{simulator.url}/{path}", json=question(), headers={"api-key": KEY}, timeout=30
    )

    assert response.status_code == 404
    assert response.json()["error"]["code"] == code


async def test_an_unknown_deployment_is_not_found(simulator):
    with pytest.raises(openai.NotFoundError) as caught:
        await ask(simulator.sdk(), model="ears")

    assert caught.value.code == "DeploymentNotFound"


def shares(raw):
    """By class, of an answer with logprobs."""
    tops = json.loads(raw.content)["choices"][0]["logprobs"]["content"][3]["top_logprobs"]
    return {each["token"]: math.exp(each["logprob"]) for each in tops}


async def test_a_bias_moves_probability_to_what_is_offered_first(simulator):
    """A tenth of all that there is."""
    asked = {"logprobs": True, "top_logprobs": 20}
    simulator.start(accuracy=0.6)
    plain = shares(await ask(simulator.sdk(), **asked))
    simulator.start(accuracy=0.6, position_bias=0.1)
    moved = shares(await ask(simulator.sdk(), **asked))

    expected = {code: 0.9 * share + 0.1 * (code == "A") for code, share in plain.items()}
    assert moved == pytest.approx(expected)


async def test_answers_are_drawn_unless_the_temperature_forbids_it(simulator):
    """As often as is said of them; in other words another draw, in the same ones the same."""
    simulator.start(accuracy=0.5, sampling=True)

    async def answers(**more):
        found = []
        for number in range(40):
            body = question(**more)
            body["messages"][0]["content"] += f"\n{number}"
            async with simulator.sdk() as client:
                choice = (await client.chat.completions.create(**body)).choices[0]
            found.append(json.loads(choice.message.content)["label"])
        return found

    drawn = await answers()

    assert len(set(drawn)) > 1
    assert drawn == await answers()
    assert len(set(await answers(temperature=0))) == 1
