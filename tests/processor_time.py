"""Measures processor time independently of other load on the machine."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

QUIET_S = 0.0035
"""Duration of `_reference` on a quiet machine of the kind for which the tests' bounds were set."""


@dataclass
class Taken:
    s: float = 0.0
    """Processor time of this process, scaled to that of a quiet machine."""


@contextmanager
def processor_time() -> Iterator[Taken]:
    """A shared machine may run at half its speed for minutes: the measurement is divided by how
    much slower a reference task is just before and just after."""
    taken, before_s = Taken(), _reference_s()
    began = time.process_time()
    yield taken
    measured = time.process_time() - began
    slowness = (before_s + _reference_s()) / 2 / QUIET_S
    taken.s = measured / max(1.0, slowness)


def _reference_s() -> float:
    took_s = []
    for _ in range(3):
        began = time.process_time()
        _reference()
        took_s.append(time.process_time() - began)
    return min(took_s)


def _reference() -> int:
    rows = [{"number": each, "text": str(each), "list": [each] * 5} for each in range(2000)]
    return sum(len(each["list"]) + each["number"] for each in json.loads(json.dumps(rows)))
