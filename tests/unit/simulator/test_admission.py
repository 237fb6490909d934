"""Who gets in, by a clock that tests set."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.simulator.admission import Admission, Quota

PLENTY = 10**9


def taken(admission, tokens, now):
    return admission.admit(tokens, now).refused_by is None


@pytest.mark.parametrize(
    ("rpm", "window_s", "per_window"),
    [(600, 1, 10), (600, 10, 100), (60, 1, 1), (100, 1, 1), (500, 10, 83), (3, 10, 1), (0, 10, 0)],
)
def test_requests_per_minute_are_held_over_short_windows(rpm, window_s, per_window):
    """600 a minute are 10 in a second: the eleventh is refused, whatever the minute has left."""
    admission = Admission(Quota(rpm, PLENTY, window_s))

    got_in = sum(taken(admission, 1, 1200.5) for _ in range(per_window + 5))

    assert got_in == per_window


@pytest.mark.parametrize("window_s", [1, 10])
def test_a_refusal_says_when_its_window_turns_over(window_s):
    """Windows are aligned to the clock, not to the first call."""
    admission = Admission(Quota(6, PLENTY, window_s))
    admission.admit(1, 1207.25)

    refused = admission.admit(1, 1207.5)

    assert refused.refused_by == "requests"
    assert refused.retry_after_s == pytest.approx(1208 - 1207.5 if window_s == 1 else 2.5)
    assert not taken(admission, 1, 1207.5 + refused.retry_after_s - 0.001)
    assert taken(admission, 1, 1207.5 + refused.retry_after_s)


def test_tokens_are_counted_by_the_minute_on_arrival():
    """What fits is taken, what does not is refused until the minute turns over."""
    admission = Admission(Quota(PLENTY, 1_000))

    assert taken(admission, 600, 1210)
    refused = admission.admit(401, 1220)
    assert refused.refused_by == "tokens"
    assert refused.retry_after_s == pytest.approx(40)
    assert taken(admission, 400, 1230)
    assert taken(admission, 1_000, 1260)


def test_refused_calls_count_as_requests_but_not_as_tokens():
    """Two refused for their tokens use up the window's requests."""
    admission = Admission(Quota(rpm=18, tpm=1_000))

    assert [admission.admit(5_000, 1200 + n).refused_by for n in range(4)] == [
        *["tokens"] * 3,
        "requests",
    ]
    assert taken(admission, 1_000, 1210)


def test_remaining_is_of_the_trailing_minute_and_of_this_one():
    """Requests of the last 60 s, tokens since the minute began; never below zero."""
    admission = Admission(Quota(rpm=60, tpm=1_000))

    first = admission.admit(300, 1250)
    second = admission.admit(300, 1251)
    next_minute = admission.admit(300, 1300)
    later = admission.admit(300, 1311)

    assert (first.remaining_requests, first.remaining_tokens) == (59, 700)
    assert (second.remaining_requests, second.remaining_tokens) == (58, 400)
    assert (next_minute.remaining_requests, next_minute.remaining_tokens) == (57, 700)
    assert (later.remaining_requests, later.remaining_tokens) == (58, 400)
    for _ in range(100):
        drained = admission.admit(300, 1311.5)
    assert (drained.remaining_requests, drained.remaining_tokens) == (0, 100)


def test_without_any_quota_the_wait_is_a_day():
    assert Admission(Quota(0, PLENTY)).admit(1, 1200).retry_after_s == 86_400
    assert Admission(Quota(PLENTY, 0)).admit(1, 1200).retry_after_s == 86_400


def test_another_tenant_takes_its_share_evenly():
    """With half of 60 a window gone to somebody else, 5 are left of 10; of the tokens, half."""
    admission = Admission(Quota(60, 6_000, 10, tenant_share=0.5))

    spread = sum(taken(admission, 1, 1200 + tenth) for tenth in range(10))
    assert spread == 7  # at second 7 the other one has had 3.5 of the 10

    admission = Admission(Quota(PLENTY, 6_000, 10, tenant_share=0.5))
    late = admission.admit(3_000, 1259.9)
    assert late.refused_by is None
    assert late.remaining_tokens == pytest.approx(0, abs=10)
    assert admission.admit(100, 1259.9).refused_by == "tokens"


def test_a_new_quota_holds_at_once_and_forgets_nothing():
    """Down to 3 per window when 5 got in: refused; up to 10: five more."""
    admission = Admission(Quota(60, PLENTY))
    for _ in range(5):
        admission.admit(1, 1200)

    admission.quota = Quota(18, PLENTY)
    assert not taken(admission, 1, 1201)
    admission.quota = Quota(66, PLENTY)
    assert [taken(admission, 1, 1202) for _ in range(6)] == [True] * 5 + [False]


calls = st.lists(
    st.tuples(st.floats(0, 8), st.integers(1, 3_000)), min_size=1, max_size=300
)  # seconds since the last one, tokens


@settings(max_examples=300, deadline=None)
@given(
    rpm=st.integers(0, 400),
    tpm=st.integers(0, 20_000),
    window_s=st.sampled_from([1, 10]),
    tenant_share=st.sampled_from([0, 0.25, 0.9]),
    calls=calls,
)
def test_never_more_than_the_limit_in_any_aligned_window(rpm, tpm, window_s, tenant_share, calls):
    """Neither requests in a window nor tokens in a minute, however calls come; and every refusal
    has a reason and names a time at which its window is another."""
    admission = Admission(Quota(rpm, tpm, window_s, tenant_share))
    now = 1_000.0
    requests, tokens = Counter(), Counter()

    for pause, amount in calls:
        now += pause
        decision = admission.admit(amount, now)
        assert 0 <= decision.remaining_requests <= rpm
        assert 0 <= decision.remaining_tokens <= tpm
        if decision.refused_by is None:
            requests[now // window_s] += 1
            tokens[now // 60] += amount
            assert decision.retry_after_s == 0
        else:
            length = window_s if decision.refused_by == "requests" else 60
            assert decision.retry_after_s > 0
            assert (now + decision.retry_after_s + 1e-6) // length > now // length

    assert max(requests.values(), default=0) <= (max(1, rpm * window_s // 60) if rpm else 0)
    assert max(tokens.values(), default=0) <= tpm


@settings(max_examples=100, deadline=None)
@given(rpm=st.integers(1, 100), window_s=st.sampled_from([1, 10]), calls=calls)
def test_a_full_window_is_the_only_reason_to_refuse_a_request(rpm, window_s, calls):
    """As long as the window has seen fewer calls than it holds, the next one gets in."""
    admission = Admission(Quota(rpm, PLENTY, window_s))
    limit = max(1, rpm * window_s // 60)
    seen: Counter[float] = Counter()
    now = 1_000.0

    for pause, amount in calls:
        now += pause
        seen[now // window_s] += 1
        assert taken(admission, amount, now) == (seen[now // window_s] <= limit)
