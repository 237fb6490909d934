"""Confidence that means what it says: fitted to labels, applied, withdrawn, in all processes."""

from dataclasses import replace
from itertools import pairwise

import httpx2
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from app.calibration.fitting import MIN_LABELS
from app.domains import Domain
from app.errors import ProviderDenied
from app.main import create_app
from app.parts import build_parts
from app.providers import registry
from app.settings_groups import CacheSettings
from app.storage import labelled
from app.storage.audit import COMMAND_LINE
from app.storage.tables import calibrations, results
from tests.fakes import ENTRY_POINTS, answer
from tests.integration.calls import is_problem, until, upload
from tests.labelled import store_labelled

URL = "/domains/flowers/calibrations"
SURE = {"dandelion": 0.02, "rose": 0.93, "sunflower": 0.03, "daisy": 0.02}


def says(label: str = "rose", probabilities=SURE):
    return replace(answer(label), probabilities=probabilities)


async def classified(client, fake=None, **query) -> dict:
    if fake is not None:
        fake.script.append(says())
    answered = await client.post("/classify", files=upload(), params=query)
    answered.raise_for_status()
    return answered.json()


async def fitted(client) -> dict:
    answered = await client.post(URL)
    assert answered.status_code == 201, answered.text
    (found,) = answered.json()["calibrations"]
    return found


@pytest.mark.each_database
async def test_labels_make_confidence_mean_what_it_says(client, parts, fake):
    await store_labelled(parts, 300)
    before = await classified(client, fake)

    found = await fitted(client)
    after = await classified(client, fake)

    assert (found["method"], found["labels"], found["state"]) == ("temperature", 300, "in_force")
    assert found["ece_before"] > 0.1
    assert found["ece_after"] < found["ece_before"] / 2
    assert (before["calibration"], before["raw_probabilities"]) == (None, None)
    assert after["calibration"] == found["id"]
    assert (after["raw_confidence"], after["raw_probabilities"]) == (0.93, SURE)
    assert after["confidence"] == after["probabilities"]["rose"] < 0.8
    assert sum(after["probabilities"].values()) <= 1.00001
    gauge = parts.metrics.registry.get_sample_value
    labels = {"domain": "flowers", "provider": "fake"}
    assert gauge("classifier_calibration_error", labels) == found["ece_after"]


@pytest.mark.each_database
async def test_what_was_calibrated_is_fitted_by_what_was_said(client, parts, fake):
    """Or each version would be fitted to what the one before made."""
    ids = await store_labelled(parts, 300)
    first = await fitted(client)
    raw = await parts.results.get(ids[0], caller=None)

    def calibrate(connection) -> None:
        rows = connection.execute(sa.select(results.c.id, results.c.probabilities)).all()
        for row in rows:
            connection.execute(
                sa.update(results)
                .where(results.c.id == row.id)
                .values(
                    calibration=first["id"],
                    raw_probabilities=row.probabilities,
                    probabilities=dict.fromkeys(row.probabilities, 0.25),
                )
            )

    await parts.database.write(calibrate)
    second = await fitted(client)

    assert raw.raw_probabilities is None
    assert second["id"] != first["id"]
    assert [second[name] for name in ("labels", "ece_before", "ece_after")] == [
        first[name] for name in ("labels", "ece_before", "ece_after")
    ]


async def test_a_kept_answer_is_calibrated_anew_and_not_asked_again(
    settings, monkeypatch, tmp_path
):

    monkeypatch.setattr(registry, "OWN", (*registry.OWN, *ENTRY_POINTS))
    settings = settings.model_copy(update={"cache": CacheSettings()})
    async with build_parts(settings, serving=True) as parts:
        (fake,) = await parts.providers.get("fake")
        transport = httpx2.ASGITransport(create_app(parts))
        async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
            await store_labelled(parts, 300)
            before = await classified(client, fake)
            await fitted(client)
            after = await classified(client)

            assert fake.calls == 1
            assert after["cached"]
            assert after["raw_confidence"] == before["confidence"] == 0.93
            assert after["confidence"] < 0.8


