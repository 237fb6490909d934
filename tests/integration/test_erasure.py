"""What is erased is nowhere any more, what is another's is untouched, and nothing comes back."""

import asyncio
import hashlib
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import sqlalchemy as sa

from app.parts import build_parts
from app.settings_groups import CacheSettings, ReviewSettings, WebhookSettings
from app.storage import RetentionRepository
from app.storage.audit import AuditFilter, By
from app.storage.tables import cost_days, cost_hours, ledger, metadata
from tests.fakes import answer
from tests.integration.calls import api_keys, is_problem, store, until
from tests.integration.test_audit import run
from tests.integration.test_authorisation import as_
from tests.integration.test_batches import create
from tests.integration.webhook_calls import subscribe
from tests.pictures import jpeg
from tests.receiver import said

pytestmark = pytest.mark.each_database

MINE, OTHERS, BOSS = as_("orchidee"), as_("press"), as_("boss")
LATER = {"prefer": "respond-async"}
OWN = [jpeg(seed=seed) for seed in range(10, 14)]
SHARED, THEIRS = jpeg(seed=30), jpeg(seed=31)


class Words(NamedTuple):
    """What one caller says, and is told."""

    name: str
    number: str
    receiver: str


OWN_WORDS = Words("blossom", "4711", "the receiver's own words")
THEIR_WORDS = Words("petal", "0815", "what it says to others")
WORDS = [
    "orchidee",
    "blossom",
    "meta-4711",
    "wrong-4711",
    "key-4711",
    "the receiver's own words",
    "note-4711",
]
KEPT_TABLES = ("audit", "erasures", "installation")
"""Which say that it was erased, whose it was, and which keys are configured."""


@pytest.fixture
def settings(settings, lasting_url, inbox, tmp_path):
    return settings.model_copy(
        update={
            "database_url": lasting_url,
            "blobs_url": f"file://{tmp_path}/blobs",
            "api_keys": api_keys(orchidee=False, press=False, boss=True),
            "egress_allow": (inbox.place,),
            "webhooks": WebhookSettings(schedule=(0,)),
            "cache": CacheSettings(),
            "review": ReviewSettings(random_share=1),
        }
    )


@pytest.fixture
async def priced(parts):
    (provider,) = await parts.providers.get("priced")
    return provider


@pytest.fixture
def ask(client, priced):
    """Ask about a picture, by a provider that wants money; returns the result."""

    async def ask(picture, headers, *, confidence=0.9, name="blossom.jpg", **fields) -> dict:
        priced.script.append(answer("rose", confidence))
        texts = {"domain": "flowers", "provider": "priced", **fields}
        parts = [(key, (None, text)) for key, text in texts.items()]
        asked = await client.post(
            "/classify", files=[*parts, ("file", (name, picture))], headers=headers
        )
        assert asked.status_code in (200, 202), asked.text
        return asked.json()

    return ask


async def lived(client, inbox, ask, headers, pictures, words=OWN_WORDS) -> list[str]:
    """A caller who does all that there is to do; returns ids of what is the caller's."""
    inbox.always = said("200 OK", body=words.receiver.encode())
    ask = partial(ask, name=f"{words.name}.jpg")
    hook = await subscribe(client, inbox, headers=headers, description=words.name)
    meta, of_wrong = [json.dumps({"order": f"{each}-{words.number}"}) for each in ("meta", "wrong")]
    key = {"idempotency-key": f"key-{words.number}"}
    first = await ask(pictures[0], headers | key, metadata=meta)
    wrong = await ask(pictures[1], headers, expected="daisy", metadata=of_wrong)
    unsure = await ask(pictures[2], headers, confidence=0.5)
    later = await ask(pictures[3], headers | LATER, callback_url=inbox.url("/back"))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{words.name}-1.jpg", pictures[4])
        archive.writestr(f"{words.name}-2.jpg", pictures[4])
        archive.writestr(f"{words.name}.txt", b"no picture")
    batch = await create(
        client,
        (f"{words.name}.zip", packed.getvalue()),
        headers=headers,
        name=words.name,
        provider="priced",
    )

    async def over() -> bool:
        told = await client.get(f"/batches/{batch['id']}", headers=headers)
        return told.json()["status"] == "completed"

    await until(over)
    said_so = {
        "action": "correct",
        "reviewer": "ada",
        "label": "daisy",
        "note": f"note-{words.number}",
    }
    reviewed = await client.post(f"/reviews/{unsure['id']}", json=said_so, headers=headers)
    assert reviewed.status_code == 200, reviewed.text
    order = {"domain": "flowers", "name": words.name}
    made = await client.post("/evaluations", json=order, headers=headers)
    assert made.status_code == 201, made.text
    listed = await client.get("/results", headers=headers)
    results = [each["id"] for each in listed.json()["results"]]
    assert {first["id"], wrong["id"], unsure["id"], later["id"]} <= set(results)
    return [*results, batch["id"], made.json()["id"], hook["id"]]


