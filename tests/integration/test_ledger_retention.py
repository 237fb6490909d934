"""Single calls go when they are old; what they cost stays in the sums."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from app.settings_groups import RetentionSettings
from app.storage.tables import ledger
from tests.entries import book, entry

pytestmark = pytest.mark.each_database

NOW = datetime.now(UTC)


@pytest.fixture
def settings(settings, request):
    days = getattr(request, "param", 30)
    return settings.model_copy(update={"retention": RetentionSettings(ledger=days)})


async def fill(parts) -> None:
    """More than a page that is old, one that is not, and an old one that no sum has."""
    old = NOW - timedelta(days=31)
    await book(parts.database, *(entry(old, "1") for _ in range(501)), entry(NOW, "1"))
    await book(parts.database, entry(old, "1"), rolled=False)


async def left(parts) -> int:
    query = sa.select(sa.func.count()).select_from(ledger)
    return await parts.database.read(lambda each: each.execute(query).scalar_one())


async def spent(parts) -> int:
    return (await parts.costs.report("day", since=NOW - timedelta(days=60))).total_usd


async def test_old_entries_go_when_sums_have_them(parts):
    await fill(parts)
    counted = await parts.retention.sweep(now=NOW, dry_run=True)
    before = await left(parts), await spent(parts)
    swept = await parts.retention.sweep(now=NOW)

    assert counted.entries == swept.entries == 501
    assert before == (503, 503)
    assert (await left(parts), await spent(parts)) == (2, 503)

    await book(parts.database)
    assert (await parts.retention.sweep(now=NOW)).entries == 1
    assert await spent(parts) == 503


@pytest.mark.parametrize("settings", [None], indirect=True)
async def test_unless_it_is_said_they_stay(parts):
    await fill(parts)

    assert (await parts.retention.sweep(now=NOW + timedelta(days=9_999))).entries == 0
    assert await left(parts) == 503
