"""Which picture ended a process, and what follows: real processes, real files."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import pytest
from structlog.testing import capture_logs

from app.errors import ImageHarmful
from app.images import HeavyPicture, Journal
from app.images.journal import REFUSED_FOR_S, SUSPECTED_FOR_S
from tests.conftest import ROOT

ONE, TWO, THREE = (digit * 64 for digit in "1ab")

ZYGOTE = """
import json, os, signal, sys
from contextlib import ExitStack
from pathlib import Path
from app.images import Journal
for line in sys.stdin:
    folder, *processes = json.loads(line)
    children = []
    for digests in processes:
        begun, begin = os.pipe()
        if not (child := os.fork()):
            os.dup2(2, 1)  # what it logs
            journal, stack = Journal(Path(folder), lines=4), ExitStack()
            for digest in digests:
                stack.enter_context(journal.decoding(digest))
            os.write(begin, b"begun")
            signal.pause()
        os.read(begun, 5)
        children.append(child)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    print("ended", flush=True)
"""
"""Has imported all, and forks for each process that is to be killed."""


@pytest.fixture(scope="module")
def zygote():
    with subprocess.Popen(
        [sys.executable, "-c", ZYGOTE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data" / "decoding"


@pytest.fixture
def end(folder, zygote):
    """Processes are killed while each decodes pictures of its own."""

    def end(*processes: list[str]) -> None:
        zygote.stdin.write(json.dumps([str(folder), *processes]) + "\n")
        zygote.stdin.flush()
        assert zygote.stdout.readline() == "ended\n"

    return end


@pytest.fixture
def begin(folder):
    """A new process's journal."""
    with ExitStack() as stack:

        def begin(folder=folder) -> Journal:
            journal = Journal(folder, lines=4)
            stack.callback(journal.close)
            return journal

        yield begin


def decode(journal: Journal, digest: str) -> None:
    with journal.decoding(digest):
        pass


def refused(journal: Journal, digest: str) -> bool:
    try:
        decode(journal, digest)
    except ImageHarmful:
        return True
    return False


