"""What waits for a person, who gets it, and what follows from what the person says."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from app.errors import Overloaded, ProviderRejected, StorageUnavailable
from app.settings_groups import CacheSettings, ReviewSettings
from tests.fakes import answer
from tests.integration.calls import PICTURE, api_keys, is_problem, upload
from tests.integration.test_batches import create, ended, picture
from tests.pictures import jpeg

pytestmark = pytest.mark.each_database


@pytest.fixture
def settings(request, settings):
    wanted = getattr(request, "param", {})
    changed = {"review": ReviewSettings(random_share=wanted.get("random_share", 0))}
    if wanted.get("cache"):
        changed["cache"] = CacheSettings()
    if wanted.get("keys"):
        changed["api_keys"] = api_keys(shop=False, lab=False, boss=True)
    return settings.model_copy(update=changed)


@pytest.fixture
def ask(client, fake):
    """Ask about a picture that `fake` is not sure of, or is; returns the result's id."""

    async def ask(
        confidence: float = 0.5, label: str = "rose", picture: bytes = PICTURE, **fields
    ) -> str:
        fake.script.append(answer(label, confidence))
        *texts, _ = upload(**fields)
        asked = await client.post("/classify", files=[*texts, ("file", ("a.jpg", picture))])
        assert asked.status_code == 200, asked.text
        return asked.json()["id"]

    return ask


@pytest.fixture
def given(client):
    """What a reviewer is given."""

    async def given(reviewer: str = "ada", **query) -> list[dict]:
        found = await client.get("/reviews", params={"reviewer": reviewer, **query})
        assert found.status_code == 200, found.text
        assert found.headers["cache-control"] == "no-store"
        return found.json()["reviews"]

    return given


@pytest.fixture
def say(client):
    async def say(result_id: str, action: str, label: str | None = None, **more):
        body = {"action": action, "reviewer": "ada", "label": label, **more}
        told = {name: value for name, value in body.items() if value is not None}
        return await client.post(f"/reviews/{result_id}", json=told)

    return say


async def test_a_person_corrects_what_is_unsure(client, ask, given, say):
    result_id = await ask()
    (item,) = await given()
    said = await say(result_id, "correct", "daisy", note="half hidden")
    result = (await client.get(f"/results/{result_id}")).json()
    told = (await client.get(f"/reviews/{result_id}")).json()

    assert (item["result"]["id"], item["claimed_by"]) == (result_id, "ada")
    assert said.json()["result"] == result
    assert (result["final_class"], result["decided_by"]) == ("daisy", "ada")
    assert (result["expected"], result["expected_source"]) == ("daisy", "review")
    assert (result["status"], result["predicted_class"]) == ("needs_review", "rose")
    assert [(each["action"], each["note"]) for each in told["steps"]] == [
        ("correct", "half hidden")
    ]
    assert await given() == []


async def test_the_picture_is_seen_as_the_model_saw_it(client, ask, given):
    await ask()
    (item,) = await given()
    picture = await client.get(item["image"])

    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.headers["x-content-type-options"] == "nosniff"
    assert picture.headers["cache-control"].startswith("private")
    assert picture.content.startswith(b"\xff\xd8")


async def test_a_picture_that_was_not_kept(client, ask):
    result_id = await ask(0.95)
    picture = await client.get(f"/results/{result_id}/image")

    assert is_problem(picture, 404, "picture-not-kept")
    assert (await client.get(f"/reviews/{result_id}")).json()["image"] is None


async def test_what_one_has_no_other_gets(ask, given, say):
    result_id = await ask()
    (mine,) = await given("ada")

    assert await given("eve") == []
    assert [each["result"]["id"] for each in await given("ada")] == [mine["result"]["id"]]
    assert is_problem(await say(result_id, "confirm", reviewer="eve"), 409, "review-taken")


async def test_the_same_twice_is_one_decision(client, ask, say):
    result_id = await ask()
    first, again = [await say(result_id, "confirm") for _ in range(2)]
    other = await say(result_id, "reject")

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert is_problem(other, 409, "review-decided")
    assert len((await client.get(f"/reviews/{result_id}")).json()["steps"]) == 1


async def test_undone_is_as_it_was(client, ask, given, say):
    result_id = await ask()
    before = (await client.get(f"/results/{result_id}")).json()
    await say(result_id, "correct", "none")
    await say(result_id, "reopen")

    assert (await client.get(f"/results/{result_id}")).json() == before
    assert [each["result"]["id"] for each in await given()] == [result_id]


