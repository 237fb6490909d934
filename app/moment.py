"""Points in time: as requests give them, and when the hour or day of one began and ends, in UTC."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

EPOCH, LATEST = datetime.fromtimestamp(0, UTC), datetime(9999, 12, 31, tzinfo=UTC)
"""The first and the last moment that can be stored."""

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

TimeUnit = Literal["minute", "hour", "day", "month"]
TIME_UNITS: tuple[TimeUnit, ...] = get_args(TimeUnit)

_LONGEST: dict[TimeUnit, timedelta] = {
    "minute": MINUTE,
    "hour": HOUR,
    "day": DAY,
    "month": timedelta(days=31),
}
_FIRST: dict[TimeUnit, dict[str, Any]] = {
    "minute": {"second": 0, "microsecond": 0},
    "hour": {"minute": 0, "second": 0, "microsecond": 0},
    "day": {"hour": 0, "minute": 0, "second": 0, "microsecond": 0},
    "month": {"day": 1, "hour": 0, "minute": 0, "second": 0, "microsecond": 0},
}


def began(moment: datetime, unit: TimeUnit) -> datetime:
    """When the minute, hour, day or month of this moment began."""
    return moment.astimezone(UTC).replace(**_FIRST[unit])


def ends(moment: datetime, unit: TimeUnit) -> datetime:
    """When the next minute, hour, day or month begins."""
    return began(began(moment, unit) + _LONGEST[unit], unit)


def round_up(moment: datetime, unit: TimeUnit) -> datetime:
    """This moment where a minute, hour, day or month begins, else when the next one does."""
    return ends(moment - timedelta.resolution, unit)


def within_reach(moment: datetime) -> datetime:
    """Moments before `EPOCH` or after `LATEST` become these."""
    return datetime.fromtimestamp(min(max(moment.timestamp(), 0), LATEST.timestamp()), UTC)


def _is_text_of_a_date(value: object) -> object:
    # Otherwise pydantic takes a number as seconds, or milliseconds, since 1970.
    if isinstance(value, datetime) or (isinstance(value, str) and value[4:5] == "-"):
        return value
    raise ValueError("should be a date and time with its zone, as 2026-01-02T03:04:05Z")


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is before or after all time") from None


Moment = Annotated[AwareDatetime, BeforeValidator(_is_text_of_a_date), AfterValidator(_in_utc)]
"""RFC 3339 with a time zone, converted to UTC."""
