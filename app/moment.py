"""A point in time as requests give it."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator


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
