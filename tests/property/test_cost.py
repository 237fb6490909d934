"""However entries are grouped, and whether sums have them or not: they are the same money."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from app.analytics import CostReport, Costs
from app.ledger import LedgerEntry
from app.storage import CostRepository, Database, Grouping, tables
from tests.entries import entry, ledger

NOW = datetime(2026, 3, 10, 12, 30, tzinfo=UTC)
PROCESSES = ("prc_one", "prc_two")
SUMS = ("total_usd", "calls", "answers", "prompt_tokens", "estimated_usd", "unpriced_calls")

hours = st.integers(-60, 2).map(lambda hour: timedelta(hours=hour))
moments = st.builds(
    lambda whole, rest: NOW.replace(minute=0) + whole + rest,
    hours,
    st.sampled_from([timedelta(0), timedelta(milliseconds=1), timedelta(hours=1, microseconds=-1)]),
)
names = st.sampled_from(["one", "two"])
dollars = st.decimals(0, 100, places=9).map(str)


@st.composite
def entries(draw) -> LedgerEntry:
    kind = draw(st.sampled_from(["asked", "asked", "kept", "shared", "duplicate"]))
    asked = kind == "asked"
    return entry(
        draw(moments),
        draw(st.none() | dollars) if asked else "0",
        kind=kind,
        domain=draw(names),
        caller=draw(names),
        model=draw(names),
        process=draw(st.sampled_from(PROCESSES)),
        batch_id=draw(st.none() | names),
        prompt_tokens=draw(st.integers(0, 1_000)) if asked else 0,
        estimated=draw(st.booleans()) if asked else False,
        answers=draw(st.integers(0, 1)) if asked else 1,
    )


@given(
    found=st.lists(entries(), max_size=12),
    since=hours.map(lambda each: NOW + each),
    until=st.none() | hours.map(lambda each: NOW + each),
    filters=st.fixed_dictionaries({"domain": st.none() | names, "caller": st.none() | names}),
)
@settings(max_examples=100, deadline=None)
def test_all_groupings_and_all_splits_tell_the_same(found, since, until, filters):
    asyncio.run(_compare(found, {"since": since, "until": until, **filters}))


async def _compare(found: list[LedgerEntry], query: dict) -> None:
    """While none, some, and all entries are added to sums."""
    database = Database("sqlite://")
    await database.write(tables.metadata.create_all)
    costs = Costs(CostRepository(database), clock=lambda: NOW)

    async def reports() -> list[CostReport]:
        return [await costs.report(by, **query) for by in get_args(Grouping)]

    try:
        await ledger(database).book(found)
        fresh = await reports()
        for each in fresh:
            for name in SUMS:
                assert sum(getattr(group, name) for group in each.groups) == getattr(each, name)
                assert getattr(each, name) == getattr(fresh[0], name)
        for process in PROCESSES:
            await ledger(database).roll(process, (), {}, {}, {}, NOW)
            assert await reports() == fresh
    finally:
        await database.close()
