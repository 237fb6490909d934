"""What comes over one connection, against a real server: bounded, whatever it is."""

import asyncio
import hashlib
from contextlib import asynccontextmanager, suppress
from itertools import repeat

import pytest

from tests.process import Process

CHUNKED = (
    b"PUT /domains/x HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


@asynccontextmanager
async def connected(service):
    host, port = service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def answered(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Status and request id of the next answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    await reader.readexactly(int(lines["content-length"]))
    return int(head.split()[1]), lines.get("x-request-id", "")


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"2\r\n{}\r\n0\r\nx-a: ", b"a" * 100_000),
        (b"2\r\n{}\r\n0\r\n", b"x-a: a\r\n" * 10_000),
        (b"2;a=", b"a" * 100_000),
    ],
    ids=["a trailer without end", "trailers without end", "a chunk's extension without end"],
)
async def test_what_is_no_body_is_cut_off_in_a_chunked_one_too(start_service, start, more):
    """The server must not keep, nor wait for, what never becomes a request."""
    async with connected(start_service()) as (reader, writer):
        writer.write(CHUNKED + start)
        await writer.drain()
        with suppress(ConnectionError):
            for each in repeat(more, 100):
                writer.write(each)
                await writer.drain()
                await asyncio.sleep(0)
        async with asyncio.timeout(10):
            with suppress(ConnectionError):
                await reader.read()  # to the connection's end
        assert reader.at_eof() or reader.exception()


async def test_a_trailer_is_no_header(start_service):
    """A proxy that takes a header out takes it out of the head only."""
    digest = hashlib.sha256(b"boss").hexdigest()
    async with connected(start_service(API_KEYS=f"boss:{digest}:admin")) as (reader, writer):
        key = b"x-api-key: boss\r\n"
        with_key = CHUNKED.replace(b"\r\n\r\n", b"\r\n" + key + b"\r\n")
        writer.write(CHUNKED + b"2\r\n{}\r\n0\r\n" + key + b"\r\n")
        writer.write(with_key + b"2\r\n{}\r\n0\r\nx-a: a\r\n\r\n")

        assert [(await answered(reader))[0] for _ in range(2)] == [401, 422]


async def test_requests_that_do_not_wait_for_answers_get_them_all_in_turn(start_service):
    """A megabyte of them, more than is read at once: with and without a body, with trailers."""
    wanted = []
    async with connected(start_service()) as (reader, writer):
        for number in range(500):
            ask, status = (b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n", 200)
            if number % 2:
                ask, status = CHUNKED + b"2\r\n{}\r\n0\r\nx-b: b\r\n\r\n", 422
            own = f"\r\nx-request-id: n{number}\r\nx-a: {'a' * 2_000}\r\n\r\n".encode()
            writer.write(ask.replace(b"\r\n\r\n", own, 1))
            wanted.append((status, f"n{number}"))

        assert [await answered(reader) for _ in wanted] == wanted


async def test_no_more_requests_are_read_than_are_answered(start_service):
    """But for what one read brings: however fast they come, they must not pile up."""
    service = start_service()
    process = Process(service.process.pid)
    async with connected(service) as (reader, writer):

        async def flood() -> None:
            while True:
                writer.write(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n" * 1_000)
                await writer.drain()

        before = process.megabytes("VmRSS")
        flooding = asyncio.create_task(flood())
        for _ in range(100):
            assert (await answered(reader))[0] == 200
        grown = process.megabytes("VmRSS") - before
        flooding.cancel()

    assert grown < 100
