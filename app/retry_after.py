"""`Retry-After`: how long a server asks clients to wait (RFC 9110, section 10.2.3)."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Seconds, from a number or a date; 0: the date is past. None if it is missing or invalid."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdecimal() and len(text) <= 9:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    at = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return max(0.0, (at - now).total_seconds())