@pytest.mark.each_database
async def test_the_same_picture_counts_once_with_its_newest_label(client, parts):
    await store_labelled(parts, MIN_LABELS)
    await store_labelled(parts, MIN_LABELS, minute=1, expected="none")

    found = await fitted(client)
    rows = await client.get("/domains/flowers/threshold", params={"accuracy": 0.5})

    assert found["labels"] == MIN_LABELS
    assert found["ece_before"] > 0.9
    assert rows.json()["labels"] == MIN_LABELS
    assert rows.json()["reason"] == "unreachable"


async def test_too_few_labels_are_said_to_be(client, parts):
    none_at_all = await client.post(URL)
    await store_labelled(parts, MIN_LABELS - 1)
    too_few = await client.post(URL)

    assert is_problem(none_at_all, 409, "too-few-labels")
    assert is_problem(too_few, 409, "too-few-labels")
    assert f"{MIN_LABELS - 1}" in too_few.json()["detail"]
    assert f"{MIN_LABELS}" in too_few.json()["detail"]


async def test_whom_there_are_enough_labels_of_is_fitted_and_others_are_named(client, parts):
    await store_labelled(parts, 150)
    await store_labelled(parts, 20, model="fake-2", seed=1)
    await store_labelled(parts, 150, provider="second", seed=2)

    both = (await client.post(URL)).json()
    one = (await client.post(URL, json={"provider": "second"})).json()

    assert {each["provider"] for each in both["calibrations"]} == {"fake", "second"}
    assert [(each["model"], each["reason"]) for each in both["not_calibrated"]] == [
        ("fake-2", "too-few-labels")
    ]
    assert [each["provider"] for each in one["calibrations"]] == ["second"]
    assert is_problem(await client.post(URL, json={"model": "x"}), 409, "too-few-labels")
    assert is_problem(await client.post(URL, json={"modell": "x"}), 422, "invalid-request")
    assert is_problem(await client.post("/domains/no/calibrations"), 404, "domain-not-found")


async def test_a_withdrawn_version_gives_way_to_the_one_before(client, parts, fake):
    await store_labelled(parts, 200)
    first = await fitted(client)
    await store_labelled(parts, 100, seed=1)
    second = await fitted(client)
    newest = (await classified(client, fake))["calibration"]

    gone = await client.delete(f"{URL}/{second['id']}")
    then = (await classified(client, fake))["calibration"]
    await parts.calibrations.look()
    listed = (await client.get(URL)).json()["calibrations"]
    again = await client.delete(f"{URL}/{second['id']}")
    elsewhere = await client.delete(f"/domains/animals/calibrations/{first['id']}")
    await client.delete(f"{URL}/{first['id']}")
    last = (await classified(client, fake))["calibration"]

    assert gone.status_code == 204
    assert (newest, then, last) == (second["id"], first["id"], None)
    assert [(each["id"], each["state"]) for each in listed] == [
        (second["id"], "withdrawn"),
        (first["id"], "in_force"),
    ]
    assert is_problem(again, 404, "calibration-not-found")
    assert is_problem(elsewhere, 404, "calibration-not-found")


async def test_a_domain_that_changed_is_not_calibrated_by_what_it_was(client, parts, fake):
    spec = {"name": "mine", "classes": ["rose", "daisy"], "providers": ["fake"]}
    await parts.domains.create(Domain(**spec), by=COMMAND_LINE)
    await store_labelled(parts, 200, domain="mine")
    (before,) = (await parts.calibrations.fit("mine"))[0]
    await parts.domains.replace(
        Domain(**{**spec, "classes": ["rose", "daisy", "tulip"]}), by=COMMAND_LINE
    )
    fake.script.append(says(probabilities={"rose": 0.93, "daisy": 0.05, "tulip": 0.02}))

    result = (await client.post("/classify", files=upload(domain="mine"))).json()
    listed = (await client.get("/domains/mine/calibrations")).json()["calibrations"]
    gauge = parts.metrics.registry.get_sample_value

    assert gauge("classifier_calibration_error", {"domain": "mine", "provider": "fake"}) is None
    assert result["calibration"] is None
    assert [(each["id"], each["state"]) for each in listed] == [(before.id, "not_in_force")]
    assert is_problem(await client.post("/domains/mine/calibrations"), 409, "too-few-labels")


