"""/analytics/cost: what calls cost, by sums and by entries that no sum has yet."""

import asyncio
import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx2
import pytest

from app.analytics import Costs
from app.main import create_app
from app.storage import CostRepository
from tests.clock import Clock
from tests.entries import NOON, book, entry, ledger, saved
from tests.integration.calls import api_keys, is_problem

pytestmark = pytest.mark.each_database

DAY = datetime(2026, 3, 10, tzinfo=UTC)
ALL = [("shop", 10), ("press", 5)]


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.now = NOON + timedelta(minutes=30)
    return clock


@pytest.fixture
async def client(parts, clock):
    """At the time of the entries."""
    costs = Costs(CostRepository(parts.database), clock=clock)
    transport = httpx2.ASGITransport(create_app(replace(parts, costs=costs)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client


async def cost(client, headers=None, **query) -> dict:
    found = await client.get("/analytics/cost", params=query, headers=headers)
    assert found.status_code == 200, found.text
    return found.json()


async def keys(client, **query) -> list[tuple]:
    found = await cost(client, **query)
    return [(each["key"], each["total_usd"]) for each in found["groups"]]


async def test_nothing_is_known_of_nothing(client):
    found = await cost(client)

    assert (found["total_usd"], found["answers"], found["groups"]) == (0, 0, [])
    assert (found["usd_per_1000_images"], found["forecast"]) == (None, None)


async def test_without_a_time_it_is_this_month(client, parts):
    await book(
        parts.database,
        entry(datetime(2026, 2, 28, 23, 59, 59, 999_999, UTC), "8"),
        entry(datetime(2026, 3, 1, tzinfo=UTC), "1"),
        entry(NOON, "2"),
    )

    found = await cost(client)

    assert (found["since"], found["until"]) == ("2026-03-01T00:00:00Z", None)
    assert found["total_usd"] == 3


@pytest.mark.parametrize("rolled", [True, False])
async def test_all_is_summed(client, parts, rolled):
    """An unknown cost is none, and is told; so is what is only estimated."""
    await book(
        parts.database,
        entry(cost="0.25", cached_tokens=100, reasoning_tokens=3),
        entry(cost="0.5", estimated=True, outcome="timeout", answers=0),
        entry(cost=None),
        saved("kept", worth="0.25"),
        saved("shared", worth="0.125"),
        saved("duplicate", worth="2"),
        saved("duplicate", worth="3"),
        rolled=rolled,
    )

    found = await cost(client)
    (group,) = found["groups"]

    sums = {
        "total_usd": 0.75,
        "prompt_tokens": 600,
        "completion_tokens": 15,
        "image_tokens": 255,
        "cached_tokens": 100,
        "reasoning_tokens": 3,
        "calls": 3,
        "answers": 6,
        "estimated_usd": 0.5,
        "unpriced_calls": 1,
        "usd_per_1000_images": 125,
        "savings": {
            "cache": {"answers": 1, "usd": 0.25},
            "coalescing": {"answers": 1, "usd": 0.125},
            "duplicates": {"answers": 2, "usd": 5},
            "cascade": {"answers": 0, "usd": 0},
        },
    }
    assert sums.items() <= found.items()
    assert group == {"key": "2026-03-10", "share": 1, **sums}
    assert found["more_groups"] is False


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("day", [("2026-03-09", 1), ("2026-03-10", 7)]),
        (
            "hour",
            [("2026-03-09T23:00:00Z", 1), ("2026-03-10T00:00:00Z", 2), ("2026-03-10T12:00:00Z", 5)],
        ),
        ("domain", [("flowers", 6), ("animals", 2)]),
        ("model", [("gpt-4o", 7), ("gpt-4.1", 1)]),
        ("deployment", [("eyes", 5), ("east", 3)]),
        ("provider", [("azure_openai", 7), ("openai_compatible", 1)]),
        ("caller", [("shop", 5), ("press", 3)]),
        ("batch", [("bat_2", 5), ("bat_1", 2), (None, 1)]),
    ],
)
@pytest.mark.parametrize("rolled", [True, False])
async def test_it_is_grouped(client, parts, by, groups, rolled):
    """The dearest first, times in order; at the edge of a day an entry belongs to one side."""
    await book(
        parts.database,
        entry(
            DAY - timedelta(milliseconds=1),
            "1",
            **{"model": "gpt-4.1", "provider": "openai_compatible"},
            **{"deployment": "east", "caller": "press"},
        ),
        entry(DAY, "2", domain="animals", deployment="east", caller="press", batch_id="bat_1"),
        entry(NOON, "1", batch_id="bat_2"),
        rolled=rolled,
    )
    await book(parts.database, entry(NOON, "4", batch_id="bat_2"), rolled=False)

    found = await cost(client, by=by)

    assert found["by"] == by
    assert [(each["key"], each["total_usd"]) for each in found["groups"]] == groups
    assert [each["share"] for each in found["groups"]] == [usd / 8 for _, usd in groups]


