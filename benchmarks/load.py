"""A load generator with little overhead: raw HTTP/1.1 over persistent connections."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

BOUNDARY = "----picture"
DIGITS = 12
COMMENT = b"\xff\xfe" + (DIGITS + 2).to_bytes(2)
"""The header of a JPEG comment of this length."""


@dataclass
class Load:
    """Measurements of one round: seconds of each request, and of the round."""

    seconds: list[float] = field(default_factory=list)
    total_s: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.seconds) / self.total_s

    def percentile(self, share: float) -> float:
        """In milliseconds."""
        return percentile(self.seconds, share) * 1000


def percentile(values: Sequence[float], share: float) -> float:
    """The value that is not exceeded by `share` of them; 0 if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass(frozen=True)
class Upload:
    """A complete request containing a JPEG whose comment makes each one a different picture."""

    before: bytes
    after: bytes

    @classmethod
    def of(cls, picture: Path, port: int, *, domain: str, path: str = "/classify") -> "Upload":
        data = picture.read_bytes()
        form = (
            f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="domain"\r\n\r\n{domain}\r\n'
            f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="p.jpg"\r\n'
            "content-type: image/jpeg\r\n\r\n"
        ).encode()
        start = form + data[:2] + COMMENT
        rest = data[2:] + f"\r\n--{BOUNDARY}--\r\n".encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
            f"content-type: multipart/form-data; boundary={BOUNDARY}\r\n"
            f"content-length: {len(start) + DIGITS + len(rest)}\r\n\r\n"
        )
        return cls(head.encode() + start, rest)

    def numbered(self, number: int) -> bytes:
        return b"%b%0*d%b" % (self.before, DIGITS, number, self.after)


async def run_load(
    requests: Sequence[Upload],
    port: int,
    *,
    concurrency: int,
    duration_s: float,
    per_second: float | None = None,
) -> Load:
    """Keep `concurrency` requests in flight for `duration_s`, or send `per_second` at even
    intervals over that many connections. Any answer but 200 ends it.

    A request's time counts from when it was due, so that delays caused by slow answers are
    measured.
    """
    load, numbers = Load(), count(time.time_ns() % 10**9 * 1000)
    turns = count()
    began = time.perf_counter()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() - began < duration_s:
            turn = next(turns)
            due = time.perf_counter() if per_second is None else began + turn / per_second
            await asyncio.sleep(due - time.perf_counter())
            writer.write(requests[turn % len(requests)].numbered(next(numbers)))
            await _answer(reader)
            load.seconds.append(time.perf_counter() - due)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(concurrency)))
    load.total_s = time.perf_counter() - began
    return load


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(head.decode())
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return await reader.readexactly(int(line[15:]))
    raise RuntimeError("the answer has no content-length")