@pytest.mark.each_database
async def test_what_was_asked_in_other_words_is_not_calibrated_by_it(client, parts, fake):
    """Nor is anything of which nobody kept how it was asked."""
    await store_labelled(parts, 300, revision="0")
    await store_labelled(parts, 300, revision=None, seed=1)
    other = await fitted(client)
    raw = await classified(client, fake)
    await store_labelled(parts, 150, seed=2)
    found = await client.post(URL)

    assert (other["revision"], other["labels"]) == ("0", 300)
    assert (raw["revision"], raw["calibration"]) == ("1", None)
    assert {(each["revision"], each["labels"]) for each in found.json()["calibrations"]} == {
        ("0", 300),
        ("1", 150),
    }
    assert (await classified(client, fake))["calibration"] is not None


@pytest.mark.each_database
async def test_new_labels_bring_a_new_version_by_themselves(client, parts):
    looks = []

    async def look() -> int:
        await parts.calibrations.look()
        looks.append(len((await client.get(URL)).json()["calibrations"]))
        return looks[-1]

    await store_labelled(parts, 99)
    await look()
    await store_labelled(parts, 51, seed=1)
    await look()
    await store_labelled(parts, 29, seed=2)
    await store_labelled(parts, 99, minute=5)  # pictures that have a label already
    await look()
    await store_labelled(parts, 1, seed=3)
    await look()
    await look()

    assert looks == [0, 1, 1, 2, 2]


async def test_labels_bring_a_new_version_though_there_are_no_more_than_before(
    client, parts, monkeypatch
):
    """For only so many of the newest count."""
    monkeypatch.setattr(labelled, "MOST", 200)
    found = []
    for seed, count in enumerate((200, 20, 20)):
        await store_labelled(parts, count, seed=seed, minute=60 * 24 * 400 * seed)
        await parts.calibrations.look()
        found.append(len((await client.get(URL)).json()["calibrations"]))

    assert found == [1, 1, 2]


async def test_one_that_was_looked_at_is_not_fitted_for_ever(client, parts):
    """Though some of its answers can't be used."""
    await store_labelled(parts, 100)
    await store_labelled(parts, 30, seed=1, probabilities={})
    for _ in range(3):
        await parts.calibrations.look()

    assert [each["labels"] for each in (await client.get(URL)).json()["calibrations"]] == [100]


async def test_one_process_at_a_time_fits_by_itself(lasting_url, settings):
    settings = settings.model_copy(update={"database_url": lasting_url})
    async with build_parts(settings, serving=True) as one, build_parts(settings) as other:
        await store_labelled(one, 150)
        await one.calibrations.look()
        await store_labelled(one, 150, seed=1)
        await other.calibrations.look()
        of_one = [each.row.id for each in await one.calibrations.versions("flowers")]
        await other.calibrations.load()
        known = one.calibrations.of((await one.calibrations.versions("flowers"))[0].row.key)

        assert len(of_one) == 1
        assert known is not None
        assert other.calibrations.of(known.key) == known


async def test_what_another_process_fits_holds_here_soon(lasting_url, settings):
    """A command beside a service, for one."""
    settings = settings.model_copy(update={"database_url": lasting_url})
    async with build_parts(settings, serving=True) as service:
        await store_labelled(service, 150)
        async with build_parts(settings) as command:
            ((made,), _) = await command.calibrations.fit("flowers")
        await until(lambda: service.calibrations.of(made.key))

        assert service.calibrations.of(made.key).fitted == made.fitted


