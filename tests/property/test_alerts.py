"""Whatever is read, an alert keeps to its states."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.alerts.rule import Reading, Rule
from app.alerts.state import NO_DATA, advance

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
AT_LEAST = 5


def rule(lasting: timedelta) -> Rule:
    return Rule(
        *("errors", "error_rate", "above", 0.5, timedelta(minutes=10), lasting, "warning"),
        *(True, frozenset(), AT_LEAST, "Too many errors.", "errors"),
    )


readings = st.none() | st.builds(Reading, st.sampled_from([0.0, 0.5, 0.51, 1.0]), st.just(AT_LEAST))
"""The threshold itself is right."""
steps = st.lists(st.tuples(st.integers(1, 600), readings), max_size=60)
"""Seconds since the one before, and what is read."""


@given(steps=steps, lasting_s=st.sampled_from([0, 15, 60, 300]))
def test_states_follow_each_other(steps, lasting_s):
    """Two never fire without a resolved between; none fires before it was wrong for long enough,
    with never a right reading between, nor a gap of more than five minutes; none resolves but by a
    right reading or for want of any."""
    mine, now, alert = rule(timedelta(seconds=lasting_s)), BEGAN, None
    told: list[str] = []
    wrong_since = last_seen = None
    for seconds, reading in steps:
        now += timedelta(seconds=seconds)
        if reading is not None:
            wrong = reading.value > 0.5
            gap = last_seen is not None and now - last_seen > NO_DATA
            if not wrong:
                wrong_since = None
            elif wrong_since is None or (gap and (alert is None or alert.state == "pending")):
                wrong_since = now
        before, alert = alert, advance(alert, mine, "flowers", reading, now)
        if reading is not None:
            last_seen = now
        was = before.state if before else None
        state = alert.state if alert else None
        if state == "firing" and was != "firing":
            told.append("firing")
            assert reading is not None
            assert reading.value > 0.5
            assert now - wrong_since >= mine.lasting
            assert alert.since == wrong_since
        elif state == "resolved":
            told.append("resolved")
            assert was == "firing"
            if alert.reason == "no_data":
                assert now - last_seen > NO_DATA
            else:
                assert reading.value <= 0.5
        elif was == "firing":
            assert state == "firing"
        if state == "resolved":
            alert = None  # it is history

    assert all(one != other for one, other in pairwise(told))
    assert told[:1] in ([], ["firing"])


@given(lasting_s=st.integers(0, 600), every_s=st.integers(1, 120))
def test_it_fires_at_the_first_look_after_its_time(lasting_s, every_s):
    mine, now, alert = rule(timedelta(seconds=lasting_s)), BEGAN, None
    while alert is None or alert.state == "pending":
        alert = advance(alert, mine, "flowers", Reading(1.0, AT_LEAST), now)
        now += timedelta(seconds=every_s)

    waited_s = (alert.fired_at - alert.since).total_seconds()
    assert lasting_s <= waited_s < lasting_s + every_s
