"""Batches over HTTP: taken in, worked through, controlled, and gone on with after a crash."""

import asyncio
import csv
import io
import json
import signal
import time
import zipfile
from datetime import timedelta

import httpx2
import pytest

from app.batches import BatchOptions
from app.batches.rows import Row
from app.batches.runner import IN_FLIGHT_HERE
from app.errors import InvalidRequest, ProviderRejected, ProviderUnavailable, StorageUnavailable
from app.parts import build_parts
from app.providers import registry
from app.settings_groups import ApiSettings
from app.usage import TokenUsage
from tests.clock import Clock
from tests.fakes import ENTRY_POINTS, after, answer, spent_with
from tests.integration.calls import api_keys, is_problem, until
from tests.loopback import loopback, reply
from tests.pictures import encoded, photograph

pytestmark = pytest.mark.each_database

USAGE = TokenUsage(100, 2)


def picture(number: int) -> bytes:
    """Each another one."""
    return encoded(photograph(64 + number % 64, 48 + number // 64), "JPEG")


def archive(packing: int = zipfile.ZIP_STORED, **pictures: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", packing) as packed:
        for name, data in pictures.items():
            packed.writestr(name, data)
    return held.getvalue()


def pictures(count: int, first: int = 0) -> bytes:
    return archive(**{f"{number}.jpg": picture(number) for number in range(first, first + count)})


async def create(client, *files: tuple[str, bytes], headers=None, **options) -> dict:
    fields = {"domain": "flowers", "provider": "fake", **options}
    texts = [(name, (None, text)) for name, text in fields.items()]
    created = await client.post(
        "/batches", files=[*texts, *(("file", each) for each in files)], headers=headers
    )
    assert created.status_code == 202, created.text
    assert created.headers["location"] == f"/batches/{created.json()['id']}"
    return created.json()


async def report(client, batch_id: str) -> dict:
    return (await client.get(f"/batches/{batch_id}")).json()


async def ended(client, batch_id: str, *, seconds: float = 20) -> dict:
    async def over() -> bool:
        return (await report(client, batch_id))["status"] in ("completed", "failed", "cancelled")

    await until(over, seconds=seconds)
    return await report(client, batch_id)


async def items(client, batch_id: str) -> list[dict]:
    found, after = [], -1
    while after is not None:
        query = {"after": after, "limit": 7}
        page = (await client.get(f"/batches/{batch_id}/items", params=query)).json()
        found += page["items"]
        after = page["next_after"]
    return found


async def errors(client, batch_id: str) -> list[tuple[str, str]]:
    told = (await client.get(f"/batches/{batch_id}/errors")).json()["errors"]
    return [(each["place"], each["reason"]) for each in told]


@pytest.fixture
async def web():
    served = {f"/{number}.jpg": reply(picture(number)) for number in range(3)}
    served["/missing.jpg"] = reply(b"", status="404 Not Found")
    async with loopback(served) as place:
        yield place


@pytest.fixture
def settings(settings, web):
    return settings.model_copy(update={"egress_allow": (web.place,)})


class TestTakingIn:
    async def test_an_archive_is_worked_through(self, client, fake):
        """More than a shard of it; each picture is asked about once, and has its row."""
        fake.script.extend(answer(usage=USAGE) for _ in range(120))
        created = await create(client, ("a.zip", pictures(120)), name="March")
        done = await ended(client, created["id"])
        found = await items(client, created["id"])

        assert created["status"] == "queued"
        assert (done["status"], done["name"], done["total"]) == ("completed", "March", 120)
        assert done["counts"] == {"waiting": 0, "accepted": 120, "needs_review": 0, "failed": 0}
        assert (done["prompt_tokens"], done["completion_tokens"]) == (12_000, 240)
        assert [each["number"] for each in found] == [*range(120)]
        assert [each["item_id"] for each in found] == [f"{number}.jpg" for number in range(120)]
        assert fake.calls == len({each["result"]["id"] for each in found}) == 120

    async def test_text_that_no_database_holds(self, client, web):
        """A NUL in an item's name is told under errors, in a file's name it is replaced."""
        listed = [{"id": "a\0b", "image_url": web.url("/0.jpg")}, {"image_url": web.url("/1.jpg")}]
        body = {"domain": "flowers", "provider": "fake", "items": listed}
        of_list = (await client.post("/batches", json=body)).json()
        parts = [
            (b'name="domain"', b"flowers"),
            (b'name="file"; filename="a\0b.jpg"', picture(1)),
            (b'name="file"; filename="c\0d.txt"', b"no picture"),
        ]
        form = b"".join(
            b"--x\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % each for each in parts
        )
        kind = {"content-type": "multipart/form-data; boundary=x"}
        sent = await client.post("/batches", content=form + b"--x--\r\n", headers=kind)
        of_files = sent.json()
        await ended(client, of_files["id"])
        named = await client.post("/batches", json={**body, "name": "a\0b"})
        late = {**body, "deadline": "9999-12-31T23:59:59-14:00"}

        assert await errors(client, of_list["id"]) == [("item 0", "holds a NUL")]
        assert [each["item_id"] for each in await items(client, of_files["id"])] == ["a\ufffdb.jpg"]
        assert await errors(client, of_files["id"]) == [("c\ufffdd.txt", "is no picture")]
        assert is_problem(named, 422, "invalid-request")
        assert is_problem(await client.post("/batches", json=late), 422, "invalid-request")

    async def test_a_number_that_no_database_holds(self, client):
        created = await create(client, ("a.zip", pictures(1)))
        place = f"/batches/{created['id']}/items"
        refused = await client.get(place, params={"after": 2**70})

        assert is_problem(refused, 422, "invalid-request")

    async def test_an_answer_that_can_not_be_stored_takes_no_other_with_it(
        self, client, parts, monkeypatch
    ):
        """That item fails; the rest is stored, and nothing is asked again and again."""
        (fake,) = await parts.providers.get("fake")
        commit = parts.runner._shard_rows.commit

        async def picky(batch, shard, attempt, outcomes, beside=None):
            if any(each.item.number == 3 and each.result.predicted_class for each in outcomes):
                raise InvalidRequest("It holds a text that can't be stored.")
            return await commit(batch, shard, attempt, outcomes, beside)

        monkeypatch.setattr(parts.runner._shard_rows, "commit", picky)
        created = await create(client, ("a.zip", pictures(12)))
        over = await ended(client, created["id"])
        failed = (await items(client, created["id"]))[3]["result"]

        assert over["counts"] == {"waiting": 0, "accepted": 11, "needs_review": 0, "failed": 1}
        assert failed["error"]["type"] == "/problems/internal-error"
        assert fake.calls == 12

    async def test_one_that_was_taken_for_left_behind_ends(self, client, parts, monkeypatch):
        """While it is received, its rows go: it is refused, and nothing of it is left."""
        add = parts.receiving.add

        async def late(batch_id, some, bad):
            await parts.receiving.forget_unreceived(older_than_s=0)
            await add(batch_id, some, bad)

        monkeypatch.setattr(parts.receiving, "add", late)
        refused = await client.post(
            "/batches", data={"domain": "flowers"}, files={"file": ("a.zip", pictures(2))}
        )

        assert is_problem(refused, 404, "batch-not-found")
        assert (await client.get("/batches")).json()["batches"] == []

    async def test_a_list_of_urls(self, client, web):
        body = {
            "domain": "flowers",
            "provider": "fake",
            "items": [
                {"id": "first", "image_url": web.url("/0.jpg"), "expected": "rose"},
                {"image_url": web.url("/1.jpg"), "metadata": {"order": "A-17"}},
                {"image_url": web.url("/missing.jpg")},
                {"image_url": "ftp://example.org/a.jpg"},
                {"image_url": web.url("/2.jpg"), "expected": "cat"},
                {"id": "no picture"},
            ],
        }
        created = (await client.post("/batches", json=body)).json()
        done = await ended(client, created["id"])
        first, second, third = await items(client, created["id"])

        assert (done["total"], done["bad_rows"], done["counts"]["failed"]) == (3, 3, 1)
        assert (first["item_id"], first["result"]["expected"]) == ("first", "rose")
        assert (second["item_id"], second["result"]["metadata"]) == ("1", {"order": "A-17"})
        assert third["result"]["error"]["type"] == "/problems/url-unreachable"
        assert done["accuracy"] == 0.0
        assert await errors(client, created["id"]) == [
            ("item 3", "image_url: is no http or https URL"),
            ("item 4", "expected: 'cat' is no class of the domain"),
            ("item 5", "image_url: Field required"),
        ]

    async def test_manifests_and_pictures_in_one_form(self, client, web):
        csv = f"id,image_url,truth,metadata.shop,other\na,{web.url('/0.jpg')},dandelion,north,x\n\n"
        lines = [{"id": "b", "image_url": web.url("/1.jpg")}, {"id": "c", "image_url": 7}]
        created = await create(
            client,
            ("list.csv", csv.encode()),
            ("list.jsonl", b"\n".join(json.dumps(each).encode() for each in lines) + b"\n{"),
            ("d.jpg", picture(9)),
            expected_column="truth",
        )
        done = await ended(client, created["id"])
        found = await items(client, created["id"])

        assert [each["item_id"] for each in found] == ["a", "b", "d.jpg"]
        assert found[0]["result"]["metadata"] == {"shop": "north"}
        assert (done["accuracy"], done["bad_rows"]) == (1.0, 2)
        places = [place for place, _ in await errors(client, created["id"])]
        assert places == ["line 2", "line 3"]

    async def test_a_folder_names_the_class(self, client):
        names = ("rose/1.jpg", "others/2.jpg", "none/3.jpg")
        packed = archive(**{name: picture(place) for place, name in enumerate(names)})
        created = await create(client, ("a.zip", packed))
        await ended(client, created["id"])
        found = await items(client, created["id"])

        assert [each["result"]["expected"] for each in found] == ["rose", None, "none"]

    async def test_what_is_there_twice_is_asked_once(self, client, fake):
        """Also in another shard, and each has its own row."""
        many = {f"{number}.jpg": picture(number % 3) for number in range(210)}
        created = await create(client, ("a.zip", archive(**many)))
        done = await ended(client, created["id"])
        found = await items(client, created["id"])

        assert (done["status"], done["duplicates"], fake.calls) == ("completed", 207, 3)
        assert [each["same_as"] for each in found[3:6]] == [0, 1, 2]
        assert len({each["result"]["id"] for each in found}) == 210
        assert sum(each["result"]["cached"] for each in found) == 207

    @pytest.mark.parametrize(
        ("name", "data", "status"),
        [
            ("a.zip", b"PK\x03\x04 and no more", 422),
            ("a.zip", archive(**{"../a.jpg": b"x"}), 422),
            ("a.zip", archive(**{"b.zip": archive(a=b"x")}), 422),
            ("a.zip", archive(**{"b.jpg": archive(a=b"x")}), 422),
            ("a.zip", archive(zipfile.ZIP_BZIP2, **{"a.jpg": bytes(1_000_000)}), 422),
            ("a.zip", archive(zipfile.ZIP_LZMA, **{"a.jpg": bytes(1_000_000)}), 422),
            ("a.csv", b"image_url\n" + b'"\n",' * 100_000, 422),
            ("a.jsonl", b'{"image_url":"https://x/","metadata":{"a":"\\ud800"}}', 422),
            ("a.jsonl", b'{"image_url":"https://x/\\u0000"}', 422),
            ("a.csv", b"id,url\n1,x\n", 422),
            ("a.jsonl", b"", 422),
            ("a.tar.gz", b"\x1f\x8b", 422),
            ("a.jpg", b"no picture", 422),
            ("a.csv", b"image_url\n\xff\xfe\n", 422),
        ],
    )
    async def test_what_is_broken_or_hostile_is_refused_whole(self, client, name, data, status):
        refused = await client.post(
            "/batches", data={"domain": "flowers"}, files={"file": (name, data)}
        )
        listed = (await client.get("/batches")).json()["batches"]

        assert refused.status_code == status, refused.text
        assert listed == []

    @pytest.mark.parametrize("as_json", [False, True])
    async def test_the_same_key_makes_one_batch(self, client, fake, web, as_json):
        """Of the same request; another one with it is refused, and one that failed frees it."""

        async def send(number: int):
            if as_json:
                items = [{"image_url": web.url(f"/{number}.jpg")}] if number else []
                body = {"domain": "flowers", "provider": "fake", "items": items}
                return await client.post("/batches", json=body, headers={"idempotency-key": "k"})
            files = {"file": ("a.jpg", picture(number) if number else b"")}
            fields = {"domain": "flowers", "provider": "fake"}
            key = {"idempotency-key": "k"}
            return await client.post("/batches", data=fields, files=files, headers=key)

        refused, first, second, other = [await send(number) for number in (0, 1, 1, 2)]
        await ended(client, first.json()["id"])

        assert refused.status_code == 422
        assert first.status_code == second.status_code == 202
        assert first.json()["id"] == second.json()["id"]
        assert is_problem(other, 422, "idempotency-key-reused")
        assert fake.calls == 1

    async def test_json_is_the_same_however_it_is_spelled(self, client, fake, web):
        """Orders of keys, and spaces, say nothing."""
        item = f'{{"image_url": "{web.url("/1.jpg")}"}}'
        texts = (
            f'{{"domain":"flowers","provider":"fake","items":[{item}]}}',
            f'{{ "items": [{item}], "provider": "fake", "domain": "flowers" }}',
        )
        headers = {"idempotency-key": "k", "content-type": "application/json"}
        first, second = [
            await client.post("/batches", content=each, headers=headers) for each in texts
        ]

        assert first.status_code == second.status_code == 202
        assert first.json()["id"] == second.json()["id"]

    async def test_a_file_that_was_not_chosen_is_none(self, client):
        """Swagger UI sends it empty; there is neither a picture nor a source then."""
        files = [("file", (None, "")), ("domain", (None, "flowers"))]
        refused = await client.post("/batches", files=files)

        assert is_problem(refused, 422, "invalid-request")
        assert refused.json()["detail"] == "Either file or source is needed."

    async def test_a_file_that_is_text_is_refused_beside_one_that_is_none(self, client):
        """As `-F file=b.jpg` sends it, without the `@`."""
        files = [("file", ("a.jpg", picture(1))), ("file", (None, "b.jpg"))]
        refused = await client.post("/batches", data={"domain": "flowers"}, files=files)

        assert is_problem(refused, 422, "invalid-request")
        assert (await client.get("/batches")).json()["batches"] == []

    async def test_an_unknown_domain_is_told(self, client):
        refused = await client.post(
            "/batches", json={"domain": "flours", "items": [{"image_url": "https://x/y"}]}
        )

        assert is_problem(refused, 404, "domain-not-found")


class TestControl:
    async def test_a_paused_batch_takes_no_more_and_goes_on(self, client, fake):
        """What is under way is answered; nothing is asked twice."""
        fake.hold.clear()
        created = await create(client, ("a.zip", pictures(150)))
        await until(lambda: asyncio.sleep(0, fake.calls == IN_FLIGHT_HERE))
        paused = (await client.post(f"/batches/{created['id']}/pause")).json()
        fake.hold.set()

        async def settled() -> bool:
            return (await report(client, created["id"]))["done"] == IN_FLIGHT_HERE

        await until(settled)
        await asyncio.sleep(0.2)
        still = await report(client, created["id"])
        await client.post(f"/batches/{created['id']}/resume")
        done = await ended(client, created["id"])

        assert (paused["status"], still["status"], still["done"]) == (
            "paused",
            "paused",
            IN_FLIGHT_HERE,
        )
        assert (done["status"], done["done"], fake.calls) == ("completed", 150, 150)

    async def test_a_cancelled_batch_keeps_what_it_has(self, client, fake):
        fake.hold.clear()
        created = await create(client, ("a.zip", pictures(80)))
        await until(lambda: asyncio.sleep(0, fake.calls == IN_FLIGHT_HERE))
        await client.post(f"/batches/{created['id']}/cancel")
        fake.hold.set()

        async def settled() -> bool:
            return (await report(client, created["id"]))["done"] == IN_FLIGHT_HERE

        await until(settled)
        over = await report(client, created["id"])
        again = await client.post(f"/batches/{created['id']}/resume")

        assert (over["status"], over["counts"]["waiting"]) == ("cancelled", 80 - IN_FLIGHT_HERE)
        assert is_problem(again, 409, "batch-over")

    async def test_the_first_failure_can_end_it(self, client, fake):
        fake.script.append(ProviderRejected("401"))
        created = await create(client, ("a.zip", pictures(200)), on_error="stop")
        over = await ended(client, created["id"])

        assert (over["status"], over["reason"]) == ("failed", "An item failed.")
        assert over["done"] < 200

    async def test_what_failed_is_classified_again(self, client, fake):
        """Those only, duplicates of them too; what is good stays."""
        fake.script.extend([ProviderRejected("401")] * 3)
        many = {f"{number}.jpg": picture(number % 120) for number in range(130)}
        created = await create(client, ("a.zip", archive(**many)))
        first = await ended(client, created["id"])
        kept = {each["number"]: each["result"]["id"] for each in await items(client, created["id"])}
        await client.post(f"/batches/{created['id']}/retry")
        second = await ended(client, created["id"])
        rows = (await client.get("/results", params={"limit": 1000})).json()["results"]
        again = {
            each["number"]: each["result"]["id"] for each in await items(client, created["id"])
        }

        assert 3 <= first["counts"]["failed"] <= 6
        assert second["counts"] == {"waiting": 0, "accepted": 130, "needs_review": 0, "failed": 0}
        assert fake.calls == 123
        assert len(rows) == 130
        assert sum(kept[number] != again[number] for number in kept) == first["counts"]["failed"]

    async def test_where_nothing_failed_there_is_nothing_to_retry(self, client, fake):
        """Nor where the failed results were deleted: it is over as before."""
        fake.script.append(ProviderRejected("401"))
        created = await create(client, ("a.zip", pictures(3)))
        await ended(client, created["id"])
        failed = [
            each["result"]["id"]
            for each in await items(client, created["id"])
            if each["result"]["status"] == "failed"
        ]
        await client.delete(f"/results/{failed[0]}")
        again = await client.post(f"/batches/{created['id']}/retry")
        over = await ended(client, created["id"])

        assert again.status_code == 200
        assert (over["status"], over["done"], fake.calls) == ("completed", 3, 3)

    async def test_a_failure_that_is_deleted_stops_nothing_more(self, client, fake):
        """Nor does it end what is left, though its number is still counted."""
        fake.script.append(ProviderRejected("401"))
        created = await create(client, ("a.zip", pictures(120)), on_error="stop")
        await ended(client, created["id"])
        (failed,) = [
            each["result"]["id"]
            for each in await items(client, created["id"])
            if each["result"] and each["result"]["status"] == "failed"
        ]
        await client.delete(f"/results/{failed}")
        await client.post(f"/batches/{created['id']}/retry")
        over = await ended(client, created["id"])

        assert (over["status"], over["done"]) == ("completed", 120)

    async def test_a_domain_that_goes_away_ends_it(self, client, fake):
        """What is under way is answered and kept."""
        trees = {"name": "trees", "classes": ["oak", "fir"]}
        assert (await client.post("/domains", json=trees)).status_code == 201
        fake.hold.clear()
        created = await create(client, ("a.zip", pictures(30)), domain="trees")
        await until(lambda: asyncio.sleep(0, fake.calls == IN_FLIGHT_HERE))
        await client.delete("/domains/trees")
        fake.hold.set()
        over = await ended(client, created["id"])

        assert (over["status"], over["done"]) == ("failed", IN_FLIGHT_HERE)
        assert "trees" in over["reason"]

    async def test_a_pause_does_not_count_as_work(self, client, fake):
        """Neither for the rate nor for what is left."""
        fake.script.extend([answer()] * IN_FLIGHT_HERE + [after(0.05, answer())] * 100)
        began = time.monotonic()
        created = await create(client, ("a.zip", pictures(100)))
        await until(lambda: asyncio.sleep(0, fake.calls > IN_FLIGHT_HERE))
        await client.post(f"/batches/{created['id']}/pause")
        await asyncio.sleep(2)
        await client.post(f"/batches/{created['id']}/resume")
        over = await ended(client, created["id"])
        took_s = time.monotonic() - began

        assert over["done"] == 100
        assert over["done"] / over["per_second"] < took_s - 2

    async def test_the_lane_is_changed_while_it_runs(self, client, fake):
        fake.hold.clear()
        created = await create(client, ("a.zip", pictures(3)))
        changed = await client.patch(f"/batches/{created['id']}", json={"lane": "interactive"})
        fake.hold.set()

        assert (created["lane"], changed.json()["lane"]) == ("batch", "interactive")
        assert (await ended(client, created["id"]))["status"] == "completed"

    async def test_batches_are_listed_the_newest_first(self, client):
        ids = [(await create(client, ("a.jpg", picture(n))))["id"] for n in range(3)]
        first = (await client.get("/batches", params={"limit": 2})).json()
        rest = (await client.get("/batches", params={"cursor": first["next_cursor"]})).json()

        assert [each["id"] for each in first["batches"]] == ids[:0:-1]
        assert [each["id"] for each in rest["batches"]] == ids[:1]

    async def test_a_page_that_holds_the_last_items_names_no_next_one(self, client):
        listed = (
            "list.csv",
            b"image_url\nftp://a/1.jpg\nhttps://a/1.jpg\nftp://a/2.jpg\nhttps://a/2.jpg\n",
        )
        batch = await create(client, listed)

        for what in ("items", "errors"):
            some, whole = [
                (await client.get(f"/batches/{batch['id']}/{what}", params={"limit": limit})).json()
                for limit in (1, 2)
            ]
            assert (len(some[what]), some["next_after"]) == (1, some[what][0]["number"])
            assert (len(whole[what]), whole["next_after"]) == (2, None)

    async def test_only_those_of_some_statuses(self, client):
        done, other = [await create(client, ("a.jpg", picture(n))) for n in range(2)]
        for each in (done, other):
            await ended(client, each["id"])

        async def found(*statuses: str) -> set[str]:
            page = await client.get("/batches", params={"status": statuses})
            return {each["id"] for each in page.json()["batches"]}

        assert await found("completed", "failed") == {done["id"], other["id"]}
        assert await found("running") == set()
        refused = await client.get("/batches", params={"status": "new"})
        assert is_problem(refused, 422, "invalid-request")


class TestDeadline:
    async def test_it_ends_one_that_is_at_work(self, client, fake, clock):
        fake.hold.clear()
        created = await create(client, ("a.zip", pictures(150)), deadline=_soon(clock))
        await until(lambda: asyncio.sleep(0, fake.calls == IN_FLIGHT_HERE))
        clock.ahead(seconds=60)
        fake.hold.set()

        async def settled() -> bool:
            return (await report(client, created["id"]))["done"] == IN_FLIGHT_HERE

        await until(settled)
        over = await ended(client, created["id"])

        assert (over["status"], over["reason"]) == ("failed", "The deadline is over.")
        assert over["done"] == fake.calls == IN_FLIGHT_HERE

    async def test_it_ends_one_that_is_paused(self, client, parts, fake, clock):
        fake.hold.clear()
        created = await create(client, ("a.zip", pictures(30)), deadline=_soon(clock))
        await client.post(f"/batches/{created['id']}/pause")
        clock.ahead(seconds=60)
        fake.hold.set()
        await parts.runner.look()
        over = await report(client, created["id"])

        assert (over["status"], over["reason"]) == ("failed", "The deadline is over.")


def _soon(clock: Clock) -> str:
    return (clock.now + timedelta(seconds=60)).isoformat()


class TestProviderDown:
    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"api": ApiSettings(max_retries=0)})

    async def test_it_is_asked_again_later(self, client, fake):
        """No item fails for that; what it cost is counted."""
        down = spent_with(ProviderUnavailable("503"), USAGE)
        fake.script.extend([down, down, answer(usage=USAGE), answer(usage=USAGE)])
        created = await create(client, ("a.zip", pictures(2)))
        done = await ended(client, created["id"])

        assert done["counts"]["accepted"] == 2
        assert (fake.calls, done["prompt_tokens"]) == (4, 400)


class TestDatabaseLocked:
    async def test_what_was_answered_is_stored_when_it_can_be(
        self, client, parts, fake, monkeypatch
    ):
        """Nothing is asked again for that."""
        write, failures = parts.database.write, []

        async def sometimes(unit):
            if fake.calls and len(failures) < 3:
                failures.append(unit)
                raise StorageUnavailable("The database can't be written.")
            return await write(unit)

        monkeypatch.setattr(parts.database, "write", sometimes)
        created = await create(client, ("a.zip", pictures(5)))
        done = await ended(client, created["id"])

        assert done["counts"]["accepted"] == 5
        assert fake.calls == 5
        assert len(failures) == 3


class TestStopping:
    async def test_a_provider_that_does_not_answer_does_not_hold_it_up(self, settings, monkeypatch):
        """What is under way is given its time, and no more."""
        monkeypatch.setattr(registry, "OWN", (*registry.OWN, *ENTRY_POINTS))
        limited = settings.model_copy(update={"drain_timeout": 0.2})
        async with build_parts(limited, serving=True) as parts:
            (fake,) = await parts.providers.get("fake")
            fake.hold.clear()
            rows = [Row("a", picture(1))]
            options = BatchOptions(domain="flowers", provider="fake")
            batch = await parts.taking_in.take(options, rows, caller="test")
            await parts.runner.go_on(batch.id)
            await until(lambda: asyncio.sleep(0, fake.calls == 1))
            began = time.monotonic()

        assert time.monotonic() - began < 3


class TestDuplicates:
    async def test_many_are_found_quickly(self, parts):
        """Not by looking through all of them for each."""
        rows = [Row(f"{n}", f"https://x.example/{n % 10_000}") for n in range(20_000)]
        began = time.monotonic()
        batch = await parts.taking_in.take(BatchOptions(domain="flowers"), rows, caller="test")

        assert time.monotonic() - began < 3
        assert (batch.total, batch.duplicates) == (20_000, 0)


class TestReading:
    async def test_export_has_a_row_an_item(self, client, fake):
        """In all formats the same, also while items wait; what a spreadsheet would run is text."""
        packed = archive(**{"=1+1.jpg": picture(0), "b.jpg": picture(1), "c.jpg": picture(1)})
        created = await create(client, ("a.zip", packed))
        await ended(client, created["id"])
        place = f"/batches/{created['id']}/export"
        whole = (await client.get(place)).json()
        lines = (await client.get(place, params={"format": "jsonl"})).text
        cells = (await client.get(place, params={"format": "csv"})).text
        first, second, third = csv.DictReader(io.StringIO(cells))

        assert [each["item_id"] for each in whole] == ["=1+1.jpg", "b.jpg", "c.jpg"]
        assert [json.loads(line) for line in lines.splitlines()] == whole
        assert next(iter(whole[0])) == next(iter(first)) == "item_id"
        assert (first["item_id"], second["item_id"]) == ("'=1+1.jpg", "b.jpg")
        assert second["predicted_class"] == whole[1]["predicted_class"] == "dandelion"
        assert second["image.sha256"] == third["image.sha256"] == whole[1]["image"]["sha256"]
        assert json.loads(second["probabilities"]) == whole[1]["probabilities"]

    async def test_bad_rows_come_as_lines_and_cells(self, client, monkeypatch):
        """All of them, however many there are; what a spreadsheet would run is text."""
        monkeypatch.setattr("app.storage.batches.AT_ONCE", 100)
        bad = b"\n".join([b"{}"] * 250)
        files = [("a.jsonl", bad), ("=1+1.png", b"no picture"), ("a.jpg", picture(0))]
        created = await create(client, *files)
        place = f"/batches/{created['id']}/errors"
        page = (await client.get(place, params={"limit": 1_000})).json()
        lines = await client.get(place, params={"format": "jsonl"})
        cells = await client.get(place, params={"format": "csv", "limit": 5})
        rows = [*csv.reader(io.StringIO(cells.text))]

        assert [json.loads(line) for line in lines.text.splitlines()] == page["errors"]
        assert len(page["errors"]) == 251
        assert rows[0] == ["number", "place", "reason"]
        assert rows[1] == ["0", "line 1", "image_url: Field required"]
        assert rows[251:] == [["250", "'=1+1.png", "is no picture"]]
        assert lines.headers["content-type"] == "application/x-ndjson"
        assert f'filename="{created["id"]}-errors.csv"' in cells.headers["content-disposition"]

    async def test_where_no_row_is_bad_nothing_comes(self, client):
        created = await create(client, ("a.jpg", picture(0)))
        place = f"/batches/{created['id']}/errors"
        told = [
            (await client.get(place, params={"format": each})).text for each in ("jsonl", "csv")
        ]

        assert told == ["", "number,place,reason\r\n"]

    async def test_export_tells_of_those_that_wait(self, client, fake):
        fake.hold.clear()
        created = await create(client, ("a.zip", pictures(2)))
        waiting = (await client.get(f"/batches/{created['id']}/export")).json()
        fake.hold.set()

        known = [{key: value for key, value in each.items() if value} for each in waiting]
        assert known == [
            {"item_id": "0.jpg", "status": "pending"},
            {"item_id": "1.jpg", "status": "pending"},
        ]

    async def test_events_tell_how_far_it_is(self, client, fake):
        """To the end; who comes back with the last id is told only what is new."""
        created = await create(client, ("a.zip", pictures(30)))
        place = f"/batches/{created['id']}/events"
        told = (await client.get(place)).text
        last = [line for line in told.splitlines() if line.startswith("id: ")][-1][4:]
        again = (await client.get(place, headers={"last-event-id": last})).text
        data = [json.loads(line[6:]) for line in told.splitlines() if line.startswith("data: ")]

        assert data[-1]["status"] == "completed"
        assert [each["done"] for each in data] == sorted(each["done"] for each in data)
        assert again == ""

    async def test_who_follows_is_kept_alive(self, client, fake, monkeypatch):
        monkeypatch.setattr("app.api.batches.KEPT_ALIVE_S", 0.5)
        fake.hold.clear()
        created = await create(client, ("a.zip", pictures(2)))
        told = asyncio.create_task(client.get(f"/batches/{created['id']}/events"))
        await asyncio.sleep(1.6)
        fake.hold.set()

        assert ": still there" in (await told).text


class TestCallers:
    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"api_keys": api_keys(shop=False, other=False)})

    async def test_others_batches_do_not_exist(self, client):
        shop, other = ({"x-api-key": name} for name in ("shop", "other"))
        created = await create(client, ("a.jpg", picture(1)), headers=shop)
        place = f"/batches/{created['id']}"

        assert (await client.get(place, headers=shop)).status_code == 200
        for path in ("", "/items", "/errors", "/export", "/events"):
            refused = await client.get(f"{place}{path}", headers=other)
            assert is_problem(refused, 404, "batch-not-found")
        cancelled = await client.post(f"{place}/cancel", headers=other)
        assert cancelled.status_code == 404
        assert (await client.get("/batches", headers=other)).json()["batches"] == []