class TestQueue:
    async def test_what_is_nearest_to_the_threshold_comes_first(self, client, fake, ask, given):
        """Each of another picture, or they would be one."""
        ids = {}
        for seed, confidence in enumerate((0.3, 0.65, 0.5)):
            ids[confidence] = await ask(confidence, picture=jpeg(seed=seed))
        found = [each["result"]["id"] for each in await given()]

        assert found == [ids[0.65], ids[0.5], ids[0.3]]

    @pytest.mark.parametrize("settings", [{"random_share": 1}], indirect=True)
    async def test_what_is_accepted_is_drawn_at_random(self, client, ask, given, say):
        result_id = await ask(0.95)
        (item,) = await given()
        await say(result_id, "correct", "daisy")
        statistics = (await client.get("/reviews/statistics")).json()

        assert "kind" not in item
        assert (await client.get(item["image"])).status_code == 200
        assert statistics["unseen_accuracy"] == {
            "reviewed": 1,
            "value": 0,
            "interval": pytest.approx([0, 0.7935], abs=1e-4),
            "rejected": 0,
        }
        result = (await client.get(f"/results/{result_id}")).json()
        assert (result["status"], result["final_class"]) == ("accepted", "daisy")
        assert result["expected_source"] == "random_review"

    async def test_whose_truth_is_known_or_has_no_answer_waits_for_nobody(
        self, client, fake, ask, given
    ):
        await ask(expected="rose")
        fake.script.append(ProviderRejected("no"))
        await client.post("/classify", files=upload())

        assert await given() == []

    @pytest.mark.parametrize("settings", [{"cache": True}], indirect=True)
    async def test_an_answer_that_was_kept_has_its_picture_too(self, client, fake, ask, given):
        first = await ask()
        second = await ask()
        picture = await client.get(f"/results/{second}/image")

        assert fake.calls == 1
        assert picture.content == (await client.get(f"/results/{first}/image")).content

    async def test_what_was_accepted_for_later(self, client, fake, given):
        fake.script.append(answer("rose", 0.5))
        headers = {"prefer": "respond-async"}
        later = await client.post("/classify", files=upload(), headers=headers)
        await client.get(later.headers["location"], params={"wait": 20})
        (item,) = await given()

        assert item["result"]["id"] in later.headers["location"]
        assert (await client.get(item["image"])).status_code == 200

    @pytest.mark.parametrize("hangs", [False, True])
    async def test_without_a_store_there_is_no_picture_and_all_else(
        self, client, ask, given, parts, monkeypatch, hangs
    ):
        async def fails(self, data):
            if hangs:
                await asyncio.Event().wait()
            raise StorageUnavailable("The disk is full.")

        monkeypatch.setattr("app.storage.BlobStore.put", fails)
        monkeypatch.setattr("app.classification.reviewing.KEPT_WITHIN_S", 0.05)
        await ask()
        (item,) = await given()

        assert item["image"] is None
        assert is_problem(
            await client.get(f"/results/{item['result']['id']}/image"), 404, "picture-not-kept"
        )

    async def test_who_skips_gets_it_last_again(self, ask, given, say):
        near, far = [await ask(each, picture=jpeg(seed=int(9 * each))) for each in (0.6, 0.4)]
        await given()
        await say(near, "skip")
        await say(near, "skip")

        assert [each["result"]["id"] for each in await given()] == [far, near]
        assert [each["skips"] for each in await given()] == [0, 1]

    async def test_a_look_claims_nothing(self, ask, given):
        await ask()
        seen = await given("ada", claim=False)

        assert seen[0]["claimed_by"] is None
        assert len(await given("eve")) == 1
        assert await given("ada", claim=False) == []


class TestCopies:
    """What is said of a picture holds wherever it was asked about."""

    async def test_asked_twice(self, client, ask, given, say):
        first, second = await ask(), await ask(0.6, "daisy")
        taken = await given()
        await say(first, "confirm")
        results = [(await client.get(f"/results/{each}")).json() for each in (first, second)]
        steps = (await client.get(f"/reviews/{second}")).json()["steps"]

        assert len(taken) == 1
        assert [each["final_class"] for each in results] == ["rose", "rose"]
        assert [each["action"] for each in steps] == ["correct"]
        assert await given() == []

        await say(first, "reopen")
        assert len(await given()) == 1
        assert (await client.get(f"/results/{second}")).json()["final_class"] is None

    async def test_twice_in_a_batch(self, client, fake, given, say):
        fake.script.append(answer("rose", 0.5))
        same = picture(1)
        created = await create(client, ("a.jpg", same), ("b.jpg", same))
        await ended(client, created["id"])
        (item,) = await given()
        shown = await client.get(item["image"])
        await say(item["result"]["id"], "correct", "daisy")
        results = (await client.get("/results")).json()["results"]

        assert shown.headers["content-type"] == "image/jpeg"
        assert shown.content != same
        assert [each["final_class"] for each in results] == ["daisy", "daisy"]
        assert await given() == []


