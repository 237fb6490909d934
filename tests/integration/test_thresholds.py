"""From which confidence on answers are right often enough, over HTTP and at a shell."""

import asyncio
import json

import pytest
import sqlalchemy as sa

from app.calibration.labelled import read_labelled
from app.cli import app as commands
from app.parts import build_parts
from app.storage import LabelledRepository
from app.storage.tables import reviews
from tests.integration.calls import NOON, api_keys, is_problem, upload
from tests.integration.test_calibrations import URL, says
from tests.labelled import store_labelled

PATH = "/domains/flowers/threshold"


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"api_keys": api_keys(operator=True, shop=False)})


@pytest.fixture
def client(client):
    client.headers["x-api-key"] = "operator"
    return client


async def threshold(client, **query) -> dict:
    answered = await client.get(PATH, params={"accuracy": 0.9, **query})
    assert answered.status_code == 200, answered.text
    return answered.json()


@pytest.mark.each_database
async def test_answers_from_the_threshold_on_are_right_so_often(client, parts):
    await store_labelled(parts, 400)
    (made,) = (await client.post(URL)).json()["calibrations"]

    told = await threshold(client)
    low, high = told["interval"]

    assert told["calibration"] == made["id"]
    assert (told["provider"], told["labels"], told["accuracy"]) == ("fake", 400, 0.9)
    assert 0.6 < told["threshold"] < 0.95
    assert told["accuracy_reached"] >= 0.9
    assert low < told["accuracy_reached"] < high
    assert told["share_accepted"] == told["accepted"] / 400
    assert (told["reason"], told["per_label"]) == (None, None)


@pytest.mark.each_database
async def test_a_label_drawn_at_random_stands_for_those_that_were_not(parts):
    """And one of the queue, or of a caller, for itself."""
    random = {"minute": 1, "seed": 1, "expected_source": "random_review"}
    ids = await store_labelled(parts, 60, **random)
    await store_labelled(
        parts, 40, minute=2, seed=2, status="needs_review", expected_source="review"
    )
    drawn = {"caller": "shop", "domain": "flowers", "kind": "random", "share": 0.1, "rank": 0.5}
    rows = [{"result_id": each, **drawn, "state": "decided", "created_at": NOON} for each in ids]
    await parts.database.write(lambda each: each.execute(sa.insert(reviews), rows).rowcount)
    labelled = LabelledRepository(parts.database)
    (key,) = await labelled.counts("flowers", parts.domains.get("flowers").version)

    found = await read_labelled(labelled, key)
    told = await parts.thresholds.find("flowers", 0.01)

    assert sorted(each.weight for each in found) == pytest.approx([1.0] * 40 + [10.0] * 60)
    assert (told.all.labels, told.all.accepted, told.all.share_accepted) == (100, 100, 1)
    right = sum(each.weight for each in found if each.is_right)
    assert told.all.accuracy == pytest.approx(right / 640)


async def test_without_a_calibration_it_is_of_what_the_provider_says(client, parts):
    await store_labelled(parts, 400)

    told = await threshold(client)

    assert told["calibration"] is None
    assert told["threshold"] > 0.9  # it is surer than it is right


async def test_a_higher_accuracy_never_asks_for_less(client, parts):
    await store_labelled(parts, 400)

    told = [await threshold(client, accuracy=each) for each in (0.7, 0.8, 0.85, 0.9, 0.92, 0.999)]
    found = [each["threshold"] for each in told]

    assert found[:-1] == sorted(found[:-1])
    assert (found[-1], told[-1]["reason"], told[-1]["accepted"]) == (None, "unreachable", 0)


async def test_of_each_class(client, parts):
    await store_labelled(parts, 240)

    told = await threshold(client, per_label="true", accuracy=0.85)
    rose = await threshold(client, label="rose", accuracy=0.85)

    assert set(told["per_label"]) == {"dandelion", "rose", "sunflower", "daisy"}
    assert sum(each["labels"] for each in told["per_label"].values()) == 240
    assert {name: rose[name] for name in told["per_label"]["rose"]} == told["per_label"]["rose"]
    assert rose["label"] == "rose"


