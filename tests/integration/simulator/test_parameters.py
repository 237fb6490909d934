"""What models take and refuse."""

import json

import httpx2
import openai
import pytest
from PIL import Image

from tests.integration.simulator.calls import KEY, ask
from tests.pictures import encoded


@pytest.mark.parametrize(
    ("model", "more", "param", "code"),
    [
        ("gpt-5", {"logprobs": True}, "logprobs", "unsupported_parameter"),
        ("gpt-5", {"temperature": 0}, "temperature", "unsupported_value"),
        ("gpt-5", {"max_tokens": 32}, "max_tokens", "unsupported_parameter"),
        ("gpt-5", {"reasoning_effort": "none"}, "reasoning_effort", "invalid_value"),
        ("gpt-5.1", {"reasoning_effort": "low", "logprobs": True}, "logprobs", None),
        ("gpt-6.1-sol", {"logprobs": True}, "logprobs", "unsupported_parameter"),
        ("gpt-4o", {"reasoning_effort": "low"}, "reasoning_effort", "unsupported_parameter"),
        ("gpt-4o", {"top_logprobs": 5}, "top_logprobs", "invalid_value"),
        ("gpt-4o", {"logprobs": True, "top_logprobs": 21}, "top_logprobs", "invalid_value"),
        ("gpt-4o", {"temperature": 3}, "temperature", "invalid_value"),
        ("gpt-4o", {"max_completion_tokens": 0}, "max_completion_tokens", "invalid_value"),
        ("gpt-4o", {"n": "many"}, "n", "invalid_value"),
        ("gpt-4o", {"response_format": {"type": "xml"}}, "response_format", "invalid_value"),
        ("gpt-4o", {"messages": []}, "messages", "invalid_type"),
    ],
)
async def test_parameters_that_a_model_refuses(simulator, model, more, param, code):
    simulator.start(model=model)

    with pytest.raises(openai.BadRequestError) as caught:
        await ask(simulator.sdk(), **more)

    assert caught.value.param == param
    assert code is None or caught.value.code == code


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("gpt-4o", {"max_completion_tokens": None, "max_tokens": 32, "temperature": 0.3}),
        ("gpt-4.1-nano", {"logprobs": True, "top_logprobs": 20, "seed": 1}),
        ("gpt-5", {"reasoning_effort": "minimal", "temperature": 1}),
        ("gpt-5.1", {"logprobs": True, "temperature": 0}),
        ("gpt-5.6-luna", {"logprobs": True, "reasoning_effort": "none"}),
    ],
)
async def test_parameters_that_a_model_takes(simulator, model, more):
    simulator.start(model=model)

    choice = (await ask(simulator.sdk(), **more)).parse().choices[0]

    assert choice.finish_reason == "stop"
    assert (choice.logprobs is not None) == ("logprobs" in more)


async def test_a_parameter_refused_on_order(simulator):
    simulator.start(refuses=["logprobs"])

    with pytest.raises(openai.BadRequestError) as caught:
        await ask(simulator.sdk(), logprobs=True)
    await ask(simulator.sdk())

    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "logprobs")
    assert simulator.look()["invalid"] == 1


async def test_reasoning_eats_a_small_cap(simulator):
    """gpt-5 thinks first: 32 tokens are gone before it says anything; 4,096 are enough."""
    simulator.start(model="gpt-5")

    cut = (await ask(simulator.sdk())).parse()
    whole = (await ask(simulator.sdk(), max_completion_tokens=4_096)).parse()

    assert (cut.choices[0].finish_reason, cut.choices[0].message.content) == ("length", "")
    assert cut.usage.completion_tokens == 32
    assert cut.usage.completion_tokens_details.reasoning_tokens == 32
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage.completion_tokens_details.reasoning_tokens % 64 == 0
    assert whole.usage.completion_tokens_details.reasoning_tokens > 0


async def test_choices_are_drawn_from_the_distribution(simulator):
    """`n` answers of one unsure model are not all the same; the first is the most probable."""
    simulator.start(accuracy=0.4)

    answer = (await ask(simulator.sdk(), n=40, logprobs=True, top_logprobs=4)).parse()

    said = [json.loads(each.message.content)["label"] for each in answer.choices]
    tops = answer.choices[0].logprobs.content[3].top_logprobs
    assert said[0] == tops[0].token
    assert len(set(said)) > 1
    assert answer.usage.completion_tokens == 40 * 5


@pytest.mark.parametrize(
    ("picture", "code"),
    [
        ("data:image/jpeg;base64,////", "BadRequest"),
        ("data:image/jpeg;base64,not base64!", "BadRequest"),
        ("https://example.com/rose.jpg", "invalid_image_url"),
    ],
)
async def test_pictures_that_can_not_be_read(simulator, picture, code):
    with pytest.raises(openai.BadRequestError) as caught:
        await ask(simulator.sdk(), picture)

    assert caught.value.code == code


async def test_a_mark_in_the_file_says_what_it_shows(simulator):
    marked = encoded(Image.new("RGB", (64, 64), "red"), "JPEG", comment=b"truth=daisy")

    answer = (await ask(simulator.sdk(), marked)).parse()

    assert json.loads(answer.choices[0].message.content) == {"label": "D"}


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model": 7}', b"\xff\xfe"])
def test_bodies_that_make_no_sense(simulator, body):
    response = httpx2.post(
        f"{simulator.url}/openai/v1/chat/completions",
        content=body,
        headers={"api-key": KEY},
        timeout=30,
    )

    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