async def test_a_truth_that_is_told_decides_it(client, ask, given):
    result_id = await ask()
    await client.put(f"/results/{result_id}/expected", json={"label": "daisy"})
    told = (await client.get(f"/reviews/{result_id}")).json()

    assert await given() == []
    assert (told["state"], told["action"], told["reviewer"]) == ("decided", "correct", "anonymous")
    assert [each["action"] for each in told["steps"]] == ["told"]
    assert (told["result"]["final_class"], told["result"]["expected_source"]) == ("daisy", "later")


@pytest.mark.parametrize("action", ["confirm", "reject"])
async def test_what_is_told_after_it_was_decided_outlasts_undoing(client, ask, say, action):
    result_id = await ask()
    await say(result_id, action)
    await client.put(f"/results/{result_id}/expected", json={"label": "daisy"})
    undone = (await say(result_id, "reopen")).json()["result"]

    assert (undone["expected"], undone["expected_source"]) == ("daisy", "later")
    assert undone["final_class"] is None


@pytest.mark.parametrize("settings", [{"random_share": 1}], indirect=True)
async def test_complaints_leave_the_random_share_as_it_is(client, parts, ask, say):
    """Told by a caller before or after a person has looked: what was drawn counts all the same."""
    first, second, third = [await ask(0.95, picture=jpeg(seed=each)) for each in range(3)]
    await say(first, "confirm")
    await say(second, "correct", "daisy")
    for each in (second, third):
        await client.put(f"/results/{each}/expected", json={"label": "daisy"})
    results = [(await client.get(f"/results/{each}")).json() for each in (first, second, third)]
    unseen = (await client.get("/analytics?domain=flowers")).json()["total"]["unseen_accuracy"]

    assert {each["expected_source"] for each in results} == {"random_review"}
    assert (unseen["labelled"], unseen["value"]) == (3, pytest.approx(1 / 3))
    counted = {
        right: parts.metrics.registry.get_sample_value(
            "classifier_labels_total",
            {"domain": "flowers", "right": right, "source": "random_review"},
        )
        for right in ("true", "false")
    }
    assert counted == {"true": 1, "false": 2}


async def test_metrics_count_each_copy_as_analytics_do(client, parts, ask, say):
    first, *_ = [await ask() for _ in range(3)]
    await say(first, "confirm")
    labels = (await client.get("/analytics?domain=flowers")).json()["total"]["labels"]
    counted = parts.metrics.registry.get_sample_value(
        "classifier_labels_total", {"domain": "flowers", "right": "true", "source": "review"}
    )
    decided = (await client.get("/reviews/statistics")).json()["decided"]

    assert labels["review"]["labelled"] == counted == decided["confirm"] == 3


@pytest.mark.parametrize(
    ("action", "label", "status", "problem"),
    [
        ("correct", None, 422, "invalid-request"),
        ("correct", "rose", 422, "invalid-request"),
        ("correct", "tulip", 422, "label-not-in-domain"),
        ("confirm", "daisy", 422, "invalid-request"),
        ("reject", "daisy", 422, "invalid-request"),
        ("reopen", None, 409, "nothing-to-review"),
        ("praise", None, 422, "invalid-request"),
    ],
)
async def test_what_makes_no_sense(ask, say, action, label, status, problem):
    assert is_problem(await say(await ask(), action, label), status, problem)


async def test_what_waits_of_a_domain_that_is_gone_can_be_decided(client, ask, given, say):
    """With the classes that are shown."""
    await client.post("/domains", json={"name": "twigs", "classes": ["rose", "daisy"]})
    ids = [await ask(domain="twigs", picture=jpeg(seed=each)) for each in range(2)]
    await client.delete("/domains/twigs")
    shown = [each["label"] for each in (await given())[0]["classes"]]

    assert is_problem(await say(ids[0], "correct", "tulip"), 404, "domain-not-found")
    assert (await say(ids[0], "correct", "none")).json()["result"]["final_class"] == "none"
    assert (await say(ids[1], "confirm")).json()["result"]["final_class"] in shown


async def test_a_picture_that_can_not_be_shown_just_now_is_not_gone(client, fake, monkeypatch):
    async def fails(*_, **__):
        raise Overloaded("Too many pictures wait to be decoded.")

    created = await create(client, ("a.jpg", picture(1)))
    await ended(client, created["id"])
    (result,) = (await client.get("/results")).json()["results"]
    monkeypatch.setattr("app.classification.Intake.jpeg_of", fails)

    assert (await client.get(f"/results/{result['id']}/image")).status_code == 503


