"""`/evaluations`: labelled results, judged where they lie."""

import asyncio
import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from app.evaluation import Wanted, page, stored, thumbnails
from app.result import ImageFacts, Timings, Usage
from app.storage import EvaluationRepository
from app.storage.audit import By
from tests.integration.calls import PICTURE, api_keys, is_problem, store, until
from tests.integration.test_batches import pictures

pytestmark = pytest.mark.each_database

UNKNOWN = "evl_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"


async def label(parts, number: int, *, truth="rose", answer="rose", confidence=0.9, **known) -> str:
    """A labelled result of a picture of its own."""
    image = ImageFacts(
        sha256=f"{number:064x}", format="JPEG", width=1, height=1, bytes=1, warnings=[]
    )
    values = {
        "expected": truth,
        "predicted_class": None if answer == "none" else answer,
        "confidence": confidence,
        "probabilities": {answer: confidence, "daisy": 1 - confidence},
        "status": "accepted" if confidence >= 0.7 else "needs_review",
        "usage": Usage(prompt_tokens=300, completion_tokens=5, cost_usd="0.0005"),
        "timings_ms": Timings(total=800),
        "image": image,
        "model": "gpt-4o",
    }
    return await store(parts, number, **(values | known))


async def evaluate(client, **order):
    return await client.post("/evaluations", json={"domain": "flowers", **order})


async def test_labelled_results_are_judged_and_kept(client, parts):
    for number in range(8):
        await label(parts, number)
    await label(parts, 8, truth="daisy", confidence=0.8)
    await label(parts, 9, truth="none", answer="rose", confidence=0.95)
    await store(parts, 10)  # nobody told its class
    await label(parts, 11, domain="animals", truth="cat", answer="cat")

    made = await evaluate(client, name="first")

    assert made.status_code == 201, made.text
    told = made.json()
    report = told["report"]
    assert (report["n"], report["none_n"]) == (9, 1)
    assert report["accuracy"] == pytest.approx(8 / 9)
    assert report["cost_per_1000"] == pytest.approx(0.5)
    assert report["latency_ms"]["p50"] == pytest.approx(800)
    assert report["brier"] == pytest.approx((8 * 0.02 + 0.8**2 * 2) / 9)
    assert [each["name"] for each in report["near_misses"]] == [report["near_misses"][0]["name"]]
    assert report["measured_on"]["what"] == "stored results"
    assert made.headers["location"] == f"/evaluations/{told['id']}"
    assert (await client.get(made.headers["location"])).json() == told
    (short,) = (await client.get("/evaluations")).json()["evaluations"]
    assert short["n"] == 9
    assert short["name"] == "first"


async def test_a_time_and_a_provider_choose(client, parts):
    for number in range(4):
        await label(parts, number, provider="local" if number % 2 else "second")

    late = await evaluate(client, since="2026-03-01T12:01:30Z")
    ours = await evaluate(client, provider="local", until="2026-03-01T12:02:00Z")

    assert late.json()["report"]["n"] == 2
    assert ours.json()["report"]["n"] == 1
    assert "of local until 2026-03-01 12:02 UTC" in ours.json()["report"]["measured_on"]["what"]


async def test_a_batch_is_judged_by_its_labels(client, parts):
    created = await client.post(
        "/batches",
        data={"domain": "flowers", "provider": "fake"},
        files={"file": ("a.zip", pictures(3))},
    )
    batch_id = created.json()["id"]

    async def over() -> bool:
        return (await client.get(f"/batches/{batch_id}")).json()["status"] == "completed"

    await until(over)
    nothing = await evaluate(client, batch_id=batch_id)
    items = (await client.get(f"/batches/{batch_id}/items")).json()["items"]
    for each in items:
        path = f"/results/{each['result']['id']}/expected"
        assert (await client.put(path, json={"label": "daisy"})).status_code == 204

    made = await evaluate(client, batch_id=batch_id)

    assert is_problem(nothing, 409, "nothing-labelled")
    assert made.json()["report"]["measured_on"]["what"] == f"batch {batch_id}"
    assert made.json()["report"]["n"] == 3
    found = (await client.get(f"{made.headers['location']}/report")).text
    wrong = made.json()["report"]["mistakes"]
    # They were uploaded, so the service has them.
    assert found.count("data:image/jpeg;base64,") == len(wrong) > 0
    other = await evaluate(client, batch_id=batch_id, domain="animals")
    assert is_problem(other, 422, "invalid-request")


