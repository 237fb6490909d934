"""Whatever receivers answer, callers write and webhooks want: it is sent in time, and it fits."""

import json
import unicodedata
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.result import MAX_METADATA, Result
from app.retry_after import retry_after_s
from app.storage.event_types import EVENT_TYPES
from app.storage.events import MAX_BODY, body_of, numbered, result_created
from app.storage.outbox import Subscription
from app.webhooks.schedule import Schedule
from app.webhooks.sender import MAX_ANSWER, cleaned

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

dates = st.datetimes().map(lambda each: format_datetime(each.replace(tzinfo=UTC), usegmt=True))
asked = st.one_of(
    st.text(),
    st.text("0123456789 -+.eE,:", max_size=20),
    st.integers().map(str),
    dates,
    st.builds("{}{}".format, dates, st.text(max_size=5)),
    st.builds(
        "{}, {} {} {} {}:{}:{} {}".format,
        *(st.sampled_from(["Mon", "Feb", "99", "-1", "", "2026", "0", "99999999999"]),) * 7,
        st.sampled_from(["GMT", "+9999", "-0000", "+99999999", "X", ""]),
    ),
)


@given(value=asked)
@settings(max_examples=500)
@example("²")
@example("\uff11\uff12")
@example("9" * 5_000)
@example("Mon, 01 Jan 0001 00:00:00 +2359")
@example("Fri, 31 Dec 9999 23:59:59 -2359")
@example("Mon, 01 Jan 99999999999999999999 00:00:00 GMT")
def test_a_retry_after_is_some_time_or_nonsense(value):
    """Never an error, and never before now."""
    found = retry_after_s(value, NOW)

    assert found is None or 0 <= found < float("inf")


@given(seconds=st.integers(0, 999_999_999))
def test_seconds_are_taken_as_they_are(seconds):
    assert retry_after_s(f" {seconds} ", NOW) == seconds


@given(ahead=st.integers(-(10**9), 10**9))
def test_a_date_is_so_far_away(ahead):
    """What is over is now."""
    moment = format_datetime(NOW + timedelta(seconds=ahead), usegmt=True)

    assert retry_after_s(moment, NOW) == max(0, ahead)


@given(
    waits=st.lists(st.floats(0, 604_800), min_size=1, max_size=12),
    jitter=st.floats(0, 0.99),
    cap=st.floats(0, 604_800),
    retry_after=st.none() | st.floats(0, 1e12),
    random=st.floats(0, 1),
    tries=st.integers(1, 15),
)
@settings(max_examples=300)
def test_the_next_attempt_is_in_time(waits, jitter, cap, retry_after, random, tries):
    """Within the jitter of the schedule, never before what the receiver asked for up to the cap,
    and none after the last."""
    schedule = Schedule(waits, jitter=jitter, longest_retry_after_s=cap, random=lambda: random)
    again = schedule.next(tries, NOW, retry_after_s=retry_after)

    if tries >= len(waits):
        assert again is None
        return
    wait_s = (again - NOW).total_seconds()
    least = min(retry_after or 0, cap)
    assert wait_s >= max(waits[tries] * (1 - jitter), least) - 1e-3
    assert wait_s <= max(waits[tries] * (1 + jitter), least) + 1e-3


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4)
    ),
    max_leaves=10,
)
long = st.builds(
    lambda text, times: {"note": text * times},
    st.text(min_size=1, max_size=50),
    st.integers(1, 400),
)
metadata = st.none() | (st.dictionaries(st.text(max_size=20), values, max_size=5) | long).filter(
    lambda each: len(json.dumps(each)) <= MAX_METADATA
)
labels = st.lists(
    st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=["Cs"]), min_size=1),
    min_size=1,
    max_size=20,
    unique=True,
)


@given(metadata=metadata, labels=labels, times=st.integers(1, 25), sequence=st.integers(1, 2**63))
@settings(max_examples=200, deadline=None)
def test_every_event_fits_and_says_what_it_leaves_out(metadata, labels, times, sequence):
    classes = [f"{each[:90]} {number}" for number in range(times) for each in labels]
    result = Result(
        id="cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9",
        domain="flowers",
        predicted_class=classes[0],
        probabilities=dict.fromkeys(classes, 1 / len(classes)),
        status="accepted",
        metadata=metadata,
        caller="x" * 64,
        domain_version="1",
        created_at=NOW,
    )
    body = numbered(body_of(result_created(result), EVENT_TYPES["result.created"], NOW), sequence)
    event = json.loads(body)
    whole = json.loads(result.model_dump_json())
    omitted = event.get("omitted", [])

    assert len(body) < MAX_BODY
    assert event["data"] == whole | dict.fromkeys(omitted)
    assert event["link"] == f"/results/{result.id}"
    assert event["sequence"] == sequence
    assert omitted in ([], ["metadata"], ["probabilities"], ["metadata", "probabilities"])
    # Nothing is left out that would have had room.
    assert not omitted or len(json.dumps(whole, ensure_ascii=False).encode()) > MAX_BODY - 1_000


@given(
    content=st.binary(max_size=5_000)
    | st.text(max_size=5_000).map(str.encode)
    | st.builds(lambda each, times: each * times, st.binary(max_size=10), st.integers(0, 5_000)),
    hidden=st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126)), max_size=20),
)
@settings(max_examples=300, deadline=None)
@example(b"*" * 5_000, ["*"] * 20)
@example(b"abc", ["", "a", "ab", "abc"])
def test_what_is_kept_of_an_answer_does_no_harm(content, hidden):
    """Short, and nothing in it but text, tabs and line breaks."""
    text = cleaned(content, hidden)

    assert len(text) <= MAX_ANSWER
    assert not [each for each in text if unicodedata.category(each) == "Cc" and each not in "\t\n"]
    assert not set(text) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert text.encode().decode() == text


@given(
    before=st.text("xyz \n", max_size=900),
    hidden=st.text("abcdef", min_size=1, max_size=100),
    after=st.text("xyz \n", max_size=900),
)
def test_what_is_hidden_is_not_in_it(before, hidden, after):
    assert cleaned((before + hidden + after).encode(), [hidden]) == f"{before}***{after}"


names = st.sampled_from(["result.created", "batch.completed", "ping"])
domains = st.sampled_from(["flowers", "animals", "objects"])


@given(
    wanted=st.frozensets(names),
    of=st.frozensets(domains),
    event_type=names,
    domain=st.none() | domains,
)
@settings(max_examples=200)
def test_a_webhook_hears_what_it_wants(wanted, of, event_type, domain):
    """All where nothing is named; what is of no domain always."""
    webhook = Subscription("whk_1", "shop", wanted, of, enabled=True)
    types = wanted or {"result.created", "batch.completed", "ping"}
    places = (of or {"flowers", "animals", "objects"}) | {None}

    assert webhook.covers(event_type, domain) == (event_type in types and domain in places)
