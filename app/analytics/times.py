"""Converts requested times to times that can be searched for."""

from datetime import UTC, datetime

from app.storage.tables import LATEST


def within_reach(moment: datetime) -> datetime:
    """In UTC, limited to 1970 through 9999."""
    return datetime.fromtimestamp(min(max(moment.timestamp(), 0), LATEST.timestamp()), UTC)


def whole_hour(moment: datetime) -> datetime:
    """The start of its hour in UTC, limited likewise."""
    return within_reach(moment).replace(minute=0, second=0, microsecond=0)