async def settled(client, parts) -> None:
    """Nothing is under way."""

    async def told() -> bool:
        sent = await client.get("/deliveries", params={"state": "pending"}, headers=BOSS)
        pending = await client.get("/results", params={"status": "pending"}, headers=BOSS)
        return not sent.json()["deliveries"] and not pending.json()["results"]

    await until(told)
    await parts.tallies.roll()
    await parts.books._sum()


async def rows(parts) -> dict[str, list[str]]:
    """Of every table, as text."""

    def unit(connection: sa.Connection) -> dict[str, list[str]]:
        return {
            name: [repr(tuple(row)) for row in connection.execute(sa.select(table))]
            for name, table in metadata.tables.items()
        }

    return await parts.database.read(unit)


def saying(found: dict[str, list[str]], words) -> list[str]:
    return [
        f"{table}: {word} in {row[:300]}"
        for table, texts in found.items()
        if table not in KEPT_TABLES
        for row in texts
        for word in words
        if word in row
    ]


def in_bytes(tmp_path: Path, words) -> list[str]:
    """Which of these SQLite's files hold."""
    files = b"".join(each.read_bytes() for each in tmp_path.glob("app.db*"))
    assert files
    return [each for each in words if each.encode() in files]


async def out_of_bytes(parts, tmp_path: Path, words) -> bool:
    """Whether none of these is in them, once it was looked through."""
    await parts.erasing.look()
    return in_bytes(tmp_path, words) == []


async def money(parts) -> list[Decimal]:
    def unit(connection: sa.Connection) -> list[Decimal]:
        sums = [sa.select(sa.func.sum(each.c.cost_usd)) for each in (ledger, cost_hours, cost_days)]
        return [connection.execute(each).scalar() or Decimal(0) for each in sums]

    return await parts.database.read(unit)


def blobs(tmp_path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in tmp_path.glob("blobs/*/*")}


def digests(pictures) -> list[str]:
    return [hashlib.sha256(each).hexdigest() for each in pictures]


async def erase(client, name="orchidee", headers=BOSS) -> dict:
    erased = await client.delete(f"/callers/{name}/data", headers=headers)
    assert erased.status_code == 200, erased.text
    assert erased.json()["done"]
    return erased.json()


async def test_all_of_a_caller_is_nowhere_any_more(client, parts, inbox, ask, tmp_path, settings):
    """In no table and no blob, and of SQLite in no byte of its files. Others keep what they have,
    of a picture that both sent, too; money is the same, and nobody's."""
    await client.post("/webhooks", json={"url": inbox.url("/boss")}, headers=BOSS)
    theirs = await lived(client, inbox, ask, OTHERS, [SHARED, *[THEIRS] * 4], THEIR_WORDS)
    await settled(client, parts)
    given = await client.post(
        "/domains/flowers/examples",
        files={"file": ("examples.zip", _archive(rose=jpeg(seed=50)))},
        headers=BOSS,
    )
    assert given.status_code == 200, given.text
    await parts.from_reviews.look()
    files_of_others, before = blobs(tmp_path), await rows(parts)

    ids = await lived(client, inbox, ask, MINE, [SHARED, *OWN])
    await client.post("/evaluations", json={"domain": "flowers"}, headers=BOSS)
    await settled(client, parts)
    await parts.from_reviews.look()
    words = [*WORDS, *ids, *digests(OWN)]
    spent, there = await money(parts), await rows(parts)
    assert min(spent) > 0
    assert [each for each in words if not saying(there, [each])] == []
    assert len(there["examples"]) > len(before["examples"])

    report = await erase(client)

    await parts.tallies.roll()
    after = await rows(parts)
    assert saying(after, words) == []
    assert blobs(tmp_path) == files_of_others
    assert await money(parts) == spent
    assert report["erased"]["results"] == len(ids) - 3
    assert {"batches", "webhooks", "calls", "pictures", "evaluations"} <= report["erased"].keys()
    assert _of(after, theirs) == _of(before, theirs)
    if settings.database_url.startswith("sqlite"):
        kept = {"orchidee", ids[-1]}  # of the webhook, in the audit log
        await until(lambda: out_of_bytes(parts, tmp_path, set(words) - kept))


def _of(found: dict[str, list[str]], ids) -> dict[str, list[str]]:
    """Rows of `press`, but for what operators look at."""
    words = ["'press'", *ids]
    return {
        table: [row for row in texts if any(each in row for each in words) and "'boss'" not in row]
        for table, texts in found.items()
        if table not in KEPT_TABLES
    }