@pytest.mark.parametrize("by", ["day", "domain", "batch"])
@pytest.mark.parametrize("rolled", [True, False])
@pytest.mark.parametrize(
    ("since", "until", "usd"),
    [
        (DAY, None, 4 + 8 + 16 + 32),
        (DAY, DAY + timedelta(days=1), 4 + 8 + 16),
        (DAY - timedelta(hours=1), DAY, 2),
        (DAY - timedelta(hours=1), DAY + timedelta(hours=1), 2 + 4),
        (DAY - timedelta(days=1), DAY + timedelta(days=1), 1 + 2 + 4 + 8 + 16),
        (DAY - timedelta(hours=2), DAY + timedelta(hours=25), 2 + 4 + 8 + 16 + 32),
        (DAY + timedelta(hours=12), DAY + timedelta(hours=13), 8),
        (DAY + timedelta(hours=13), DAY + timedelta(hours=12), 0),
        (DAY + timedelta(minutes=59), DAY + timedelta(hours=12, minutes=59), 4),
    ],
)
async def test_hours_and_whole_days_are_joined_without_a_seam(
    client, parts, by, rolled, since, until, usd
):
    """Times are cut to hours, and told so."""
    await book(
        parts.database,
        entry(DAY - timedelta(days=1), "1"),
        entry(DAY - timedelta(milliseconds=1), "2"),
        entry(DAY, "4"),
        entry(NOON, "8"),
        entry(DAY + timedelta(days=1, milliseconds=-1), "16"),
        entry(DAY + timedelta(days=1), "32"),
        rolled=rolled,
    )
    query = {"since": since.isoformat()} | ({"until": until.isoformat()} if until else {})

    found = await cost(client, by=by, **query)

    assert found["total_usd"] == usd
    assert sum(each["total_usd"] for each in found["groups"]) == usd
    assert found["since"] == f"{since:%Y-%m-%dT%H}:00:00Z"


@pytest.mark.parametrize(
    ("query", "groups"),
    [
        ({"domain": "animals"}, [("shop", 2), ("press", 1)]),
        ({"caller": "press"}, [("press", 5)]),
        ({"caller": "press", "domain": "flowers"}, [("press", 4)]),
        ({"domain": "no such"}, []),
        ({"since": "0001-01-01T00:00:00Z", "until": "9999-12-31T23:59:59Z"}, ALL),
        ({"since": "9999-12-31T23:59:59Z"}, []),
    ],
    ids=str,
)
async def test_a_filter_leaves_what_fits_it(client, parts, query, groups):
    await book(
        parts.database,
        entry(cost="2", domain="animals"),
        entry(cost="1", domain="animals", caller="press"),
        entry(cost="4", caller="press"),
        entry(cost="8"),
    )

    assert await keys(client, by="caller", **query) == groups


@pytest.mark.parametrize(
    "query",
    [
        {"by": "colour"},
        {"since": "yesterday"},
        {"since": "2026-03-01"},
        {"until": "9999-12-31T23:59:59-14:00"},
        {"format": "xml"},
        {"x": 1},
    ],
    ids=str,
)
async def test_a_wrong_query_is_refused(client, query):
    found = await client.get("/analytics/cost", params=query)

    assert is_problem(found, 422, "invalid-request")


class TestCallers:
    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"api_keys": api_keys(boss=True, shop=False)})

    @pytest.mark.parametrize(
        ("who", "query", "groups"),
        [
            ("boss", {}, [("press", 2), ("shop", 1)]),
            ("boss", {"caller": "press"}, [("press", 2)]),
            ("shop", {}, [("shop", 1)]),
            ("shop", {"caller": "press"}, [("shop", 1)]),
        ],
    )
    async def test_see_their_own_only_unless_they_are_operators(
        self, client, parts, who, query, groups
    ):
        """In the forecast, too."""
        await book(parts.database, entry(cost="1"), entry(cost="2", caller="press"))
        key = {"x-api-key": who}

        found = await cost(client, key, by="caller", **query)

        assert [(each["key"], each["total_usd"]) for each in found["groups"]] == groups
        assert found["forecast"]["spent_usd"] == sum(usd for _, usd in groups)

    async def test_need_a_key(self, client):
        assert is_problem(await client.get("/analytics/cost"), 401, "not-authenticated")


