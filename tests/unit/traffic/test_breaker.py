"""A deployment that fails is set aside, and tried with one call at a time."""

import pytest

from app.traffic.breaker import FAILURES, LONGEST_PAUSE_S, PAUSE_S, Breaker


def call(breaker: Breaker, now: float, *, failed: bool | None) -> None:
    breaker.ended(now, failed=failed, probe=breaker.began())


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        call(breaker, now, failed=True)
    return breaker


def test_it_opens_when_most_of_the_last_calls_failed():
    breaker = Breaker()
    for _ in range(100):
        call(breaker, 0, failed=False)
    for _ in range(FAILURES - 1):
        call(breaker, 1, failed=True)
    before = breaker.state(1)
    call(breaker, 1, failed=True)

    assert (before, breaker.state(1)) == ("closed", "open")
    assert breaker.free_at(1) == 1 + PAUSE_S


def test_failures_of_long_ago_do_not_count():
    breaker = Breaker()
    for minute in range(20):
        call(breaker, minute * 60, failed=True)

    assert breaker.state(1200) == "closed"


def test_what_says_nothing_of_the_deployment_does_not_count():
    breaker = Breaker()
    for _ in range(100):
        call(breaker, 0, failed=None)

    assert breaker.state(0) == "closed"


def test_one_probe_at_a_time():
    """While it is under way nobody else calls."""
    breaker = opened()

    free_at, probe = breaker.free_at(PAUSE_S), breaker.began()

    assert free_at == PAUSE_S
    assert probe
    assert breaker.state(PAUSE_S) == "half_open"
    assert breaker.free_at(PAUSE_S) == float("inf")


def test_a_good_probe_closes_it():
    breaker = opened()
    call(breaker, PAUSE_S, failed=False)

    assert breaker.state(PAUSE_S) == "closed"


def test_a_probe_that_was_cut_off_is_made_again():
    breaker = opened()
    call(breaker, PAUSE_S, failed=None)

    assert breaker.free_at(PAUSE_S) == PAUSE_S


def test_pauses_double_and_end_somewhere():
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(8):
        pauses.append(breaker.free_at(now) - now)
        now = breaker.free_at(now)
        call(breaker, now, failed=True)

    assert pauses[:3] == pytest.approx([PAUSE_S, 2 * PAUSE_S, 4 * PAUSE_S])
    assert pauses[-1] == pytest.approx(LONGEST_PAUSE_S)


def test_calls_that_began_before_it_opened_change_nothing():
    breaker = Breaker()
    probes = [breaker.began() for _ in range(2 * FAILURES)]
    for probe in probes:
        breaker.ended(1, failed=True, probe=probe)
    breaker.ended(1, failed=False, probe=False)

    assert breaker.free_at(1) == 1 + PAUSE_S
