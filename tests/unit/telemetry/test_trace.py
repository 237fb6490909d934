"""Which trace something belongs to, and what its line says."""

import asyncio
import re

import pytest

from app.errors import ProviderTimeout
from app.result import Failure, Result, Timings, Usage
from app.telemetry.trace import UNTRACED, Tracing, current, told, trace_of
from tests.integration.calls import NOON

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("header", "trace_id"),
    [
        (f"00-{TRACE}-{SPAN}-01", TRACE),
        (f"00-{TRACE}-{SPAN}-00", TRACE),
        (f"cc-{TRACE}-{SPAN}-01", TRACE),
        (f"cc-{TRACE}-{SPAN}-01-more", TRACE),
        ("", None),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"cc-{TRACE}-{SPAN}-01more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}", None),
        (f" 00-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-01\n", None),
    ],
)
def test_only_a_well_formed_header_names_a_trace(header, trace_id):
    assert trace_of(header) == trace_id


def test_a_request_goes_on_with_the_trace_that_its_header_names():
    trace = Tracing().request(f"00-{TRACE}-{SPAN}-01", {"request_id": "req_1"})

    assert trace.ids == {"request_id": "req_1", "trace_id": TRACE}


def test_without_one_each_has_an_id_of_its_own():
    found = {Tracing().request("nonsense", {}).trace_id for _ in range(100)}

    assert len(found) == 100
    assert all(re.fullmatch(r"[0-9a-f]{32}", each) for each in found)


async def test_what_is_awaited_or_started_within_belongs_to_it():
    async def found():
        return current().trace_id

    with Tracing().request("", {}) as outer:
        task = asyncio.create_task(found())
        with Tracing().work("item") as inner:
            assert current() is inner
        assert current() is outer
        assert await found() == await task == outer.trace_id
    assert current() is UNTRACED


def test_work_goes_on_with_a_trace_that_has_ended():
    request = Tracing().request("", {"request_id": "req_1"})
    work = Tracing().work("accepted", {"batch_id": "bat_1"}, of=request)

    assert work.ids == {**request.ids, "batch_id": "bat_1"}
    assert work.facts is not request.facts


def test_nothing_is_told_where_nothing_was_begun():
    current().tell(domain="flowers")

    assert UNTRACED.facts == {}
    assert UNTRACED.ids == {}


RESULT = Result(
    id="cls_1",
    domain="flowers",
    status="accepted",
    predicted_class="rose",
    confidence=0.9,
    caller="shop",
    domain_version="1",
    created_at=NOON,
    metadata={"order": "A-17"},
    expected="rose",
)


def test_a_line_says_what_applies():
    assert told(RESULT) == {
        "caller": "shop",
        "domain": "flowers",
        "result_id": "cls_1",
        "result_status": "accepted",
        "predicted_class": "rose",
        "confidence": 0.9,
    }


def test_a_line_says_what_it_cost_and_why_it_failed():
    failed = RESULT.model_copy(
        update={
            "usage": Usage(prompt_tokens=7, completion_tokens=2, cost_usd="0.5"),
            "timings_ms": Timings(prepare=1.5, total=2.0),
            "error": Failure.of(ProviderTimeout("secret words")),
        }
    )

    found = told(failed)

    assert (found["prompt_tokens"], found["completion_tokens"]) == (7, 2)
    assert found["cost_usd"] == 0.5
    assert (found["prepare_ms"], found["total_ms"]) == (1.5, 2.0)
    assert found["error"] == "provider-timeout"
    assert "secret" not in str(found)