def _archive(**pictures: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for label, picture in pictures.items():
            archive.writestr(f"{label}/1.jpg", picture)
    return packed.getvalue()


async def test_one_result_goes_with_all_that_it_left(client, parts, inbox, ask, tmp_path, settings):
    """Also from its batch, whose other item with the same picture stands by itself then."""
    await client.post("/webhooks", json={"url": inbox.url("/boss")}, headers=BOSS)
    ids = await lived(client, inbox, ask, MINE, [SHARED, *OWN])
    await settled(client, parts)
    before, spent = blobs(tmp_path), await money(parts)
    batch_id = ids[-3]
    items = (await client.get(f"/batches/{batch_id}/items", headers=MINE)).json()["items"]
    first, wrong, unsure = [await _with(client, each) for each in (SHARED, *OWN[:2])]
    item = items[0]["result"]["id"]
    gone = [first, wrong, unsure, item]
    words = [
        *gone,
        *digests([SHARED, *OWN[:2]]),
        *("key-4711", "meta-4711", "wrong-4711", "note-4711", "blossom-1.jpg"),
    ]
    there = await rows(parts)
    assert [each for each in words if not saying(there, [each])] == []
    seen = [
        (await client.get(f"/results/{each}/image", headers=MINE)).content
        for each in (first, unsure)
    ]
    for each in gone:
        erased = await client.delete(f"/results/{each}", headers=MINE)
        assert erased.status_code == 204, erased.text
    after = await rows(parts)
    left = (await client.get(f"/batches/{batch_id}/items", headers=MINE)).json()["items"]

    assert saying(after, words) == []
    if settings.database_url.startswith("sqlite"):
        await until(lambda: out_of_bytes(parts, tmp_path, words))
    assert before.keys() - blobs(tmp_path).keys() == set(digests(seen))
    assert [each["item_id"] for each in left] == ["", items[1]["item_id"]]
    assert left[1]["result"] == items[1]["result"] | {"similar_to": None}
    assert await money(parts) == spent
    again = await client.delete(f"/results/{item}", headers=MINE)
    assert is_problem(again, 404, "result-not-found")
    entries = await parts.audit.page(AuditFilter(action="result.erased"), limit=10)
    assert [(each.actor, each.subject, each.change) for each in entries] == [
        ("orchidee", "orchidee", None)
    ] * len(gone)


async def _with(client, picture: bytes) -> str:
    """The result that has it."""
    (digest,) = digests([picture])
    listed = (await client.get("/results", headers=MINE)).json()["results"]
    return next(each["id"] for each in listed if each["image"]["sha256"] == digest)


class TestLateWrites:
    """What was asked before the erasure is answered, maybe, and never stored."""

    async def test_at_once(self, client, parts, priced, ask, tmp_path):
        """The ledger has what it cost, and not whose it was."""
        priced.hold.clear()
        asked = asyncio.create_task(ask(OWN[0], MINE, confidence=0.5))
        await until(lambda: asyncio.sleep(0, priced.calls == 1))
        await erase(client)
        priced.hold.set()
        answered = await asked
        await settled(client, parts)
        await parts.erasing.look()
        found = await rows(parts)

        assert answered["predicted_class"] == "rose"
        assert saying(found, [answered["id"], *digests(OWN), "orchidee"]) == []
        assert [len(found[each]) for each in ("results", "reviews", "answers", "ledger")] == [
            *(0, 0, 0, 1)
        ]
        assert min(await money(parts)) > 0

    async def test_accepted_for_later(self, client, parts, priced, ask, inbox, tmp_path):
        priced.hold.clear()
        await ask(OWN[0], MINE | LATER, callback_url=inbox.url("/back"))
        await until(lambda: asyncio.sleep(0, priced.calls == 1))
        await erase(client)
        priced.hold.set()
        await until(lambda: asyncio.sleep(0, len(parts.running) == 0))
        await parts.tallies.roll()
        await parts.books._sum()
        await parts.erasing.look()

        assert saying(await rows(parts), [*digests(OWN), "orchidee"]) == []
        assert inbox.posts == []

    async def test_a_batch_under_way(self, client, parts, priced, tmp_path):
        """It ends, and is not found any more; what was asked of it was paid, and is not kept. What
        reviewers would have seen of it nobody needs: it goes with the sweep."""
        priced.hold.clear()
        files = [(f"blossom-{n}.jpg", each) for n, each in enumerate(OWN)]
        batch = await create(client, *files, headers=MINE, provider="priced")
        await until(lambda: asyncio.sleep(0, priced.calls > 0))
        await erase(client)
        gone = await client.get(f"/batches/{batch['id']}", headers=MINE)
        priced.hold.set()
        await until(lambda: asyncio.sleep(0, not parts.runner._shards))
        await parts.books._book_unstored(older_than_s=0)
        await parts.books._sum()
        await parts.erasing.look()
        await parts.retention.sweep(now=datetime.now(UTC) + timedelta(hours=3))

        assert is_problem(gone, 404, "batch-not-found")
        assert saying(await rows(parts), [batch["id"], "blossom", "orchidee", *digests(OWN)]) == []
        assert blobs(tmp_path) == {}

    async def test_what_is_asked_afterwards_is_kept(self, client, parts, ask):
        await erase(client)
        answered = await ask(OWN[0], MINE)
        await parts.erasing.look()

        found = await client.get(f"/results/{answered['id']}", headers=MINE)
        assert found.status_code == 200


async def test_a_killed_one_is_gone_on_with(settings, monkeypatch):
    """By the next start, to the same end."""
    monkeypatch.setattr("app.storage.erasures.AT_ONCE", 2)
    async with build_parts(settings) as parts:
        ids = [await store(parts, minute, caller="orchidee") for minute in range(5)]
        stored = parts.erasing._stored
        some_results = stored.some_results

        async def killed(erasure):
            await some_results(erasure)
            raise asyncio.CancelledError

        monkeypatch.setattr(stored, "some_results", killed)
        with pytest.raises(asyncio.CancelledError):
            await parts.erasing.caller("orchidee", By("boss", "req-1"))
        left = saying(await rows(parts), ids)
    async with build_parts(settings) as parts:
        await parts.erasing.look()
        (entry,) = await parts.audit.page(AuditFilter(action="caller.erased"), limit=10)
        found = await rows(parts)

    assert len(left) == 3
    assert saying(found, [*ids, "orchidee"]) == []
    assert (entry.actor, entry.request_id, entry.subject) == ("boss", "req-1", "orchidee")
    assert entry.change["after"]["results"] == 5


async def test_the_hourly_sweep_gets_not_ahead_of_it(client, parts, inbox, ask, tmp_path):
    """It takes batches that are half gone; those of an erasure left more than their rows."""
    ids = await lived(client, inbox, ask, MINE, [SHARED, *OWN])
    await settled(client, parts)
    await parts.erasing._stored.begin("orchidee", By("boss", None), datetime.now(UTC))
    await parts.retention.sweep(now=datetime.now(UTC) + timedelta(days=400))
    await parts.erasing.look()
    await parts.tallies.roll()
    await parts.retention.sweep()

    assert saying(await rows(parts), [*WORDS, *ids, *digests(OWN)]) == []


async def test_an_example_outlives_its_result_and_not_its_caller(client, parts, inbox, ask):
    """What a reviewer said of a picture, whose result went by its age."""
    given = {"file": ("examples.zip", _archive(rose=jpeg(seed=50)))}
    await client.post("/domains/flowers/examples", files=given, headers=BOSS)
    await lived(client, inbox, ask, MINE, [SHARED, *OWN])
    await settled(client, parts)
    await parts.from_reviews.look()
    listed = (await client.get("/results", headers=MINE)).json()["results"]
    ids, later = [each["id"] for each in listed], datetime.now(UTC) + timedelta(days=1)
    await RetentionRepository(parts.database).delete_results(ids, later)
    before = await rows(parts)
    await erase(client)
    after = await rows(parts)

    assert saying({"examples": before["examples"]}, digests(OWN)) != []
    assert saying({"examples": after["examples"]}, digests(OWN)) == []


async def test_the_money_of_all_that_were_erased_is_nobodys(client, ask):
    await ask(OWN[0], MINE)
    await erase(client)
    refused = await client.delete("/callers/erased/data", headers=BOSS)

    assert is_problem(refused, 422, "invalid-request")


async def test_only_operators_erase_a_caller(client):
    """Whoever could erase what was spent could spend it again."""
    for name in ("orchidee", "press"):
        refused = await client.delete(f"/callers/{name}/data", headers=MINE)
        assert is_problem(refused, 403, "not-allowed")
    assert (await erase(client, "nobody"))["erased"] == {}


async def test_at_a_shell(settings, monkeypatch):
    async with build_parts(settings) as parts:
        first, second = [await store(parts, minute, caller="orchidee") for minute in range(2)]
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("BLOBS_URL", settings.blobs_url)
    one = await run("erase", "--result", first)
    all_ = json.loads(await run("erase", "--caller", "orchidee", "--json"))
    async with build_parts(settings) as parts:
        found = await rows(parts)

    assert one == "erased: 1 results\n"
    assert all_["erased"]["results"] == 1
    assert saying(found, [first, second, "orchidee"]) == []
