"""A process that takes as much of a shared quota as it can, and writes down when it did."""

import asyncio
import sys
import time
from datetime import UTC, datetime

import structlog

from app.traffic.board import Board
from app.traffic.link import RedisLink
from app.traffic.shared import SharedQuota
from app.traffic.window import Window
from app.usage import QuotaReport

PER_MINUTE, SPAN_S, GUARD_S = 6_000, 1.0, 0.2

TOLD = QuotaReport(limit_requests=PER_MINUTE, remaining_requests=PER_MINUTE)


async def main(url: str, seconds: float) -> None:
    clock = asyncio.get_running_loop().time
    window = Window(PER_MINUTE, span_s=SPAN_S, guard_s=GUARD_S, now=clock())
    link = RedisLink(url)
    board = Board(list, link, clock=lambda: datetime.now(UTC))
    await link.open()
    board.start()
    quota = SharedQuota({"requests": window}, link, "test")
    end = clock() + seconds
    while clock() < end:
        got = await quota.try_reserve(clock(), {"requests": 1}, burst_s=0.2)
        if isinstance(got, float):
            await asyncio.sleep(min(got, end) - clock())
            continue
        sys.stdout.write(f"{time.time():.6f} {int(link.connected)} {link.processes}\n")
        sys.stdout.flush()
        quota.learn(clock(), TOLD, got)
    await board.aclose()
    await link.aclose()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
