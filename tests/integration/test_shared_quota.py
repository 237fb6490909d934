"""One quota for several processes, in a real Redis."""

import asyncio
import subprocess
import sys
import time
from bisect import bisect_left
from pathlib import Path

from app.traffic.link import RedisLink
from app.traffic.shared import SharedQuota
from app.traffic.window import Window
from app.usage import QuotaReport
from tests.integration.quota_worker import GUARD_S, PER_MINUTE, SPAN_S, TOLD
from tests.service import ROOT

LIMIT = PER_MINUTE * SPAN_S / 60
RATE = LIMIT / (SPAN_S + GUARD_S)
"""A second: what is to be reached."""

LATE = 0.02
"""Of the limit: processes that the machine keeps waiting write late when they took something. That
nothing is exceeded by Redis' own clock is proven in tests/property/test_shared_quota.py."""


class Workers:
    """Processes that take what they can, each for so many seconds."""

    def __init__(self, folder: Path, url: str, *, seconds: float, count: int = 4) -> None:
        self._files = [folder / f"{number}.txt" for number in range(count)]
        self.processes = []
        for file in self._files:
            with file.open("w") as out:
                command = ["-m", "tests.integration.quota_worker", url, str(seconds)]
                self.processes.append(
                    subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=out)
                )
        while not all(each.stat().st_size for each in self._files):
            time.sleep(0.05)
        self.began_at = time.time()

    def finish(self) -> list[tuple[float, bool, int]]:
        """When something was taken, whether through Redis, and for how many processes."""
        for each in self.processes:
            each.wait()
        lines = [line for each in self._files for line in each.read_text().splitlines(True)]
        taken = (line.split() for line in lines if line.endswith("\n"))
        return sorted((float(at), through == "1", int(count)) for at, through, count in taken)


def most_in_a_span(taken: list[tuple[float, bool, int]]) -> int:
    times = [at for at, _, _ in taken]
    return max(bisect_left(times, at + SPAN_S) - each for each, at in enumerate(times))


def per_second(taken, start: float, end: float) -> float:
    return sum(start <= at < end for at, _, _ in taken) / (end - start)


def test_four_processes_spend_it_in_full_and_never_more(redis, tmp_path):
    workers = Workers(tmp_path, redis.url, seconds=4)
    taken = workers.finish()

    assert most_in_a_span(taken) <= LIMIT * (1 + LATE)
    assert per_second(taken, workers.began_at + 0.5, workers.began_at + 3) >= 0.85 * RATE
    assert taken[-1][2] == 4


def test_what_a_killed_process_had_is_the_others_after_a_window(redis, tmp_path):
    workers = Workers(tmp_path, redis.url, seconds=5)
    workers.processes[0].kill()
    killed_at = time.time()
    taken = workers.finish()

    assert most_in_a_span(taken) <= LIMIT * (1 + LATE)
    assert per_second(taken, killed_at + 1.5, killed_at + 3.5) >= 0.85 * RATE


def test_without_redis_each_keeps_to_its_share_and_comes_back(redis, tmp_path):
    """Killed and started again, empty: nothing is exceeded on the way, not even then."""
    workers = Workers(tmp_path, redis.url, seconds=11)
    time.sleep(3)  # by then each knows of all
    redis.kill()
    killed_at = time.time()
    time.sleep(3)
    redis.start()
    taken = workers.finish()

    alone = [each for each in taken if not each[1]]
    assert {each[2] for each in alone} == {4}
    assert 0.8 * RATE <= per_second(alone, killed_at + 1.5, killed_at + 2.9) <= 1.15 * RATE
    assert per_second(taken, killed_at + 6, killed_at + 7.5) >= 0.85 * RATE
    assert all(through for at, through, _ in taken if at > killed_at + 5)
    assert most_in_a_span(taken) <= LIMIT * (1 + LATE)


async def test_an_answer_that_tells_nothing_leaves_the_start_careful(redis):
    """What was assumed of the time before is given up when the service says what is left."""
    clock = asyncio.get_running_loop().time
    window = Window(PER_MINUTE, span_s=10, now=clock())
    link = RedisLink(redis.url)
    await link.open()
    quota = SharedQuota({"requests": window}, link, "test")

    async def taken() -> int:
        for count in range(500):
            got = await quota.try_reserve(clock(), {"requests": 1}, burst_s=10)
            if isinstance(got, float):
                return count
        return 500

    first = await quota.try_reserve(clock(), {"requests": 1}, burst_s=10)
    quota.learn(clock(), QuotaReport(), first)
    untold = await taken()
    quota.learn(clock(), TOLD, first)
    told = await taken()
    await link.aclose()

    assert untold < 100
    assert told > 300