class TestCsv:
    async def test_has_the_groups(self, client, parts):
        await book(parts.database, entry(cost="0.000003"), saved("kept", domain="=animals"))

        found = await client.get("/analytics/cost", params={"by": "domain", "format": "csv"})
        first, second = csv.DictReader(io.StringIO(found.text))

        assert found.headers["content-type"] == "text/csv; charset=utf-8"
        assert found.headers["content-disposition"] == 'attachment; filename="cost.csv"'
        assert (first["key"], float(first["total_usd"]), first["share"]) == (
            "flowers",
            0.000003,
            "1.0",
        )
        assert second["key"] == "'=animals"
        assert (second["savings.cache.answers"], second["savings.cache.usd"]) == ("1", "1.0")

    async def test_has_a_head_though_there_is_nothing(self, client):
        found = await client.get("/analytics/cost", params={"format": "csv"})

        assert found.text.startswith("key,share,total_usd,")
        assert found.text.count("\r\n") == 1


async def test_no_more_than_a_thousand_groups_are_told_and_all_are_counted(client, parts):
    await book(
        parts.database,
        *(entry(cost=str(number), batch_id=f"bat_{number}") for number in range(1, 1_002)),
    )

    found = await cost(client, by="batch")

    assert (len(found["groups"]), found["more_groups"]) == (1_000, True)
    assert (found["groups"][0]["key"], found["groups"][-1]["key"]) == ("bat_1001", "bat_2")
    assert (found["total_usd"], found["calls"]) == (1_001 * 1_002 / 2, 1_001)


class TestForecast:
    async def test_goes_on_as_the_last_seven_days_went(self, client, parts):
        """Half an hour past noon of the 10th: 515.5 hours are left, and the basis has begun at noon
        of the 3rd."""
        await book(
            parts.database,
            entry(datetime(2026, 2, 20, tzinfo=UTC), "100"),
            entry(datetime(2026, 3, 3, 11, 59, 59, tzinfo=UTC), "10"),
            entry(datetime(2026, 3, 3, 12, tzinfo=UTC), "1"),
        )
        await book(parts.database, entry(NOON, "5"), rolled=False)

        for query in ({}, {"since": "2026-03-10T00:00:00Z", "until": "2026-03-10T01:00:00Z"}):
            found = (await cost(client, **query))["forecast"]

            expected = Decimal(16) + Decimal(6) / Decimal("168.5") * Decimal("515.5")
            assert found == {
                "month": "2026-03",
                "spent_usd": 16,
                "expected_usd": pytest.approx(float(expected)),
                "basis_days": 7,
            }

    @pytest.mark.parametrize("rolled", [True, False])
    async def test_begins_with_the_first_entry_if_that_is_younger(self, client, parts, rolled):
        await book(parts.database, entry(DAY + timedelta(minutes=45), "5"), rolled=rolled)

        found = (await cost(client))["forecast"]

        assert found["expected_usd"] == pytest.approx(5 + 5 / 12.5 * 515.5)
        assert found["basis_days"] == 0.52

    async def test_follows_the_filters(self, client, parts):
        await book(parts.database, entry(NOON, "1"), entry(NOON, "2", domain="animals"))

        found = (await cost(client, domain="animals"))["forecast"]

        assert (found["spent_usd"], found["expected_usd"]) == (2, 2 + 2 * 515.5)
        assert (await cost(client, domain="no such"))["forecast"] is None

    async def test_expects_no_more_where_nothing_was_spent_lately(self, client, parts):
        await book(parts.database, entry(datetime(2026, 3, 2, tzinfo=UTC), "3"))

        found = (await cost(client))["forecast"]

        assert (found["spent_usd"], found["expected_usd"], found["basis_days"]) == (3, 3, 7)


async def test_nothing_is_missed_or_counted_twice_while_sums_are_written(client, parts):
    """Both are read at once, as they were at one moment."""
    rows, processes = ledger(parts.database), [f"prc_{number}" for number in range(20)]
    await rows.book(entry(process=each) for each in processes for _ in range(50))

    async def roll() -> None:
        for each in processes:
            await rows.roll(each, (), {}, {}, {}, NOON)

    rolling = asyncio.create_task(roll())
    told = []
    while not rolling.done():
        told.append((await cost(client, by="hour"))["total_usd"])
    await rolling

    assert set(told) == {1_000}


async def test_the_call_that_was_just_made_is_in_it(parts):
    """Long before it is added to any sum."""
    transport = httpx2.ASGITransport(create_app(parts))
    async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
        for number in range(1, 5):
            await book(parts.database, entry(datetime.now(UTC), "1"), rolled=False)

            assert (await cost(client))["total_usd"] == number