async def test_nobody_is_called_model(client, ask, say):
    result_id = await ask()

    for name in ("Model", " model ", "  "):
        assert is_problem(await say(result_id, "confirm", reviewer=name), 422, "invalid-request")
        found = await client.get("/reviews", params={"reviewer": name})
        assert is_problem(found, 422, "invalid-request")


async def test_what_was_in_no_queue_can_be_reviewed(client, ask, say):
    said = (await say(await ask(0.95), "correct", "none")).json()

    assert (said["result"]["final_class"], said["result"]["expected_source"]) == ("none", "review")


async def test_a_picture_of_no_use_has_no_label(client, ask, say):
    result = (await say(await ask(), "reject")).json()["result"]

    assert (result["final_class"], result["expected"], result["decided_by"]) == (None, None, "ada")


@pytest.mark.parametrize("settings", [{"keys": True}], indirect=True)
async def test_callers_see_their_own(client, fake):
    def key(name: str) -> dict[str, str]:
        return {"x-api-key": name}

    fake.script.append(answer("rose", 0.5))
    asked = await client.post("/classify", files=upload(), headers=key("shop"))
    path = f"/reviews/{asked.json()['id']}"
    body = {"action": "confirm"}

    for name, count in (("lab", 0), ("shop", 1), ("boss", 0)):  # the shop has it then
        found = await client.get("/reviews", headers=key(name))
        assert len(found.json()["reviews"]) == count
    assert is_problem(
        await client.post(path, json=body, headers=key("lab")), 404, "result-not-found"
    )
    for of in (path, f"/results/{asked.json()['id']}/image"):
        assert is_problem(await client.get(of, headers=key("lab")), 404, "result-not-found")
    said = await client.post(path, json=body, headers=key("shop"))
    assert said.json()["reviewer"] == "shop"
    undo = {"action": "reopen", "reviewer": "other"}
    assert is_problem(await client.post(path, json=undo, headers=key("shop")), 403, "not-allowed")
    assert (await client.post(path, json=undo, headers=key("boss"))).status_code == 200


async def test_labels_count_what_was_said_and_not_what_was_undone(client, parts, ask, say):
    """Under their source; accuracy goes by those of others."""

    async def labels() -> tuple[int, int, int]:
        tally = (await parts.tallies.by_domain(datetime(2020, 1, 1, tzinfo=UTC)))["flowers"]
        of_reviews = (tally.named(each).get("review", 0) for each in ("labelled", "right"))
        return (*of_reviews, tally.labelled)

    result_id = await ask()
    await say(result_id, "confirm")
    after = await labels()
    await say(result_id, "reopen")

    assert after == (1, 1, 0)
    assert await labels() == (0, 0, 0)


async def test_it_is_told(client, ask, say, monkeypatch, parts):
    told = []
    monkeypatch.setattr(
        "app.storage.outbox.Telling.tell", lambda self, connection, *events: told.extend(events)
    )
    result_id = await ask()
    await say(result_id, "confirm")
    await say(result_id, "reopen")

    assert [each.type for each in told] == ["result.created", "result.reviewed", "result.reviewed"]
    assert [each.data().final_class for each in told] == [None, "rose", None]


async def test_its_picture_goes_in_its_time_and_with_it(client, ask, parts):
    result_id = await ask()
    later = datetime.now(UTC) + timedelta(days=1)
    assert (await parts.retention.sweep(now=later)).pictures == 0
    assert (await parts.retention.sweep(now=later + timedelta(days=30), dry_run=True)).pictures == 1
    await client.delete(f"/results/{result_id}")

    much_later = later + timedelta(days=30)
    assert (await parts.retention.sweep(now=much_later, dry_run=True)).pictures == 0
    assert (await client.get("/reviews")).json()["waiting"]["unsure"] == 0


async def test_what_can_not_be_seen_any_more_comes_last(client, ask, parts):
    old = await ask(0.69)
    later = datetime.now(UTC) + timedelta(days=31)
    assert (await parts.retention.sweep(now=later)).pictures == 1
    young = [await ask(picture=jpeg(64 * n, 64)) for n in (2, 3)]

    found = (await client.get("/reviews")).json()["reviews"]

    assert [each["result"]["id"] for each in found][-1] == old
    assert {each["result"]["id"] for each in found[:-1]} == {*young}
    assert found[-1]["image"] is None
    assert all(each["image"] for each in found[:-1])
