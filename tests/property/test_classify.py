"""Whatever JSON is posted: an answer or a clear refusal, never a mistake of the service."""

import asyncio
import base64
import json

import httpx2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.main import create_app
from app.parts import build_parts
from tests.pictures import encoded, photograph

PICTURE = base64.b64encode(encoded(photograph(32, 24), "JPEG")).decode()
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
nearly = st.fixed_dictionaries(
    {},
    optional={
        "domain": st.sampled_from(["flowers", "animals", "none"]) | anything,
        "image_base64": st.just(PICTURE) | st.text(max_size=30) | anything,
        "image_url": st.text(max_size=30).map("http://127.0.0.1/{}".format) | anything,
        "expected": st.sampled_from(["rose", "cat"]) | anything,
        "metadata": st.dictionaries(st.text(max_size=8), anything, max_size=4) | anything,
        "provider": st.sampled_from(["local", "azure_openai"]) | anything,
        "callback_url": st.none() | anything,
        "colour": anything,
    },
)
right = st.fixed_dictionaries(
    {"domain": st.just("flowers"), "image_base64": st.just(PICTURE)},
    optional={"metadata": st.dictionaries(st.text(), anything)},
)
bodies = st.one_of(anything, nearly, right)


@pytest.fixture
def post(settings):
    """POST /classify to one running service, from a test that is not async."""
    with asyncio.Runner() as runner:
        parts = build_parts(settings)
        transport = httpx2.ASGITransport(
            create_app(runner.run(parts.__aenter__())), raise_app_exceptions=False
        )
        client = httpx2.AsyncClient(transport=transport, base_url="http://service")

        def send(content: bytes):
            request = client.post(
                "/classify", content=content, headers={"content-type": "application/json"}
            )
            return runner.run(request)

        yield send
        runner.run(client.aclose())
        runner.run(parts.__aexit__(None, None, None))


def is_answer_or_problem(answer) -> bool:
    if answer.status_code == 200:
        return answer.json()["status"] in ("accepted", "needs_review")
    assert 400 <= answer.status_code < 500, answer.text
    return answer.headers["content-type"] == "application/problem+json"


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=bodies)
def test_any_json_is_answered_or_refused(post, body):
    """Also numbers that JSON does not know: Python writes NaN and Infinity."""
    assert is_answer_or_problem(post(json.dumps(body).encode()))


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=60))
@example(b"[" * 100_000)
@example(b'{"metadata": ' + b'{"a":' * 190 + b"1" + b"}" * 191)
@example(b'{"domain": "flowers", "x": ' + b"9" * 5000 + b"}")
@example(rb'{"\ud800": 1}')
def test_any_bytes_are_answered_or_refused(post, content):
    assert is_answer_or_problem(post(content))


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param("9" * 4000, id="a long number"),
        pytest.param("9" * 5000, id="a number too long for Python"),
        pytest.param("1e400", id="a number too large for a float"),
        pytest.param("[" * 180 + "]" * 180, id="deep"),
        pytest.param(r'"\u0000"', id="a zero"),
        pytest.param(r'"\ud83d\ude00"', id="a pair of surrogates"),
    ],
)
def test_odd_metadata_is_kept_or_refused(post, metadata):
    body = f'{{"domain": "flowers", "image_base64": "{PICTURE}", "metadata": {{"x": {metadata}}}}}'

    assert is_answer_or_problem(post(body.encode()))