def aged(folder, digest: str, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(folder / digest, (then, then))


def test_the_second_process_that_it_ends_alone_is_the_last(end, begin, folder):
    """What was decoded beside it once is not suspected for long."""
    end([ONE, TWO])
    first = begin()
    decode(first, TWO)
    first.close()
    end([ONE])
    end([ONE])
    journal = begin()

    assert refused(journal, ONE)
    assert not refused(journal, TWO)
    assert [each.name for each in folder.glob("?" * 64)] == [ONE]


def test_who_was_not_alone_is_not_convicted(end, begin):
    """Though it was there each time: nobody knows which of them it was."""
    end([ONE, TWO], [ONE, TWO], [ONE, TWO])
    *_, journal = [begin() for _ in range(4)]

    assert not any(refused(journal, each) for each in (ONE, TWO))


def test_the_same_picture_twice_is_one(end, begin):
    end([ONE, ONE])
    end([ONE])

    assert refused(begin(), ONE)


def test_who_survives_it_clears_it(end, begin, folder):
    """Its next death is its first."""
    end([ONE])
    journal = begin()
    decode(journal, ONE)
    journal.close()
    end([ONE])

    assert not refused(begin(), ONE)
    assert not [*folder.glob("?" * 64)]


def test_what_was_not_decoded_is_not_cleared(end, begin, folder):
    """It is only looked at when its turn comes among the heavy ones."""
    end([ONE])
    with pytest.raises(HeavyPicture), begin().decoding(ONE):
        raise HeavyPicture

    assert [*folder.glob(ONE)]


def test_after_a_day_it_is_tried_once_more(end, begin, folder):
    """If it ends a process again, it is refused again."""
    end([ONE])
    end([ONE])
    begin().close()
    aged(folder, ONE, REFUSED_FOR_S - 60)
    early = refused(begin(), ONE)
    aged(folder, ONE, REFUSED_FOR_S + 60)
    end([ONE])
    again = refused(begin(), ONE)
    aged(folder, ONE, REFUSED_FOR_S + 60)
    late = refused(begin(), ONE)

    assert (early, again, late) == (True, True, False)


def test_whoever_deletes_its_file_has_it_tried_again(end, begin, folder):
    """Without a new start."""
    end([ONE])
    end([ONE])
    journal = begin()
    before = refused(journal, ONE)
    (folder / ONE).unlink()

    assert (before, refused(journal, ONE)) == (True, False)


def test_what_never_comes_again_is_forgotten(end, begin, folder):
    end([ONE])
    begin().close()
    aged(folder, ONE, SUSPECTED_FOR_S + 60)
    begin()

    assert not [*folder.glob(ONE)]


def test_each_process_has_a_file(begin, folder):
    """What the living decode makes nobody a suspect; a clean end leaves nothing."""
    first, second = begin(), begin()
    with first.decoding(ONE), second.decoding(TWO):
        third = begin()
        during = [(folder / name).read_text().split() for name in "012"]
    for each in (first, second, third):
        each.close()
    again = begin()
    files = {each.name for each in folder.iterdir()}

    assert during == [[ONE], [TWO], []]
    assert not refused(again, ONE)
    assert files == {name + end for name in "012" for end in ("", ".lock")}


def test_a_file_that_is_none_helps_nobody(end, begin, folder):
    """Who is refused is refused, though nothing new can be noted."""
    end([ONE])
    end([ONE])
    begin().close()
    (folder / "0").unlink()
    (folder / "0").mkdir()

    assert refused(begin(), ONE)


def test_a_file_that_makes_no_sense_accuses_nobody(begin, folder):
    folder.mkdir(parents=True)
    (folder / "0").write_bytes(b"\xff\0" * 1000 + b"a" * 63 + b"\n")
    journal = begin()
    decode(journal, ONE)

    assert not [*folder.glob("?" * 64)]
    assert set((folder / "0").read_text()) == {" ", "\n"}


def test_what_is_suspected_is_told(end, begin):
    end([ONE])
    with capture_logs() as first:
        begin().close()
    end([ONE])
    with capture_logs() as second:
        begin()

    told = [(each["log_level"], each["sha256"]) for each in (*first, *second)]
    assert told == [("warning", ONE), ("error", ONE)]


def test_where_nothing_can_be_written_pictures_are_decoded_all_the_same(begin, tmp_path):
    """It is said; in memory nothing is to be written."""
    (tmp_path / "file").touch()
    with capture_logs() as logs:
        journals = [begin(tmp_path / "file"), begin(None)]

    assert not any(refused(each, ONE) for each in journals)
    assert [each["log_level"] for each in logs] == ["warning"]


def test_a_suspect_is_decoded_alone(end, begin):
    """It waits for those under way, and those that come later wait for it."""
    end([ONE])
    journal = begin()
    events = []
    go_on = {digest: threading.Event() for digest in (ONE, TWO, THREE)}

    def decodes(digest: str) -> None:
        with journal.decoding(digest):
            events.append(("begins", digest))
            go_on[digest].wait(10)
            events.append(("ends", digest))

    threads = []
    for digest in (TWO, ONE, THREE):
        threads.append(threading.Thread(target=decodes, args=[digest]))
        threads[-1].start()
        time.sleep(0.05)
    for digest in (THREE, TWO, ONE):
        go_on[digest].set()
        time.sleep(0.05)
    for each in threads:
        each.join(10)

    assert events == [(what, who) for who in (TWO, ONE, THREE) for what in ("begins", "ends")]


def test_others_are_decoded_at_the_same_time(begin):
    journal = begin()
    both = threading.Barrier(2, timeout=10)

    def decodes(digest: str) -> None:
        with journal.decoding(digest):
            both.wait()

    other = threading.Thread(target=decodes, args=[ONE])
    other.start()
    decodes(TWO)
    other.join(10)

    assert not both.broken
