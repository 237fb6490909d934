"""Moments that are asked for, as they can be looked for."""

from datetime import UTC, datetime

from app.storage.tables import LATEST


def within_reach(moment: datetime) -> datetime:
    """In UTC; what is before 1970 or after 9999 is there."""
    return datetime.fromtimestamp(min(max(moment.timestamp(), 0), LATEST.timestamp()), UTC)


def whole_hour(moment: datetime) -> datetime:
    """The last one that has begun then, in UTC, as far as these reach."""
    return within_reach(moment).replace(minute=0, second=0, microsecond=0)