class TestCrash:
    async def test_what_a_killed_process_left_is_gone_on_with(self, start_service):
        """Every item has one result in the end, and what was done stays done."""
        service = start_service(PROVIDER="local", CACHE_TTL="0")
        many = pictures(300)
        async with httpx2.AsyncClient(timeout=60) as http:
            created = await http.post(
                f"{service.url}/batches",
                data={"domain": "flowers"},
                files={"file": ("a.zip", many)},
            )
            place = created.headers["location"]
            seen = [0]
            for _ in range(3):

                async def further() -> bool:
                    done = (await http.get(f"{service.url}{place}")).json()["done"]
                    return done > seen[-1] + 20 or done == 300

                await until(further, seconds=30)
                seen.append((await http.get(f"{service.url}{place}")).json()["done"])
                service.stop(signal.SIGKILL)
                service.start()
                after = (await http.get(f"{service.url}{place}")).json()["done"]
                assert after >= seen[-1]

            async def over() -> bool:
                return (await http.get(f"{service.url}{place}")).json()["status"] == "completed"

            await until(over, seconds=60)
            done = (await http.get(f"{service.url}{place}")).json()
            page = await http.get(f"{service.url}{place}/items", params={"limit": 1000})
            rows = await http.get(f"{service.url}/results", params={"limit": 1000})

        ids = [each["result"]["id"] for each in page.json()["items"]]
        assert done["done"] == 300
        assert sorted(ids) == sorted(each["id"] for each in rows.json()["results"])
        assert len(set(ids)) == 300

    async def test_a_stopped_service_hands_over_cleanly(self, start_service):
        """SIGTERM: what is under way is answered and kept; the next start goes on."""
        service = start_service(PROVIDER="local", CACHE_TTL="0")
        async with httpx2.AsyncClient(timeout=60) as http:
            created = await http.post(
                f"{service.url}/batches",
                data={"domain": "flowers"},
                files={"file": ("a.zip", pictures(200))},
            )
            place = created.headers["location"]
            status = await asyncio.to_thread(service.stop)
            service.start()

            async def over() -> bool:
                return (await http.get(f"{service.url}{place}")).json()["done"] == 200

            await until(over, seconds=60)

        assert status == 0


async def test_twins_of_an_item_that_was_erased_are_tried_again(client, fake):
    """What failed for both is asked for the one that is left, and the batch ends."""
    fake.script.append(ProviderRejected("401"))
    created = await create(client, ("1.jpg", picture(1)), ("2.jpg", picture(1)))
    await ended(client, created["id"])
    first, _ = await items(client, created["id"])
    await client.delete(f"/results/{first['result']['id']}")
    await client.post(f"/batches/{created['id']}/retry")
    done = await ended(client, created["id"])
    _, second = await items(client, created["id"])

    assert done["status"] == "completed"
    assert second["result"]["status"] == "accepted"
