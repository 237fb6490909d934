"""Thousands of damaged pictures against a real server: `python -m tests.security.fuzz`.

Real photographs in every kind that is taken, with bytes changed, removed, put in or swapped, by a
seed. No answer may be a 5xx, the server must stay, and its memory must not grow.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import httpx2
from PIL import Image

from tests.conftest import PHOTOGRAPHS
from tests.pictures import encoded
from tests.process import Process
from tests.service import RunningService

AT_ONCE = 8
WARM_UP_SHARE = 0.2
MOST_GROWTH = 1.10
KINDS = {
    "JPEG": ({"quality": 80}, {"quality": 80, "progressive": True}),
    "PNG": ({}, {"compress_level": 1}),
    "WEBP": ({"quality": 80}, {"lossless": True}),
    "GIF": ({},),
    "BMP": ({},),
    "TIFF": ({}, {"compression": "tiff_lzw"}, {"compression": "jpeg"}),
}


def originals() -> list[bytes]:
    found = []
    for path in sorted(PHOTOGRAPHS.glob("*.jpg")):
        with Image.open(path) as file:
            picture = file.convert("RGB")
        found.append(path.read_bytes())
        picture.thumbnail((240, 240))
        for kind, ways in KINDS.items():
            for options in ways:
                found.append(encoded(picture, kind, **options))
    return found


def damaged(seed: int) -> Iterator[bytes]:
    """Without end, the same for the same seed."""
    dice = random.Random(seed)
    pictures = originals()
    while True:
        data = bytearray(dice.choice(pictures))
        for _ in range(dice.randint(1, 8)):
            _damage(data, dice)
        yield bytes(data)


def _damage(data: bytearray, dice: random.Random) -> None:
    # Half of it near the head, where sizes, counts and offsets stand.
    end = min(len(data), 256) if dice.random() < 0.5 else len(data)
    place, length = dice.randrange(max(1, end)), dice.randint(1, 16)
    match dice.randrange(6):
        case 0:
            data[place : place + length] = dice.randbytes(length)
        case 1:
            data[place : place + length] = b""
        case 2:
            data[place:place] = dice.randbytes(length)
        case 3:
            data[place : place + length] = bytes([dice.choice([0x00, 0xFF, 0x7F, 0x80])]) * length
        case 4:
            other = dice.randrange(max(1, len(data)))
            data[place : place + length] = data[other : other + length]
        case _:
            if dice.random() < 0.3:
                del data[place:]


async def fuzz(count: int, seed: int) -> list[str]:
    """Post them all; what was wrong, a line each."""
    pictures = islice(damaged(seed), count)
    verdicts: Counter[int] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        service = RunningService(Path(folder))
        process = Process(service.process.pid)
        memory: list[float] = []

        async def post_on(client: httpx2.AsyncClient) -> None:
            for data in pictures:
                answer = await client.post(
                    "/classify", data={"domain": "flowers"}, files={"file": ("a.jpg", data)}
                )
                verdicts[answer.status_code] += 1
                if answer.status_code not in (200, 422):
                    wrong.append(f"{answer.status_code}: {answer.text[:200]}")
                if sum(verdicts.values()) >= WARM_UP_SHARE * count:
                    memory.append(process.megabytes("VmRSS"))

        try:
            async with httpx2.AsyncClient(base_url=service.url, timeout=30) as client:
                await asyncio.gather(*(post_on(client) for _ in range(AT_ONCE)))
        except httpx2.HTTPError as error:
            wrong.append(f"the server is gone: {error!r}")
        finally:
            service.stop()
        wrong += [f"in the log: {line}" for line in odd_lines(service.log.read_text())[:20]]
    tenth = max(1, len(memory) // 10)
    first, last = (sum(each) / tenth for each in (memory[:tenth], memory[-tenth:]))
    print(f"{dict(verdicts)}, memory from {first:.0f} to {last:.0f} MB")
    if last > MOST_GROWTH * first:
        wrong.append(f"memory grew from {first:.0f} to {last:.0f} MB")
    return wrong


def odd_lines(log: str) -> list[str]:
    """Errors and crashes. What libtiff and libjpeg mutter on stderr by themselves is neither."""
    return [
        line
        for line in log.splitlines()
        if ("Traceback" in line or "Fatal" in line)
        or (line.startswith("{") and json.loads(line)["level"] in ("error", "critical"))
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    wrong = asyncio.run(fuzz(options.count, options.seed))
    for each in wrong:
        print(each)
    print(f"{options.count} pictures, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
