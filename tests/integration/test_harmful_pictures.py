"""A picture whose decoding ends the process: it does so a few times, and not for ever."""

import asyncio
import signal
from contextlib import suppress

import httpx2
import pytest

from app.batches.runner import UNFINISHED
from tests.conftest import ROOT
from tests.integration.calls import PICTURE, until
from tests.integration.test_batches import picture, pictures
from tests.loopback import loopback, reply
from tests.pictures import jpeg

SIZE = (97, 61)
HARMFUL = jpeg(*SIZE)
"""No other picture here is of this size."""

DECODER = f"""
import os, signal
from PIL import ImageFile

load = ImageFile.ImageFile.load

def load_or_die(picture):
    if picture.size == {SIZE}:
        os.kill(os.getpid(), signal.SIGKILL)
    return load(picture)

ImageFile.ImageFile.load = load_or_die
"""
"""What a codec with a hole does, or the kernel when memory runs out."""

LATER = {"prefer": "respond-async"}
AT_URLS = 6


@pytest.fixture
async def web():
    """Pictures 500 and so on, and the harmful one."""
    pages = {f"/{number}.jpg": reply(picture(500 + number)) for number in range(AT_URLS)}
    async with loopback(pages | {"/harmful.jpg": reply(HARMFUL)}) as served:
        yield served


@pytest.fixture
def start_fragile(start_service, tmp_path, web):
    (tmp_path / "sitecustomize.py").write_text(DECODER)

    def start(**variables: str):
        return start_service(
            PYTHONPATH=f"{tmp_path}:{ROOT}",
            PROVIDER="local",
            EGRESS_ALLOW=web.place,
            **variables,
        )

    return start


async def accepted(service, web, name: str) -> str:
    """Its place."""
    body = {"domain": "flowers", "image_url": web.url(name)}
    async with httpx2.AsyncClient(base_url=service.url, timeout=20) as http:
        answer = await http.post("/classify", json=body, headers=LATER)
    return answer.headers["location"]


async def deaths(service, over) -> int:
    """How often it has to be started again until `over` holds."""
    count = 0
    while True:
        async with httpx2.AsyncClient(base_url=service.url, timeout=20) as http:
            with suppress(httpx2.TransportError):
                while service.process.poll() is None:
                    if await over(http):
                        return count
                    await asyncio.sleep(0.05)
        count += 1
        assert count < 10
        await asyncio.to_thread(service.process.wait, 10)
        with suppress(RuntimeError):  # it ended before it listened
            await asyncio.to_thread(service.start)


async def test_in_a_batch_and_among_accepted_ones(start_fragile, web):
    """It fails, and says why; all others are answered, once."""
    web.gate.clear()
    service = start_fragile(CACHE_TTL="0")
    names = ["/harmful.jpg", *(f"/{number}.jpg" for number in range(AT_URLS))]
    places = [await accepted(service, web, name) for name in names]
    packed = [*((f"{n}.jpg", picture(n)) for n in range(15)), ("harmful.jpg", HARMFUL)]
    files = [("file", each) for each in (*packed, ("more.zip", pictures(15, first=15)))]
    async with httpx2.AsyncClient(base_url=service.url, timeout=20) as http:
        with suppress(httpx2.TransportError):  # it may be over before it says that it took it
            await http.post("/batches", data={"domain": "flowers"}, files=files)
    web.gate.set()

    async def over(http) -> bool:
        (batch,) = (await http.get("/batches")).json()["batches"]
        waiting = [(await http.get(place)).json()["status"] == "pending" for place in places]
        return batch["status"] not in UNFINISHED and not any(waiting)

    count = await deaths(service, over)
    async with httpx2.AsyncClient(base_url=service.url, timeout=20) as http:
        (batch,) = (await http.get("/batches")).json()["batches"]
        place = f"/batches/{batch['id']}/items"
        items = (await http.get(place, params={"limit": 100})).json()["items"]
        results = (await http.get("/results", params={"limit": 100})).json()["results"]
        again = await http.post(
            "/classify", data={"domain": "flowers"}, files={"file": ("a.jpg", HARMFUL)}
        )

    assert 2 <= count <= 4
    assert batch["status"] == "completed"
    failed = {each["item_id"] for each in items if each["result"]["status"] == "failed"}
    assert failed == {"harmful.jpg"}
    assert len(results) == len(items) + len(places) == 31 + 7
    assert len({each["id"] for each in results}) == len(results)
    told = [each["error"]["type"] for each in results if each["error"]]
    assert told == ["/problems/image-harmful"] * 2
    assert (again.status_code, again.json()["type"]) == (422, "/problems/image-harmful")
    assert service.process.poll() is None


async def test_what_only_waits_is_never_given_up(start_fragile, web):
    """However often the process is killed meanwhile."""
    web.gate.clear()
    service = start_fragile()
    place = await accepted(service, web, "/0.jpg")
    for _ in range(7):
        asked = len(web.asked)
        await asyncio.to_thread(service.stop, signal.SIGKILL)
        await asyncio.to_thread(service.start)
        await until(lambda: len(web.asked) > asked)  # noqa: B023 - it is awaited here
    web.gate.set()
    async with httpx2.AsyncClient(base_url=service.url, timeout=20) as http:
        answered = (await http.get(place, params={"wait": 10})).json()

    assert answered["status"] in ("accepted", "needs_review")


async def test_whoever_sends_it_is_told(start_fragile):
    """At the third attempt at the latest; others are served as before."""
    service = start_fragile()
    told = None
    for _ in range(3):
        async with httpx2.AsyncClient(base_url=service.url, timeout=20) as http:
            with suppress(httpx2.TransportError):
                told = await http.post(
                    "/classify", data={"domain": "flowers"}, files={"file": ("a.jpg", HARMFUL)}
                )
                break
        await asyncio.to_thread(service.process.wait, 10)
        await asyncio.to_thread(service.start)
    async with httpx2.AsyncClient(base_url=service.url, timeout=20) as http:
        other = await http.post(
            "/classify", data={"domain": "flowers"}, files={"file": ("a.jpg", PICTURE)}
        )

    assert told is not None
    assert (told.status_code, told.json()["type"]) == (422, "/problems/image-harmful")
    assert other.status_code == 200
