"""Batches from S3 and from Azure's blobs, over HTTP, through their own libraries."""

import asyncio

import pytest

from app.settings_groups import BatchSettings
from app.storage import AllowedUris, ObjectStore
from tests.integration.calls import is_problem
from tests.integration.test_batches import archive, ended, items, picture
from tests.integration.test_storage_batches import send, taken
from tests.object_stores import azure, environment, s3


@pytest.fixture(params=["s3", "abfs", "az"])
def place(request):
    return f"{request.param}://bucket"


@pytest.fixture
def store(place, monkeypatch):
    """The place is served on this machine; credentials come from the environment."""
    pytest.importorskip("s3fs" if place.startswith("s3") else "adlfs")
    with s3() if place.startswith("s3") else azure() as served:
        for name, value in environment(served.url).items():
            monkeypatch.setenv(name, value)
        yield served


@pytest.fixture
def settings(settings, place, store):
    return settings.model_copy(update={"batch": BatchSettings(sources=(f"{place}/in/",))})


async def test_a_folder_is_worked_through(client, fake, place, store):
    """Names are taken as they are; what only stands for a folder is none."""
    store.held |= {
        "in/": b"",
        "in/rose/": b"",
        "in/rose/a b+c&d é.jpg": picture(1),
        "in/rose/50%.jpg": picture(2),
        "in/deep/er/c": picture(3),
        "out/d.jpg": picture(4),
        "in.jpg": picture(5),
    }
    done = await taken(client, f"{place}/in/")
    found = {each["item_id"]: each["result"] for each in await items(client, done["id"])}

    assert (done["counts"]["accepted"], done["bad_rows"]) == (3, 0)
    assert {name: result["expected"] for name, result in found.items()} == {
        "rose/a b+c&d é.jpg": "rose",
        "rose/50%.jpg": "rose",
        "deep/er/c": None,
    }
    assert not any("secret" in path for _, path, _ in store.asked)


async def test_lists_archives_and_pictures(client, fake, place, store):
    store.held |= {
        "in/a.jpg": picture(1),
        "in/list.csv": f"image_url\n{place}/in/a.jpg\n{place}/in/gone.jpg\n".encode(),
        "in/a.zip": archive(**{"rose/1.jpg": picture(2), "2.jpg": picture(3)}),
    }
    totals = {}
    for name in ("a.jpg", "list.csv", "a.zip", "", "../"):
        answer = await send(client, f"{place}/in/{name}")
        if answer.status_code == 202:
            done = await ended(client, answer.json()["id"])
            totals[name] = (done["counts"]["accepted"], done["counts"]["failed"], done["bad_rows"])

    assert totals == {"a.jpg": (1, 0, 0), "list.csv": (1, 1, 0), "a.zip": (2, 0, 0), "": (1, 0, 2)}


async def test_what_is_not_there_is_told(client, place, store):
    assert is_problem(await send(client, f"{place}/in/none.jpg"), 422, "url-unreachable")
    assert is_problem(await send(client, f"{place}/in/none.csv"), 422, "url-unreachable")
    assert is_problem(await send(client, f"{place}/in/none/"), 422, "invalid-request")


async def test_size_is_asked_first_and_reading_bounded(client, fake, place, store, parts):
    limit = parts.settings.max_upload
    store.held |= {"in/large.jpg": bytes(limit + 1), "in/a.jpg": picture(1)}
    large = await taken(client, f"{place}/in/large.jpg")
    good = await taken(client, f"{place}/in/a.jpg")
    reads = [asked for asked in store.asked if asked[0] == "GET" and asked[1].endswith(".jpg")]

    assert (large["counts"]["failed"], good["counts"]["accepted"]) == (1, 1)
    assert [(path[-5:], wanted) for _, path, wanted in reads] == [("a.jpg", f"bytes=0-{limit}")]


async def test_a_store_that_refuses_is_asked_again(client, fake, place, store, monkeypatch):
    """Its client's own errors are no mistakes of this service."""
    monkeypatch.setattr("app.batches.shard.FIRST_PAUSE_S", 0.05)
    store.held["in/a.jpg"] = picture(1)
    store.held["in/list.csv"] = f"image_url\n{place}/in/a.jpg\n".encode()
    store.down = 403
    refused = await send(client, f"{place}/in/")
    store.down, store.down_for = None, ("a.jpg", 2)
    done = await taken(client, f"{place}/in/list.csv")

    assert is_problem(refused, 503, "storage-unavailable")
    assert (done["status"], done["counts"]["accepted"]) == ("completed", 1)
    assert len([path for _, path, _ in store.asked if path.endswith("a.jpg")]) == 4


async def test_a_large_folder_is_listed_page_by_page(place, store):
    """What was not asked for yet is not fetched; each name comes once."""
    store.held |= {f"in/{number:04}.jpg": b"x" for number in range(2_500)}
    objects = ObjectStore(AllowedUris.parse([f"{place}/"]))
    below = objects.below(f"{place}/in/")
    first = await asyncio.to_thread(next, below)
    asked = len(store.asked)
    rest = await asyncio.to_thread(list, below)
    await objects.close()

    assert (asked, len(store.asked)) == (1, 3)
    assert [each.name for each in [first, *rest]] == [f"{n:04}.jpg" for n in range(2_500)]
