"""A retry never outlives its policy, whatever the provider says."""

from hypothesis import given
from hypothesis import strategies as st

from app.errors import (
    ContentFiltered,
    DomainNotFound,
    ProviderAnswerInvalid,
    ProviderCannotServeDomain,
    ProviderRateLimited,
    ProviderRefused,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from app.traffic.retry import GiveUp, RetryPolicy, Wait, decide_retry

policies = st.builds(
    RetryPolicy,
    retries=st.integers(0, 10),
    total_s=st.floats(0, 120),
    base_s=st.floats(0.01, 5),
    cap_s=st.floats(0.1, 60),
)
rate_limited = st.builds(
    ProviderRateLimited, st.just("429"), retry_after_s=st.none() | st.floats(0, 86_400)
)
retryable = st.one_of(
    st.just(ProviderUnavailable("503")),
    st.just(ProviderTimeout("slow")),
    st.just(ProviderAnswerInvalid("Z")),
    rate_limited,
)
final = st.sampled_from(
    [
        ContentFiltered("violence"),
        ProviderRefused("no"),
        ProviderRejected("401"),
        ProviderCannotServeDomain("unicorn"),
        DomainNotFound("x"),
    ]
)
jitters = st.floats(0, 1, exclude_max=True)


@given(
    error=retryable,
    attempt=st.integers(1, 2000),
    elapsed=st.floats(0, 200),
    policy=policies,
    jitter=jitters,
)
def test_the_next_call_starts_within_the_total_time(error, attempt, elapsed, policy, jitter):
    """Waiting is decided only when the wait ends before `total_s`, and at most `retries` times."""
    decision = decide_retry(error, attempt=attempt, elapsed_s=elapsed, policy=policy, jitter=jitter)

    match decision:
        case Wait(seconds):
            assert seconds >= 0
            assert elapsed + seconds < policy.total_s
            assert attempt <= policy.retries
        case GiveUp(reason):
            assert reason in {"retries used up", "out of time"}


@given(error=final, attempt=st.integers(1, 12), policy=policies, jitter=jitters)
def test_what_is_final_is_never_asked_again(error, attempt, policy, jitter):
    """A second call costs tokens and changes nothing."""
    decision = decide_retry(error, attempt=attempt, elapsed_s=0.0, policy=policy, jitter=jitter)

    assert decision == GiveUp("final")


@given(attempt=st.integers(2, 12), policy=policies, jitter=jitters)
def test_nonsense_is_asked_again_once_at_most(attempt, policy, jitter):
    decision = decide_retry(
        ProviderAnswerInvalid("Z"), attempt=attempt, elapsed_s=0.0, policy=policy, jitter=jitter
    )

    assert decision == GiveUp("retries used up")


@given(attempt=st.integers(1, 10), policy=policies, jitter=jitters)
def test_our_own_wait_is_capped(attempt, policy, jitter):
    """And grows with each attempt, on average, up to the cap."""
    decision = decide_retry(
        ProviderUnavailable("503"), attempt=attempt, elapsed_s=0.0, policy=policy, jitter=jitter
    )

    if isinstance(decision, Wait):
        assert decision.seconds <= min(policy.cap_s, policy.base_s * 2 ** (attempt - 1))


@given(seconds=st.none() | st.floats(0, 100_000), jitter=jitters)
def test_after_a_refusal_for_quota_there_is_no_pause(seconds, jitter):
    """The queue for the quota knows when there is room again."""
    decision = decide_retry(
        ProviderRateLimited("429", retry_after_s=seconds),
        attempt=1,
        elapsed_s=0.0,
        policy=RetryPolicy(),
        jitter=jitter,
    )

    assert decision == Wait(0.0)