async def test_nothing_labelled_says_what_to_do(client, parts):
    await store(parts)

    answer = await evaluate(client)

    assert is_problem(answer, 409, "nothing-labelled")
    assert "/expected" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("order", "status", "slug"),
    [
        ({"domain": "nope"}, 404, "domain-not-found"),
        ({"batch_id": "bat_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"}, 404, "batch-not-found"),
        ({"compare_with": UNKNOWN}, 404, "evaluation-not-found"),
        (
            {"batch_id": "bat_01J9ZK3Q8XWVQ5T2M4N6P7R8S9", "provider": "local"},
            422,
            "invalid-request",
        ),
        ({"since": "yesterday"}, 422, "invalid-request"),
        ({"until": "9999-12-31T23:59:59-14:00"}, 422, "invalid-request"),
        ({"since": 1772366400}, 422, "invalid-request"),
    ],
)
async def test_what_can_not_be_judged(client, parts, order, status, slug):
    await label(parts, 1)

    assert is_problem(await evaluate(client, **order), status, slug)


async def test_two_are_compared_by_the_pictures_in_both(client, parts):
    for number in range(6):
        await label(parts, number, provider="local", answer="rose" if number < 3 else "daisy")
    before = (await evaluate(client, name="before", provider="local")).json()
    for number in range(1, 8):
        await label(parts, number, provider="second", answer="rose" if number != 1 else "daisy")

    after = (await evaluate(client, provider="second", compare_with=before["id"])).json()

    comparison = after["report"]["comparison"]
    assert comparison["earlier"] == "before"
    assert (comparison["n"], comparison["better"], comparison["worse"]) == (5, 3, 1)
    assert comparison["p_value"] == pytest.approx(0.625)
    assert len(comparison["only_now_right"]) == 3
    page = await client.get(f"/evaluations/{after['id']}/report")
    assert "5 pictures are in both" in page.text


async def test_the_page_is_one_file_that_may_do_nothing(client, parts):
    """Names of others are text in it, and pictures that are gone are told in words."""
    await label(parts, 1, truth="daisy", answer="rose")
    made = (await evaluate(client, name="<script>alert(1)</script>")).json()

    page = await client.get(f"/evaluations/{made['id']}/report")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "script-src" not in page.headers["content-security-policy"]
    assert "<script" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text
    assert "no picture kept" in page.text
    assert not re.search(r"(src|href)=.(?!data:)", page.text)


async def test_pictures_that_are_kept_still_are_shown(client, parts):
    digest = await parts.evaluations._blobs.put(PICTURE)
    broken = await parts.evaluations._blobs.put(b"no picture")
    for place, name in enumerate((digest, broken)):
        facts = ImageFacts(sha256=name, format="JPEG", width=1, height=1, bytes=1, warnings=[])
        await label(parts, place, truth="daisy", image=facts)
    made = (await evaluate(client)).json()

    page = await client.get(f"/evaluations/{made['id']}/report")

    assert page.text.count("data:image/jpeg;base64,") == 1
    assert page.text.count("no picture kept") == 1


async def test_items_of_the_same_name_keep_their_own_pictures(client, parts):
    """As those of two batches may have it."""
    kept = await parts.evaluations._blobs.put(PICTURE)
    for place, sha256 in enumerate((kept, "0" * 64)):
        facts = ImageFacts(sha256=sha256, format="JPEG", width=1, height=1, bytes=1, warnings=[])
        await label(parts, place, truth="daisy", image=facts)
    made = await parts.evaluations.judge(Wanted(domain="flowers"), caller="anonymous")
    same = [each.model_copy(update={"name": "1.jpg"}) for each in made.report.mistakes]
    found = made.report.model_copy(update={"mistakes": same})

    small = await thumbnails(found, parts.evaluations.picture)

    assert list(small) == [kept]
    assert page(found, small).count("no picture kept") == 1


async def test_whoever_waits_holds_no_earlier_run(client, parts, monkeypatch):
    """It is read when its turn has come; whether it is there is said before."""
    await label(parts, 1)
    before = (await evaluate(client)).json()["id"]
    read, outcomes = parts.evaluations.labelled.read, EvaluationRepository.outcomes
    go_on, steps = asyncio.Event(), []

    async def slow(wanted):
        steps.append("results")
        await go_on.wait()
        return await read(wanted)

    async def watched(self, evaluation_id, *, caller):
        steps.append("earlier run")
        return await outcomes(self, evaluation_id, caller=caller)

    monkeypatch.setattr(parts.evaluations.labelled, "read", slow)
    monkeypatch.setattr(EvaluationRepository, "outcomes", watched)
    waiting = [asyncio.create_task(evaluate(client, compare_with=before)) for _ in range(3)]
    unknown = await evaluate(client, compare_with=UNKNOWN)
    go_on.set()
    made = [each.json() for each in await asyncio.gather(*waiting)]

    assert is_problem(unknown, 404, "evaluation-not-found")
    assert steps == ["results", "earlier run"] * 3
    assert [each["report"]["comparison"]["n"] for each in made] == [1, 1, 1]


