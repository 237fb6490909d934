"""The pool that pictures wait for."""

import asyncio
import threading

import pytest

from app.errors import Overloaded
from app.images import ImageWorkers


@pytest.fixture
def workers():
    workers = ImageWorkers(1, queue=2)
    yield workers
    workers.close()


async def test_more_pictures_than_may_wait_are_told_to_come_back(workers):
    """One is worked on and two wait; the fourth is refused; then there is room again."""
    gate = threading.Event()
    waiting = [asyncio.create_task(workers.take(gate.wait)) for _ in range(3)]
    await asyncio.sleep(0)

    with pytest.raises(Overloaded):
        await workers.take(int)
    gate.set()
    await asyncio.gather(*waiting)

    assert await workers.take(int) == 0


async def test_a_picture_that_was_taken_is_never_refused(workers):
    """What was paid with a decoding is not thrown away."""
    assert await asyncio.gather(*(workers.run(int, "7") for _ in range(20))) == [7] * 20


async def test_room_comes_back_after_an_error(workers):
    for _ in range(10):
        with pytest.raises(ValueError, match="invalid literal"):
            await workers.take(int, "seven")

    assert await workers.take(int, "7") == 7
