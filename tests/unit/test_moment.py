"""When the hour or day of a moment began and ends."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.moment import TIME_UNITS, began, ends, round_up, within_reach

MOMENTS = st.datetimes(
    datetime(1970, 1, 1), datetime(9999, 11, 30), timezones=st.just(UTC) | st.timezones()
)


@pytest.mark.parametrize(
    ("unit", "first", "next_one"),
    [
        ("minute", datetime(2026, 12, 31, 23, 59, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        ("hour", datetime(2026, 12, 31, 23, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        ("day", datetime(2026, 12, 31, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        ("month", datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_moment_is_in_one_of_each_unit(unit, first, next_one):
    moment = datetime(2026, 12, 31, 23, 59, 59, 999_999, UTC)

    assert (began(moment, unit), ends(moment, unit)) == (first, next_one)


@given(MOMENTS, st.sampled_from(TIME_UNITS))
def test_one_ends_where_the_next_begins(moment, unit):
    first, next_one = began(moment, unit), ends(moment, unit)

    assert first <= moment < next_one
    assert began(next_one, unit) == next_one
    assert round_up(first, unit) == first
    assert round_up(first + timedelta.resolution, unit) == next_one
    assert began(next_one - timedelta.resolution, unit) == first


@pytest.mark.parametrize(
    ("moment", "hour"),
    [
        (
            datetime(2026, 3, 1, 0, 15, tzinfo=timezone(timedelta(hours=5, minutes=30))),
            datetime(2026, 2, 28, 18, tzinfo=UTC),
        ),
        (
            datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
            datetime(1970, 1, 1, tzinfo=UTC),
        ),
        (
            datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
            datetime(9999, 12, 31, tzinfo=UTC),
        ),
    ],
)
def test_what_is_out_of_reach_has_the_nearest_hour(moment, hour):
    assert began(within_reach(moment), "hour") == hour