async def test_who_has_the_most_labels_is_asked_about(client, parts):
    await store_labelled(parts, 60, provider="second", seed=1)
    await store_labelled(parts, 90)

    assert (await threshold(client))["provider"] == "fake"
    assert (await threshold(client, provider="second"))["labels"] == 60
    none = await client.get(PATH, params={"accuracy": 0.9, "provider": "x"})
    assert is_problem(none, 409, "too-few-labels")


async def test_a_caller_sees_what_its_own_labels_say(client, parts):
    await store_labelled(parts, 60, caller="shop")
    await store_labelled(parts, 90, seed=1)
    shop = {"x-api-key": "shop"}

    own = await client.get(PATH, params={"accuracy": 0.8}, headers=shop)

    assert own.json()["labels"] == 60
    assert (await threshold(client))["labels"] == 150


async def test_what_cannot_be_told_is_refused(client, parts):
    await store_labelled(parts, 49)

    few = await client.get(PATH, params={"accuracy": 0.9})
    assert is_problem(few, 409, "too-few-labels")
    for wrong in ({}, {"accuracy": 0}, {"accuracy": 1}, {"accuracy": "nan"}):
        assert is_problem(await client.get(PATH, params=wrong), 422, "invalid-request")
    odd = await client.get(PATH, params={"accuracy": 0.9, "label": "x"})
    assert is_problem(odd, 422, "label-not-in-domain")


async def test_only_operators_calibrate(client, parts):
    shop = {"x-api-key": "shop"}
    one = f"{URL}/fit_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"

    assert is_problem(await client.post(URL, headers=shop), 403, "not-allowed")
    assert is_problem(await client.delete(one, headers=shop), 403, "not-allowed")
    assert (await client.get(URL, headers=shop)).json() == {"calibrations": []}


async def test_a_label_changed_later_counts_as_it_is_now(client, parts, fake):
    fake.script.append(says())
    result = (await client.post("/classify", files=upload(expected="rose"))).json()
    await store_labelled(parts, 59)
    before = await threshold(client, accuracy=0.01)

    put = await client.put(f"/results/{result['id']}/expected", json={"label": "daisy"})
    after = await threshold(client, accuracy=0.01)

    assert put.status_code == 204
    assert (before["labels"], after["labels"]) == (60, 60)
    assert round(60 * (before["accuracy_reached"] - after["accuracy_reached"])) == 1


async def test_at_a_shell(parts, lasting_url, monkeypatch, capsys):
    """Over the database that the service has."""
    monkeypatch.setenv("DATABASE_URL", lasting_url)
    settings = parts.settings.model_copy(update={"database_url": lasting_url})
    async with build_parts(settings) as own:
        await store_labelled(own, 300)

    calibrated = await at_shell(capsys, "calibrate", "flowers")
    found = json.loads(
        await at_shell(capsys, "threshold", "flowers", "--accuracy", "0.9", "--json")
    )
    lines = await at_shell(capsys, "threshold", "flowers", "--accuracy", "0.9", "--per-label")

    provider, model, source, method, labels, before, after, made = calibrated.split()
    assert (provider, model, source, method, labels) == (
        *("fake", "fake-1", "stated", "temperature", "300"),
    )
    assert float(after) < float(before)
    assert (found["calibration"], found["labels"], found["provider"]) == (made, 300, "fake")
    assert found["accuracy"] >= 0.9
    names = [line.split("\t")[0] for line in lines.splitlines()]
    assert names == ["all", "dandelion", "rose", "sunflower", "daisy"]


async def at_shell(capsys, *words: str) -> str:
    await asyncio.to_thread(commands, list(words), standalone_mode=False)
    return capsys.readouterr().out


async def test_a_terminal_shows_all_digits_of_a_threshold(parts, lasting_url, monkeypatch, capsys):
    """One that is rounded up would accept less than is told beside it."""
    monkeypatch.setenv("DATABASE_URL", lasting_url)
    settings = parts.settings.model_copy(update={"database_url": lasting_url})
    async with build_parts(settings) as own:
        await store_labelled(own, 300)
    words = ("threshold", "flowers", "--accuracy", "0.9")
    found = json.loads(await at_shell(capsys, *words, "--json"))
    monkeypatch.setattr("app.cli.threshold.on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")

    told = await at_shell(capsys, *words)

    assert float(told.splitlines()[1].split()[1]) == found["threshold"]
