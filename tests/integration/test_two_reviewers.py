"""Two people at once, each a process of its own, and one of them dies in between and returns."""

import random
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime

import httpx2
import pytest

from app.classification.reviewing import draw
from app.identifiers import RESULT, new_id
from app.result import Result
from app.storage import Database, Outbox, ResultRepository, ToReview, migrate, queueing
from tests.integration.calls import until
from tests.service import ROOT

ITEMS = 200
DRAWN = 50
"""Of them, accepted and drawn at random."""

REVIEWER = """
import sys, time
import httpx2

url, name = sys.argv[1:]
with httpx2.Client(base_url=url, timeout=20) as http:
    while True:
        given = http.get("/reviews", params={"reviewer": name, "limit": 7}).json()
        if not sum(given["waiting"].values()):
            break
        if not given["reviews"]:
            time.sleep(0.05)  # the other one has them
        for item in given["reviews"]:
            result = item["result"]
            said = {"reviewer": name, "action": "confirm"}
            if result["metadata"]["hard"] and not item["skips"]:
                said["action"] = "skip"
            elif result["metadata"]["shows"] != result["predicted_class"]:
                said |= {"action": "correct", "label": result["metadata"]["shows"]}
            told = http.post("/reviews/" + result["id"], json=said)
            print(result["id"], said["action"], told.status_code, flush=True)
"""
"""Knows what each picture shows, and prints what it says."""


@pytest.fixture
def begin(tmp_path):
    """Begin to review, in a process that writes what it does to a file."""
    running = []

    def begin(url: str, name: str):
        output = tmp_path / f"{name}-{len(running)}.txt"
        with output.open("wb") as file:
            command = [sys.executable, "-c", REVIEWER, url, name]
            running.append(subprocess.Popen(command, stdout=file, cwd=ROOT))
        return running[-1], output

    yield begin
    for each in running:
        each.kill()
        each.wait()


async def fill(url: str) -> list[Result]:
    """Answers that wait, and what each picture shows."""
    database = Database(url)
    await migrate(database)
    results = ResultRepository(database, Outbox(database, None))
    chance, now = random.Random(1), datetime.now(UTC)
    stored = []
    for number in range(ITEMS):
        drawn = number < DRAWN
        shows = "rose" if chance.random() < (0.9 if drawn else 0.6) else "daisy"
        result = Result(
            id=new_id(RESULT),
            domain="flowers",
            predicted_class="rose",
            confidence=0.9 if drawn else chance.uniform(0.3, 0.7),
            status="accepted" if drawn else "needs_review",
            metadata={"shows": shows, "hard": number % 10 == 0},
            caller="anonymous",
            domain_version="1",
            created_at=now,
        )
        waits = ToReview(
            result.id,
            result.status,
            "random" if drawn else "unsure",
            0.02 if drawn else 1.0,
            draw(result.id).rank,
            None,
        )
        await results.insert(result, queueing([waits]))
        stored.append(result)
    await database.close()
    return stored


@pytest.mark.each_database
async def test_none_is_reviewed_twice_and_none_is_lost(lasting_url, start_service, begin):
    stored = await fill(lasting_url)
    service = start_service(DATABASE_URL=lasting_url, REVIEW_CLAIM="2")
    eve, of_eve = begin(service.url, "eve")
    ada, of_ada = begin(service.url, "ada")
    await until(lambda: len(of_ada.read_bytes().splitlines()) >= 25, seconds=30)
    ada.send_signal(signal.SIGKILL)
    ada.wait()
    returned, of_returned = begin(service.url, "ada")
    await until(lambda: (eve.poll(), returned.poll()) == (0, 0), seconds=50)
    async with httpx2.AsyncClient(base_url=service.url, timeout=20) as http:
        told = [(await http.get(f"/reviews/{each.id}")).json() for each in stored]
        statistics = (await http.get("/reviews/statistics")).json()

    said = [
        line.split()
        for output in (of_eve, of_ada, of_returned)
        for line in output.read_text().splitlines()
    ]
    taken = [(each, action) for each, action, status in said if status == "200"]
    decisions = Counter(each for each, action in taken if action != "skip")
    deciding = [[step for step in each["steps"] if step["action"] != "skip"] for each in told]
    assert max(decisions.values()) == 1
    assert {status for _, _, status in said} <= {"200", "409"}
    assert [len(steps) for steps in deciding] == [1] * ITEMS
    assert [steps[0]["label"] for steps in deciding] == [each.metadata["shows"] for each in stored]
    assert all(each["result"]["final_class"] == each["result"]["expected"] for each in told)
    assert all(len(each["steps"]) >= 2 for each in told[::10])

    right = [each.metadata["shows"] == "rose" for each in stored]
    by = Counter(steps[0]["reviewer"] for steps in deciding)
    assert min(by["ada"], by["eve"]) >= 20
    assert statistics["waiting"] == {"unsure": 0, "random": 0}
    confirmed = sum(right)
    decided = {"confirm": confirmed, "correct": ITEMS - confirmed, "reject": 0}
    assert statistics["decided"] == decided
    assert {each["reviewer"]: each["decided"] for each in statistics["reviewers"]} == by
    unseen, unsure = statistics["unseen_accuracy"], statistics["agreement"]["unsure"]
    assert (unseen["reviewed"], unsure["reviewed"]) == (DRAWN, ITEMS - DRAWN)
    assert unseen["value"] == pytest.approx(sum(right[:DRAWN]) / DRAWN)
    assert unsure["value"] == pytest.approx(sum(right[DRAWN:]) / (ITEMS - DRAWN))
    assert unseen["interval"][0] < unseen["value"] < unseen["interval"][1]
