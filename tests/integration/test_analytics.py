"""/analytics: how many, how sure, how right, how fast, by sums and by news that no sum has yet."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from app.analytics import Qualities
from app.analytics import quality as quality_module
from app.errors import StorageUnavailable
from app.main import create_app
from app.moment import DAY, LATEST
from app.result import Failure, Timings
from app.storage import Database, TallyRepository
from app.storage.tallies import Span
from app.tally import ACCURACY
from tests.clock import Clock
from tests.integration.calls import NOON, PICTURE, api_keys, is_problem, store, upload
from tests.integration.test_batches import archive, create, ended, picture
from tests.integration.test_budgets import ask, holding, put

pytestmark = pytest.mark.each_database


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.now = NOON + timedelta(minutes=90)
    return clock


@pytest.fixture
async def client(parts, clock):
    """At half past one."""
    tallies = TallyRepository(parts.database, clock=clock)
    now = replace(parts, tallies=tallies, qualities=Qualities(tallies, clock=clock))
    transport = httpx2.ASGITransport(create_app(now))
    async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client


@pytest.fixture(params=["news", "sums"])
def known(request, parts):
    """What was stored is told before and after sums have it."""

    async def settle() -> None:
        if request.param == "sums":
            await parts.tallies.roll()

    return settle


async def quality(client, headers=None, **query) -> dict[str, Any]:
    found = await client.get("/analytics", params=query, headers=headers)
    assert found.status_code == 200, found.text
    return found.json()


async def domain(client, name: str = "flowers", **query) -> dict[str, Any]:
    found = await quality(client, **query)
    return next(each for each in found["domains"] if each["domain"] == name)


def failure(slug: str) -> dict[str, Any]:
    told = Failure(type=f"/problems/{slug}", detail="It failed.")
    return {"status": "failed", "predicted_class": None, "confidence": None, "error": told}


async def test_results_are_counted_by_domain(parts, client, known):
    await store(parts)
    await store(parts, minute=1, status="needs_review", confidence=0.42, predicted_class="daisy")
    await store(parts, minute=2, cached=True)
    await store(parts, minute=3, **failure("provider-timeout"))
    await store(parts, minute=4, domain="animals", predicted_class="cat", confidence=1.0)
    await known()

    found = await quality(client)

    flowers, animals = found["domains"]
    counts = ("results", "accepted", "needs_review", "failed", "unanswered", "cached")
    assert [flowers[each] for each in counts] == [4, 2, 1, 1, 0, 1]
    assert flowers["classes"] == {"rose": 2, "daisy": 1}
    assert flowers["errors"] == {"provider-timeout": 1}
    assert {
        each["at_least"]: each["answers"] for each in flowers["confidence"] if each["answers"]
    } == {0.4: 1, 0.9: 2}
    assert (animals["domain"], animals["results"]) == ("animals", 1)
    assert (found["total"]["results"], found["total"]["accepted"]) == (5, 3)
    assert found["total"]["per_minute"] == pytest.approx(5 / (24 * 60 + 30))


async def test_accuracy_comes_from_labels_whenever_they_were_told(parts, client, known):
    right = {"expected": "rose", "expected_source": "request"}
    for minute in range(8):
        await store(parts, minute, **right)
    late = await store(parts, 8)
    await known()
    assert (await domain(client))["accuracy"] == 1.0

    assert (await client.put(f"/results/{late}/expected", json={"label": "daisy"})).is_success
    await known()

    found = await domain(client)
    assert found["accuracy"] == pytest.approx(8 / 9)
    assert found["interval"] == pytest.approx([0.5650, 0.9801], abs=1e-4)
    assert found["labels"] == {
        "request": {"labelled": 8, "right": 8},
        "later": {"labelled": 1, "right": 0},
    }
    assert (await client.get(f"/results/{late}")).json()["expected_source"] == "later"


async def test_what_reviews_said_is_told_by_its_source(parts, client, known):
    """Those of what was unsure leave accuracy alone; those drawn at random are both in it and
    apart."""
    await store(parts, 0, expected="rose", expected_source="request")
    for minute, said in enumerate(("rose", "rose", "rose", "daisy"), 1):
        await store(parts, minute, expected=said, expected_source="random_review")
    for minute in range(5, 15):
        doubted = {"status": "needs_review", "expected_source": "review"}
        await store(parts, minute, expected="daisy", **doubted)
    await known()

    found = await domain(client)

    assert (found["labelled"], found["accuracy"]) == (5, 0.8)
    assert found["labels"] == {
        "request": {"labelled": 1, "right": 1},
        "random_review": {"labelled": 4, "right": 3},
        "review": {"labelled": 10, "right": 0},
    }
    assert found["unseen_accuracy"] == {
        "value": 0.75,
        "interval": pytest.approx([0.3006, 0.9544], abs=1e-4),
        "labelled": 4,
    }
    assert found["series"][-1]["labelled"] == 5


async def test_a_label_that_is_corrected_counts_once(parts, client, known):
    changed = await store(parts, expected="daisy", expected_source="request")
    await known()

    for label in ("sunflower", "rose", "rose"):
        assert (await client.put(f"/results/{changed}/expected", json={"label": label})).is_success
        await known()

    found = await domain(client)
    assert (found["labelled"], found["accuracy"]) == (1, 1.0)
    assert found["labels"] == {"later": {"labelled": 1, "right": 1}}


async def test_an_hour_is_that_of_the_answer_whenever_its_label_came(parts, client, known, clock):
    noon = {"completed_at": NOON - timedelta(minutes=30)}  # after a long wait
    asked = await store(parts, minute=-400, **noon)
    await store(parts, minute=5)
    await known()
    clock.ahead(hours=5)
    await client.put(f"/results/{asked}/expected", json={"label": "rose"})
    await known()

    series = (await domain(client))["series"]

    assert [(each["start"], each["results"], each["labelled"]) for each in series] == [
        ("2026-03-01T11:00:00Z", 1, 1),
        ("2026-03-01T12:00:00Z", 1, 0),
    ]


@pytest.mark.parametrize(
    ("by", "starts"),
    [
        ("minute", ["2026-03-01T11:30:00Z", "2026-03-01T12:05:00Z"]),
        ("hour", ["2026-03-01T11:00:00Z", "2026-03-01T12:00:00Z"]),
        ("day", ["2026-03-01T00:00:00Z"]),
        ("month", ["2026-03-01T00:00:00Z"]),
    ],
)
async def test_the_series_is_by_what_is_asked_for(parts, client, known, by, starts):
    for minute in (-30, 5):
        await store(parts, minute=minute)
    await known()

    found = await domain(client, by=by, since=(NOON - timedelta(hours=2)).isoformat())

    assert [each["start"] for each in found["series"]] == starts
    assert found["results"] == 2


@pytest.mark.parametrize(
    ("since", "by"),
    [
        ("2026-03-01T11:00:00Z", "minute"),
        ("2026-03-01T05:00:00Z", "hour"),
        ("2026-02-20T00:00:00Z", "day"),
        ("2025-01-01T00:00:00Z", "month"),
    ],
)
async def test_a_longer_time_is_told_in_longer_pieces(parts, client, since, by):
    await store(parts)

    found = await quality(client, since=since)

    assert found["by"] == by
    assert found["total"]["results"] == 1


async def test_since_is_in_it_and_until_is_not(parts, client, known):
    for minute in (0, 59, 60):
        await store(parts, minute)
    await known()

    whole = await quality(client, since="2026-03-01T12:00:00Z", until="2026-03-01T13:00:00Z")
    after = await quality(client, since="2026-03-01T13:00:00+00:00")

    assert (whole["total"]["results"], after["total"]["results"]) == (2, 1)


async def test_a_time_in_another_zone_is_the_same_time(parts, client):
    await store(parts)

    found = await quality(client, since="2026-03-01T17:30:00+05:30", by="hour")

    assert found["since"] == "2026-03-01T12:00:00Z"
    assert found["total"]["results"] == 1


async def test_percentiles_are_told_by_stage(parts, client, known):
    for minute in range(100):
        timings = Timings(prepare=4, provider=(minute + 1) * 10, total=(minute + 1) * 10 + 4)
        await store(parts, minute / 2, timings_ms=timings)
    await known()

    found = (await domain(client))["latency_ms"]

    assert found.keys() == {"prepare", "provider", "total"}
    assert found["provider"] == {
        "p50": pytest.approx(500, rel=ACCURACY),
        "p90": pytest.approx(900, rel=ACCURACY),
        "p95": pytest.approx(950, rel=ACCURACY),
        "p99": pytest.approx(990, rel=ACCURACY),
    }


async def test_drift_is_told_against_the_weeks_before(parts, client, known):
    for number in range(200):
        await store(parts, -3 * 24 * 60 - number, predicted_class="rose" if number % 2 else "daisy")
    for number in range(150):
        await store(parts, -number / 10, predicted_class="rose" if number % 4 else "daisy")
    await known()

    drift = (await domain(client))["drift"]

    assert drift["classes"] == pytest.approx(0.26, abs=0.03)
    assert drift["confidence"] == pytest.approx(0, abs=1e-6)
    assert (drift["since"], drift["until"]) == ("2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z")
    assert drift["answers"] == 200


async def test_of_few_answers_no_drift_is_told(parts, client):
    await store(parts, -3 * 24 * 60)
    await store(parts, predicted_class="daisy")

    drift = (await domain(client))["drift"]

    assert (drift["classes"], drift["confidence"], drift["answers"]) == (None, None, 1)


async def test_of_nothing_nothing_is_told(client):
    found = await quality(client)

    assert found["domains"] == []
    assert (found["total"]["results"], found["total"]["accuracy"]) == (0, None)
    assert (found["total"]["interval"], found["total"]["latency_ms"]) == (None, {})


async def test_sums_outlast_the_results(parts, client, known):
    deleted = await store(parts)
    await known()

    assert (await client.delete(f"/results/{deleted}")).is_success

    assert (await domain(client))["results"] == 1


async def test_a_pending_result_counts_when_it_is_there(parts, client, known):
    asked = await store(parts, status="pending", predicted_class=None, confidence=None)
    await client.put(f"/results/{asked}/expected", json={"label": "rose"})
    assert (await quality(client))["domains"] == []

    pending = await parts.results.get(asked, caller=None)
    done = {"status": "accepted", "predicted_class": "rose", "confidence": 0.9}
    await parts.results.complete(pending.model_copy(update=done))
    await parts.results.complete(pending.model_copy(update=done))
    await known()

    found = await domain(client)
    assert (found["results"], found["accuracy"]) == (1, 1.0)
    assert found["labels"] == {"later": {"labelled": 1, "right": 1}}


async def test_minutes_are_forgotten_and_hours_are_not(parts, client, known, clock):
    await store(parts)
    await parts.tallies.roll()
    clock.ahead(hours=30)
    tallies = TallyRepository(parts.database, clock=clock)
    await tallies.forget()

    too_old = await client.get("/analytics", params={"since": NOON.isoformat(), "by": "minute"})
    assert is_problem(too_old, 422, "invalid-request")
    assert (await quality(client, since=NOON.isoformat()))["total"]["results"] == 1
    assert (await tallies.by_domain(NOON + timedelta(minutes=30)))["flowers"].results == 1
    assert await tallies.by_domain(NOON + timedelta(hours=1)) == {}


async def test_hours_of_single_callers_are_forgotten_before_their_days(parts, clock):
    await store(parts, caller="shop")
    await parts.tallies.roll()
    clock.ahead(days=120)
    await TallyRepository(parts.database, clock=clock).forget()

    async def count(level, caller) -> int:
        rows = await parts.tallies.read([Span(level, NOON - DAY, LATEST)], caller=caller)
        return sum(each.tally.results for each in rows)

    assert await count("hour", "shop") == 0
    assert await count("day", "shop") == 1
    assert await count("hour", None) == 1
    assert await count("minute", None) == 0


async def test_labels_that_were_told_before_labels_were_counted_take_nothing_away(
    parts, client, known
):
    """A row from before the upgrade, whose label is corrected."""
    old = await store(parts, expected="daisy", expected_source=None)
    await store(parts, expected="rose", expected_source="request")
    await known()

    assert (await client.put(f"/results/{old}/expected", json={"label": "rose"})).is_success

    found = await domain(client)
    assert (found["labelled"], found["accuracy"]) == (2, 1.0)


async def test_of_many_domains_the_busiest_have_a_series(parts, client, monkeypatch):
    monkeypatch.setattr(quality_module, "MOST_OF_DOMAINS", 3)
    for number, name in enumerate(["busy", "busy", "busy", "calm", "calm", "idle"]):
        await store(parts, 60 * (number % 3), domain=name)

    found = (await quality(client))["domains"]

    assert [(each["domain"], each["series"] is None) for each in found] == [
        ("busy", False),
        ("calm", True),
        ("idle", True),
    ]


async def test_a_series_that_is_too_long_is_refused(client):
    answer = await client.get("/analytics", params={"since": "2025-01-01T00:00:00Z", "by": "hour"})

    assert is_problem(answer, 422, "invalid-request")


@pytest.mark.parametrize(
    "query", [{"since": "yesterday"}, {"since": "2026-03-01T12:00:00"}, {"by": "week"}, {"x": "1"}]
)
async def test_a_query_of_another_form_is_refused(client, query):
    assert is_problem(await client.get("/analytics", params=query), 422, "invalid-request")


@pytest.mark.parametrize("edge", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:00"])
async def test_the_ends_of_time_are_no_mistake_of_the_service(parts, client, edge):
    await store(parts)

    for query in ({"since": edge}, {"until": edge}, {"since": edge, "until": edge}):
        found = await client.get("/analytics", params=query)
        assert found.status_code in (200, 422), found.text


async def test_callers_see_their_own_and_operators_see_all(parts, clock, known):
    keys = api_keys(shop=False, press=False, boss=True)
    with_keys = replace(
        parts,
        settings=parts.settings.model_copy(update={"api_keys": keys}),
        qualities=Qualities(parts.tallies, clock=clock),
    )
    for caller in ("shop", "shop", "press"):
        await store(parts, caller=caller)
    await known()

    async def count(key: str, **query) -> int:
        found = await quality(client, headers={"X-API-Key": key}, **query)
        return found["total"]["results"]

    transport = httpx2.ASGITransport(create_app(with_keys))
    async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
        assert await count("shop") == 2
        assert await count("press", caller="shop") == 1
        assert await count("boss") == 3
        assert await count("boss", caller="shop") == 2
        assert is_problem(await client.get("/analytics"), 401, "not-authenticated")


async def test_no_caller_is_no_way_to_ask_for_all(client):
    assert is_problem(await client.get("/analytics?caller="), 422, "invalid-request")


async def test_several_processes_add_the_same_news_once(parts, settings, clock):
    for number in range(300):
        await store(parts, number / 10, caller=f"caller-{number % 7}", domain=f"d{number % 3}")
    others = (
        [Database(settings.database_url) for _ in range(3)] if parts.database.is_postgres else []
    )

    everybody = [parts.database, *others]
    await asyncio.gather(*(TallyRepository(each, clock=clock).roll() for each in everybody * 2))
    for each in others:
        await each.close()

    found = await parts.tallies.by_domain(NOON - timedelta(hours=1))
    assert {name: each.results for name, each in found.items()} == {"d0": 100, "d1": 100, "d2": 100}
    mine = await parts.tallies.by_domain(NOON - timedelta(hours=1), caller="caller-0")
    assert sum(each.results for each in mine.values()) == 43


async def test_pictures_that_nobody_could_be_asked_about_are_counted(parts):
    """They leave no row: here a budget is spent. A bad picture is no failure of the service."""
    transport = httpx2.ASGITransport(create_app(parts))
    async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
        await put(client, **holding(1))
        answers = [await ask(client, number) for number in range(3)]
        form = upload(provider="priced")
        await client.post("/classify", files=[*form[:-1], ("file", ("rose.jpg", b"none"))])
        await parts.tallies.roll()
        found = await domain(client)

    assert [each.status_code for each in answers] == [200, 429, 429]
    assert (found["results"], found["failed"], found["unanswered"]) == (1, 0, 2)
    assert found["errors"] == {"budget-spent": 2}


async def test_what_could_not_be_told_while_the_database_was_gone_is_told_later(parts, monkeypatch):
    async def gone(unit):
        raise StorageUnavailable("The database can't be written.")

    parts.tallies.count_unanswered("shop", "flowers", "overloaded")
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(parts.database, "write", gone)
        with pytest.raises(StorageUnavailable):
            await parts.tallies.roll()
    parts.tallies.count_unanswered("shop", "flowers", "overloaded")
    await parts.tallies.roll()

    found = await parts.tallies.by_domain(datetime.now(UTC) - timedelta(hours=1))
    assert found["flowers"].unanswered == 2


async def test_a_batch_is_counted_with_its_duplicates(parts, fake):
    """And with the classes that folders name."""
    transport = httpx2.ASGITransport(create_app(parts))
    async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
        packed = archive(**{"rose/1.jpg": PICTURE, "daisy/2.jpg": PICTURE, "3.jpg": picture(3)})
        made = await create(client, ("a.zip", packed))
        report = await ended(client, made["id"])
        found = await domain(client)

    assert (found["results"], found["cached"]) == (3, 1)
    assert (found["labelled"], found["accuracy"]) == (2, report["accuracy"])
