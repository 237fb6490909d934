"""Batches of what lies in a store already: `source` is a storage URI."""

import json
import os
import time
import zipfile

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from app.errors import ConfigurationError
from app.parts import build_parts
from app.settings_groups import BatchSettings
from tests.integration.calls import is_problem
from tests.integration.test_batches import archive, ended, errors, items, picture
from tests.odd_files import ClientError, OddFiles


@pytest.fixture
def root(tmp_path):
    """What may be read, beside what may not."""
    for name in ("root", "root-2", "outside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "secret.jpg").write_bytes(picture(900))
    (tmp_path / "root" / "secret.jpg").unlink()
    return tmp_path / "root"


@pytest.fixture
def settings(settings, root):
    sources = (f"file://{root}/", "memory://shop/in", "odd://bucket")
    OddFiles.start()
    MemoryFileSystem.store.clear()
    return settings.model_copy(update={"batch": BatchSettings(sources=sources)})


async def send(client, source: str, **more):
    body = {"domain": "flowers", "provider": "fake", "source": source, **more}
    headers = {"content-type": "application/json"}
    return await client.post("/batches", content=json.dumps(body), headers=headers)


async def taken(client, source: str, **more) -> dict:
    created = await send(client, source, **more)
    assert created.status_code == 202, created.text
    return await ended(client, created.json()["id"])


def put(name: str, data: bytes) -> None:
    MemoryFileSystem().pipe_file(f"/shop/in/{name}", data)


class TestFolder:
    async def test_all_pictures_in_it_and_in_its_folders(self, client, fake, root):
        """A folder that is called like a class names the true one; the rest is told."""
        for name, data in {
            "a.jpg": picture(0),
            "rose/b c.jpg": picture(1),
            "rose/deep/c": picture(2),
            "rose/.hidden/d.jpg": picture(3),
            "Thumbs.db": b"x",
            "notes.txt": b"no picture",
            "empty.jpg": b"",
            "100%25.jpg": picture(4),
        }.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        done = await taken(client, f"file://{root}/")
        found = {each["item_id"]: each["result"] for each in await items(client, done["id"])}

        assert (done["status"], done["total"], fake.calls) == ("completed", 3, 3)
        assert {name: result["expected"] for name, result in found.items()} == {
            "a.jpg": None,
            "rose/b c.jpg": "rose",
            "rose/deep/c": None,
        }
        assert sorted(await errors(client, done["id"])) == [
            ("100%25.jpg", "The URI has a control character, `\\`, `?`, `::` or `%XX` in it."),
            ("empty.jpg", "is empty"),
            ("notes.txt", "is no picture, by its name"),
        ]

    @pytest.mark.parametrize("place", ["memory://shop/in", "odd://bucket/in"])
    async def test_of_any_file_system(self, client, fake, parts, place):
        """With or without a `/` at its end."""
        files = MemoryFileSystem() if place.startswith("memory") else OddFiles()
        for number in range(3):
            files.pipe_file(f"{place}/daisy/{number}.jpg", picture(number))
        files.pipe_file(f"{place}/one.jpg", picture(7))
        for source, count in ((place, 4), (f"{place}/daisy/", 3), (f"{place}/one.jpg", 1)):
            done = await taken(client, source)
            expected = [each["result"]["expected"] for each in await items(client, done["id"])]
            assert (done["status"], done["total"]) == ("completed", count)
            assert expected.count("daisy") == (0 if count == 1 else 3)

    async def test_links_may_not_lead_out(self, client, fake, root):
        """Those that stay inside are read; a folder that is a link is not gone into."""
        (root / "in").mkdir()
        (root / "real.jpg").write_bytes(picture(1))
        (root / "in" / "good.jpg").symlink_to(root / "real.jpg")
        (root / "in" / "bad.jpg").symlink_to("../../outside/secret.jpg")
        (root / "in" / "around").symlink_to("..")
        (root / "in" / "gone.jpg").symlink_to("nowhere")
        os.mkfifo(root / "in" / "pipe.jpg")
        done = await taken(client, f"file://{root}/in/")

        assert [each["item_id"] for each in await items(client, done["id"])] == ["good.jpg"]
        assert [name for name, _ in sorted(await errors(client, done["id"]))] == [
            *("around", "bad.jpg", "gone.jpg", "pipe.jpg")
        ]

    async def test_an_empty_one_is_refused(self, client, root):
        assert is_problem(await send(client, f"file://{root}/"), 422, "invalid-request")
        assert is_problem(await send(client, f"file://{root}/none/"), 422, "url-unreachable")


class TestListsAndArchives:
    @pytest.mark.parametrize("kind", ["csv", "jsonl"])
    async def test_a_list_names_storage_uris_too(self, client, fake, kind):
        """Only such as the list itself might be."""
        put("a.jpg", picture(1))
        rows = [
            {"id": "a", "image_url": "memory://shop/in/a.jpg", "expected": "rose"},
            {"id": "b", "image_url": "memory://shop/in/../out/b.jpg"},
            {"id": "c", "image_url": "memory://shop/out/c.jpg"},
            {"id": "d", "image_url": "ftp://shop/in/c.jpg"},
        ]
        text = "\n".join(map(json.dumps, rows))
        if kind == "csv":
            lines = [[each["id"], each["image_url"], each.get("expected", "")] for each in rows]
            text = "\n".join(",".join(each) for each in [["id", "image_url", "expected"], *lines])
        put(f"list.{kind}", text.encode())
        done = await taken(client, f"memory://shop/in/list.{kind}")
        (found,) = await items(client, done["id"])

        assert (found["item_id"], found["result"]["expected"]) == ("a", "rose")
        assert done["bad_rows"] == 3

    async def test_an_archive_is_read_as_if_it_was_sent(self, client, fake):
        put("a.zip", archive(**{"rose/1.jpg": picture(1), "2.jpg": picture(2)}))
        put("bad.zip", archive(**{"../1.jpg": picture(1)}))
        put("bomb.zip", archive(zipfile.ZIP_DEFLATED, **{"1.jpg": bytes(50_000_000)}))
        done = await taken(client, "memory://shop/in/a.zip")

        assert (done["status"], done["total"]) == ("completed", 2)
        for name in ("bad.zip", "bomb.zip"):
            refused = await send(client, f"memory://shop/in/{name}")
            assert is_problem(refused, 422, "archive-refused")

    async def test_one_that_is_too_large_is_not_read(self, client, parts):
        limit = parts.settings.batch.max_upload
        OddFiles.script[:] = []
        OddFiles().pipe_file("odd://bucket/a.csv", b"image_url\n")
        large = {"type": "file", "name": "/bucket/a.csv", "size": limit + 1}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(OddFiles, "info", lambda self, path: large)
            refused = await send(client, "odd://bucket/a.csv")

        assert is_problem(refused, 422, "url-too-large")
        assert OddFiles.read == []


HOSTILE = [
    *("", "a", "pictures/", "/etc/passwd", "://", "file://", "file:///", "memory://"),
    *("file://{root}/../outside/", "file://{root}/./", "file://{root}/a/../../outside/secret.jpg"),
    *("file://{root}/%2e%2e/outside/", "file://{root}/%2E%2E/outside/", "file://{root}%2f..%2f"),
    *("file://{root}//", "file:////{root}/", "file://{root}/a//b/", "file://{root}/..\\outside/"),
    *("file://{root}-2/", "file://{root}-2/secret.jpg", "file://{outside}/", "file:{root}/"),
    *("file://localhost{root}/", "file://user@host{root}/", "FILE://{root}/", "File://{root}/"),
    *(
        "local://{root}/",
        "{root}/",
        "file://{root}/\x00",
        "file://{root}/a\n",
        "file://{root}/\x7f",
    ),
    *("zip::file://{root}/a.zip", "zip://a.jpg::file://{root}/a.zip", "file://{root}/::zip"),
    *("simplecache::memory://shop/in/", "filecache::memory://shop/in/", "dir::memory://shop/in/"),
    *("memory://shop/in/::file:///etc/passwd", "memory://shop/in/?versionId=1", "s3://shop/in/"),
    *("memory://shop/", "memory://shop/inner/", "memory://shop/in2", "memory:///shop/in/"),
    *(
        "MEMORY://shop/in/",
        "memory://SHOP/in/",
        "memory://key:secret@shop/in/",
        " memory://shop/in",
    ),
    *("memory://shop@x/in/", "memory://shop:80/in/", "http://shop/in/", "https://shop/in/"),
    *(
        "data:image/png;base64,AAAA",
        "reference://",
        "github://o:r@/",
        "memory://shop/in/" + "a" * 3000,
    ),
    *(
        "memory://shop/in/\udc80",
        "memory://shop/in/../",
        "memory://./shop/in/",
        "\uff46ile://{root}/",
    ),
]


@pytest.fixture(params=HOSTILE)
def source(request, root):
    outside = root.parent / "outside"
    return request.param.replace("{root}", str(root)).replace("{outside}", str(outside))


class TestHostile:
    async def test_is_refused(self, client, root, source):
        """And nothing is left of it. Half a character is no JSON."""
        put("a.jpg", picture(1))
        refused = await send(client, source)
        listed = (await client.get("/batches")).json()["batches"]

        slug = "invalid-request" if "\udc80" in source else "url-refused"
        assert is_problem(refused, 422, slug)
        assert listed == []

    async def test_is_no_item_either(self, client, root, source):
        put("a.jpg", picture(1))
        rows = [{"image_url": source}, {"image_url": "memory://shop/in/a.jpg"}]
        put("list.jsonl", "\n".join(map(json.dumps, rows)).encode())
        done = await taken(client, "memory://shop/in/list.jsonl")

        is_web = source.startswith("http")
        assert (done["total"], done["bad_rows"]) == ((2, 0) if is_web else (1, 1))

    async def test_a_link_that_is_turned_while_it_waits_leads_nowhere(self, client, fake, root):
        """What was listed is looked at again when it is read."""
        fake.hold.clear()
        for number in range(40):
            (root / f"{number}.jpg").write_bytes(picture(number))
        created = (await send(client, f"file://{root}/")).json()
        waiting = (await client.get(f"/batches/{created['id']}")).json()["counts"]["waiting"]
        for number in range(40):
            (root / f"{number}.jpg").unlink()
            (root / f"{number}.jpg").symlink_to(root.parent / "outside" / "secret.jpg")
        fake.hold.set()
        await ended(client, created["id"])
        found = [each["result"] for each in await items(client, created["id"])]

        refused = [each for each in found if each["status"] == "failed"]
        assert waiting == 40
        assert len(refused) >= 40 - 16
        assert {each["error"]["type"] for each in refused} == {"/problems/url-refused"}

    async def test_a_link_to_a_folder_outside_is_no_source(self, client, root):
        (root / "out").symlink_to(root.parent / "outside")
        (root / "list.csv").symlink_to(root.parent / "outside" / "secret.jpg")

        for name in ("out", "out/", "out/secret.jpg", "list.csv"):
            assert is_problem(await send(client, f"file://{root}/{name}"), 422, "url-refused")


class TestReading:
    async def test_too_large_a_picture_is_not_read_whole(self, client, fake, parts):
        """Neither where the store says its size, nor where that is a lie."""
        limit = parts.settings.max_upload
        OddFiles().pipe_file("odd://bucket/a.jpg", picture(1) + bytes(limit))
        told = await taken(client, "odd://bucket/a.jpg")
        read = [*OddFiles.read]
        lie = {"type": "file", "name": "/bucket/a.jpg", "size": 10}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(OddFiles, "info", lambda self, path: lie)
            lied = await taken(client, "odd://bucket/a.jpg")

        for done in (told, lied):
            (found,) = await items(client, done["id"])
            assert found["result"]["error"]["type"] == "/problems/url-too-large"
        assert (read, OddFiles.read) == ([], [limit + 1])

    async def test_one_that_is_gone_is_that_items_failure(self, client, fake):
        for number in range(3):
            put(f"{number}.jpg", picture(number))
        put(
            "list.csv",
            b"image_url\n" + b"".join(b"memory://shop/in/%d.jpg\n" % n for n in range(4)),
        )
        done = await taken(client, "memory://shop/in/list.csv")
        *_, last = await items(client, done["id"])

        assert (done["status"], done["counts"]["accepted"]) == ("completed", 3)
        assert last["result"]["error"]["type"] == "/problems/url-unreachable"

    @pytest.mark.parametrize(
        "error", [ClientError("503"), TimeoutError(), PermissionError(13, "no"), ValueError("odd")]
    )
    async def test_a_store_that_is_down_is_asked_again(self, client, fake, monkeypatch, error):
        """No item fails for that; while a batch is taken in, the caller is told to come back."""
        monkeypatch.setattr("app.batches.shard.FIRST_PAUSE_S", 0.05)
        OddFiles().pipe_file("odd://bucket/a.jpg", picture(1))
        OddFiles.script[:] = [None, error, None, error]  # looked at; item: size; size, bytes
        done = await taken(client, "odd://bucket/a.jpg")
        OddFiles.script[:] = [error]
        refused = await send(client, "odd://bucket/")

        assert (done["status"], done["counts"]["accepted"]) == ("completed", 1)
        assert is_problem(refused, 503, "storage-unavailable")
        assert refused.headers["retry-after"]

    async def test_a_store_that_hangs_is_not_waited_for(self, client, fake, parts, monkeypatch):
        monkeypatch.setattr("app.storage.objects.PATIENCE_S", 0.05)
        monkeypatch.setattr("app.batches.shard.FIRST_PAUSE_S", 0.05)
        OddFiles().pipe_file("odd://bucket/a.jpg", picture(1))
        cat, slow = OddFiles.cat_file, [0.3]

        def once_slow(self, *arguments, **options):
            if slow:
                time.sleep(slow.pop())
            return cat(self, *arguments, **options)

        monkeypatch.setattr(OddFiles, "cat_file", once_slow)
        done = await taken(client, "odd://bucket/a.jpg")

        assert (done["status"], done["counts"]["accepted"], slow) == ("completed", 1, [])


class TestRequest:
    async def test_a_form_names_a_source(self, client, fake):
        put("a.jpg", picture(1))
        fields = {"domain": "flowers", "provider": "fake", "source": "memory://shop/in/"}
        sent = [(name, (None, text)) for name, text in fields.items()]
        created = await client.post("/batches", files=sent)
        both = await client.post("/batches", files=[*sent, ("file", ("a.jpg", picture(1)))])

        assert created.status_code == 202
        assert is_problem(both, 422, "invalid-request")
        assert (await ended(client, created.json()["id"]))["total"] == 1

    async def test_either_items_or_a_source(self, client):
        item = {"image_url": "https://example.org/a.jpg"}
        both = await send(client, "memory://shop/in/", items=[item])
        neither = await client.post("/batches", json={"domain": "flowers"})

        assert is_problem(both, 422, "invalid-request")
        assert is_problem(neither, 422, "invalid-request")

    async def test_the_same_key_makes_one_batch(self, client, fake):
        put("a.jpg", picture(1))
        body = {"domain": "flowers", "provider": "fake", "source": "memory://shop/in/"}
        key = {"idempotency-key": "k"}
        first, second = [await client.post("/batches", json=body, headers=key) for _ in range(2)]
        other = await client.post("/batches", json={**body, "source": "memory://x/"}, headers=key)

        assert first.json()["id"] == second.json()["id"]
        assert is_problem(other, 422, "idempotency-key-reused")


class TestOff:
    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"batch": BatchSettings()})

    async def test_nothing_is_taken_where_nothing_is_allowed(self, client, root):
        refused = await send(client, f"file://{root}/")

        assert is_problem(refused, 422, "url-refused")
        assert "BATCH_SOURCES" in refused.json()["detail"]


@pytest.mark.parametrize(
    "entry",
    ["pictures/", "file:///", "s3://", "http://x/y", "local:///data", "s3://a/../b", "nofs://x"],
)
async def test_a_wrong_prefix_is_told_at_start(settings, entry):
    wrong = settings.model_copy(update={"batch": BatchSettings(sources=(entry,))})

    with pytest.raises(ConfigurationError, match="BATCH_SOURCES: "):
        async with build_parts(wrong):
            pass
