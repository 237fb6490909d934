"""What is read of a call's body."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.simulator.asked import DEFAULT_OUTPUT, Asked
from app.simulator.errors import Unacceptable
from app.simulator.models import find_model
from app.simulator.parameters import complaint, malformed
from tests.pictures import jpeg

GPT_4O = find_model("gpt-4o")


def said(text, **more):
    return Asked.read({"messages": [{"role": "user", "content": text}], **more})


def form(properties, strict=True, **more):
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }
    told = {"name": "answer", "strict": strict, "schema": schema}
    return {"type": "json_schema", "json_schema": told}


def test_codes_stand_for_classes():
    """As the prompt's table says, descriptions left out; an option without a row is a class."""
    text = "Which is it?\nA = cat: a small animal\n  B = sailing boat\nC=fish\nx == y"
    asked = said(text, response_format=form({"label": {"type": "string", "enum": ["A", "B", "D"]}}))

    assert asked.offered() == {"A": "cat", "B": "sailing boat", "D": "D"}
    assert said("A = cat\nB = dog").offered() == {"A": "cat", "B": "dog"}
    assert said("What is it?").offered() == {}


def test_codes_may_stand_before_their_classes_without_a_sign():
    """Where all that may be answered is listed, line by line: a sentence is no row."""
    text = "A child asks:\nWhich is it?\nA cat: a small animal\nB sailing boat\nAnswer."
    asked = said(text, response_format=form({"label": {"type": "string", "enum": ["A", "B"]}}))
    unlisted = said(text, response_format=form({"label": {"type": "string", "enum": ["B", "A"]}}))

    assert asked.offered() == {"A": "cat", "B": "sailing boat"}
    assert unlisted.offered() == {"B": "B", "A": "A"}


def test_what_a_call_is_taken_for_on_arrival():
    """Text by characters, schema included; pictures; and what it may answer, for each choice."""
    url = f"data:image/jpeg;base64,{base64.b64encode(jpeg(512, 512)).decode()}"
    picture = {"type": "image_url", "image_url": {"url": url, "detail": "high"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "x" * 400}, picture]}]

    plain = Asked.read({"messages": messages, "max_tokens": 32})
    choices = Asked.read({"messages": messages, "max_completion_tokens": 32, "n": 3})
    uncapped = Asked.read({"messages": messages})

    assert plain.estimated_tokens(GPT_4O) == 100 + 255 + 32
    assert choices.estimated_tokens(GPT_4O) == 100 + 255 + 3 * 32
    assert uncapped.estimated_tokens(GPT_4O) == 100 + 255 + DEFAULT_OUTPUT
    assert plain.estimated_tokens(GPT_4O, images_count=False) == 100 + 32
    assert plain.prompt_tokens(GPT_4O) == uncapped.prompt_tokens(GPT_4O)


@pytest.mark.parametrize(
    ("response_format", "complaint"),
    [
        (form({"label": {"type": "string"}}, required=[]), "'required'"),
        (form({"label": {"type": "string"}}, additionalProperties=True), "additionalProperties"),
        (form({"sure": {"type": "number", "maximum": 1}}), "'maximum' is not permitted"),
        (form({"label": "cat"}, strict=False), "every property"),
        (form({}, strict=False, type="array"), "type"),
    ],
)
def test_schemas_that_can_not_be_followed(response_format, complaint):
    with pytest.raises(Unacceptable, match=complaint):
        said("What is it?", response_format=response_format)


def test_a_loose_schema_may_say_more():
    """What only a strict one must not say."""
    loose = form({"sure": {"type": "number", "maximum": 1}}, strict=False, required=[])

    assert said("How sure?", response_format=loose).form[0].name == "sure"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "image_url", "url", "detail"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
messages = st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": st.text()}))
numbers = ("n", "max_tokens", "max_completion_tokens", "temperature", "top_logprobs")
others = ("logprobs", "reasoning_effort", "response_format", "stream")
bodies = st.fixed_dictionaries(
    {"messages": messages | json_values},
    optional=dict.fromkeys((*numbers, *others), json_values),
)


@settings(max_examples=400, deadline=None)
@given(body=bodies, model=st.sampled_from(["gpt-4o", "gpt-5", "gpt-5.1"]))
def test_any_body_is_read_or_refused(body, model):
    """Never anything but an error that a client of Azure knows."""
    if malformed(body):
        return
    try:
        asked = Asked.read(body)
    except Unacceptable as error:
        reply = error.reply
    else:
        assert asked.estimated_tokens(find_model(model)) >= 0
        reply = complaint(asked, find_model(model), ())

    assert reply is None or reply.status == 400