@pytest.mark.parametrize(
    "broken", ["{", "{}", '{"temperature": "x"}', '{"temperature": 2, "curve": [[0.5, 0.5]]}', "[]"]
)
async def test_one_that_cannot_be_read_is_left_out(client, parts, fake, broken):
    await store_labelled(parts, 150)
    found = await fitted(client)
    await parts.database.write(
        lambda each: each.execute(sa.update(calibrations).values(fitted=broken)).rowcount
    )
    parts.calibrations._mark = None
    with capture_logs() as lines:
        await parts.calibrations.load()
        result = await classified(client, fake, coverage=0.9)

    assert result["calibration"] is None
    assert "prediction_set" not in result
    assert [each["id"] for each in lines if "can't be read" in each["event"]] == [found["id"]]


async def test_labels_that_go_with_retention_take_no_calibration_with_them(client, parts, fake):
    ids = await store_labelled(parts, 150)
    found = await fitted(client)
    for each in ids:
        await parts.erasing.result(each, caller=None, by=COMMAND_LINE)
    await parts.calibrations.look()

    assert (await classified(client, fake))["calibration"] == found["id"]
    assert len((await client.get(URL)).json()["calibrations"]) == 1


async def test_a_set_of_classes_holds_the_true_one_as_often_as_asked(client, parts, fake):
    await store_labelled(parts, 300)
    uncalibrated = await classified(client, fake, coverage=0.9)
    found = await fitted(client)
    result = await classified(client, fake, coverage=0.9)
    url = f"/results/{result['id']}"
    sets = [
        (await client.get(url, params={"coverage": each})).json()["prediction_set"]
        for each in (0.5, 0.9, 0.99, 0.999)
    ]
    await client.delete(f"{URL}/{found['id']}")
    withdrawn = (await client.get(url, params={"coverage": 0.9})).json()["prediction_set"]

    assert "prediction_set" not in uncalibrated
    assert "prediction_set" not in (await client.get(url)).json()
    assert result["prediction_set"] == sets[1] == withdrawn
    assert sets[1][0] == "rose"
    assert all(set(small) <= set(large) for small, large in pairwise(sets))
    assert set(sets[3]) == {*SURE, "none"}
    for wrong in (0.4, 1, "x"):
        refused = await client.get(url, params={"coverage": wrong})
        assert is_problem(refused, 422, "invalid-request")


async def test_an_answer_of_a_fallback_that_is_calibrated_needs_no_review_for_that(
    client, parts, fake
):
    """Somebody knows what its confidence means."""
    (second,) = await parts.providers.get("second")
    spec = {"name": "mine", "classes": ["rose", "daisy"], "providers": ["fake", "second"]}
    await parts.domains.create(Domain(**spec, confidence_threshold=0.1, margin=0), by=COMMAND_LINE)

    async def reasons() -> tuple[bool, list[str]]:
        fake.script.append(ProviderDenied("no"))
        second.script.append(says(probabilities={"rose": 0.9, "daisy": 0.1}))
        files = upload(domain="mine", provider=None)
        told = (await client.post("/classify", files=files)).json()
        return told["degraded"], told["review_reasons"]

    before = await reasons()
    await store_labelled(parts, 150, domain="mine", provider="second")
    await parts.calibrations.fit("mine")
    after = await reasons()

    assert (before, after) == ((True, ["degraded"]), (True, []))


@pytest.mark.each_database
async def test_what_others_label_takes_nothing_from_a_caller(parts, monkeypatch):
    monkeypatch.setattr(labelled, "MOST", 100)
    await store_labelled(parts, 90, caller="ann")
    await store_labelled(parts, 100, caller="bob", seed=1, minute=5)

    found = await parts.thresholds.find("flowers", 0.5, caller="ann")

    assert found.all.labels == 90