async def test_an_evaluation_of_another_domain_is_none_to_compare_with(client, parts):
    await label(parts, 1)
    await label(parts, 2, domain="animals", truth="cat", answer="cat")
    other = (await evaluate(client, domain="animals")).json()["id"]

    answer = await evaluate(client, compare_with=other)

    assert is_problem(answer, 422, "invalid-request")
    assert "an evaluation of the domain 'animals'" in answer.json()["detail"]
    assert len((await client.get("/evaluations")).json()["evaluations"]) == 1


@pytest.mark.parametrize(("over", "status"), [(True, 201), (False, 503)])
async def test_what_may_just_be_erased_is_not_judged(client, parts, over, status):
    """An erasure that is over is none, though the clock was set back since."""
    await label(parts, 1)
    ahead = datetime.now(UTC) + timedelta(hours=1)
    erasure = await parts.erasing._stored.begin("press", By("boss", None), ahead)
    if over:
        await parts.erasing._stored.end(erasure, ahead)

    answer = await evaluate(client)

    assert answer.status_code == status, answer.text
    assert len((await client.get("/evaluations")).json()["evaluations"]) == over


async def test_pages_and_forgetting(client, parts):
    await label(parts, 1)
    made = [(await evaluate(client)).json()["id"] for _ in range(3)]

    first = (await client.get("/evaluations", params={"limit": 2})).json()
    second = await client.get("/evaluations", params={"cursor": first["next_cursor"]})
    other = await client.get("/evaluations", params={"domain": "animals"})
    gone = await client.delete(f"/evaluations/{made[0]}")

    assert [each["id"] for each in first["evaluations"]] == made[:0:-1]
    assert [each["id"] for each in second.json()["evaluations"]] == made[:1]
    assert second.json()["next_cursor"] is None
    assert other.json()["evaluations"] == []
    assert gone.status_code == 204
    for answer in (
        await client.get(f"/evaluations/{made[0]}"),
        await client.get(f"/evaluations/{made[0]}/report"),
        await client.delete(f"/evaluations/{made[0]}"),
    ):
        assert is_problem(answer, 404, "evaluation-not-found")


async def test_only_the_newest_are_judged_and_that_is_said(client, parts, monkeypatch):
    monkeypatch.setattr(stored, "MOST", 3)
    for number in range(5):
        await label(parts, number)

    report = (await evaluate(client)).json()["report"]

    assert report["n"] == 3
    assert report["measured_on"]["truncated"]
    assert report["measured_on"]["first_at"] == "2026-03-01T12:02:00Z"


async def test_five_hundred_classes_and_many_answers(client, parts):
    """And the event loop goes on meanwhile."""
    classes = [f"class {number}" for number in range(500)]
    await client.post("/domains", json={"name": "wide", "classes": classes})
    for number in range(600):
        await label(
            parts,
            number,
            domain="wide",
            truth=classes[number % 500],
            answer=classes[number * 7 % 500],
            probabilities=None,
        )

    gaps = []

    async def watch() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            gaps.append(time.perf_counter() - began)

    watching = asyncio.create_task(watch())
    made = await evaluate(client, domain="wide")
    page = await client.get(f"{made.headers['location']}/report")
    watching.cancel()

    assert made.status_code == 201, made.text
    assert "What was confused most" in page.text
    assert "480 more classes" in page.text
    assert max(gaps) < 1


class TestCallers:
    """Each judges own results, and sees own evaluations; an operator all."""

    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"api_keys": api_keys(shop=False, lab=False, ops=True)})

    async def test_other_callers_rows_do_not_exist(self, client, parts):
        def as_(name: str) -> dict[str, str]:
            return {"authorization": f"Bearer {name}"}

        for number, caller in enumerate(("shop", "shop", "lab")):
            await label(parts, number, caller=caller)

        async def made(name: str) -> dict:
            order = {"domain": "flowers"}
            return (await client.post("/evaluations", json=order, headers=as_(name))).json()

        of_shop, of_ops = await made("shop"), await made("ops")
        path = f"/evaluations/{of_shop['id']}"
        order = {"domain": "flowers", "compare_with": of_shop["id"]}

        assert (of_shop["report"]["n"], of_ops["report"]["n"]) == (2, 3)
        assert (await client.get(path, headers=as_("ops"))).status_code == 200
        for answer in (
            await client.get(path, headers=as_("lab")),
            await client.get(f"{path}/report", headers=as_("lab")),
            await client.delete(path, headers=as_("lab")),
            await client.post("/evaluations", json=order, headers=as_("lab")),
        ):
            assert is_problem(answer, 404, "evaluation-not-found")
        listed = await client.get("/evaluations", headers=as_("lab"))
        assert listed.json()["evaluations"] == []
        assert (await client.get("/evaluations")).status_code == 401
