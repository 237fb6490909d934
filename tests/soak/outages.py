"""What was out of order, and when."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path


@dataclass(slots=True)
class Outage:
    """
    Attributes:
        of: a process's name, or `postgres`, `redis`, `azure`, `receiver`.
        how: in one word.
        began, ended: Unix seconds.
    """

    of: str
    how: str
    began: float
    ended: float = inf


SETTLED_S = {"azure": 30.0, "postgres": 5.0, "redis": 10.0, "receiver": 0.0}
"""Time to settle after it is back: a breaker waits, connections are reopened."""

OF_A_PROCESS_S = 1.0


class Outages:
    def __init__(self) -> None:
        self.all: list[Outage] = []

    @contextmanager
    def note(self, of: str, how: str) -> Iterator[None]:
        outage = Outage(of, how, time.time())
        self.all.append(outage)
        try:
            yield
        finally:
            outage.ended = time.time()

    def write(self, path: Path) -> None:
        """Beside the logs: a line for each."""
        path.write_text("".join(f"{json.dumps(asdict(each))}\n" for each in self.all))

    def of(self, name: str, *how: str) -> list[Outage]:
        """`how`: none are all."""
        return [each for each in self.all if each.of == name and (not how or each.how in how)]

    def any(self, began: float, ended: float, *names: str, after_s: float | None = None) -> bool:
        """Whether one of them was out of order then, or had not been back for long enough. Without
        `names`: any of all."""
        return any(
            (not names or each.of in names)
            and each.began <= ended
            and began <= each.ended + _settled_s(each.of, after_s)
            for each in self.all
        )


def _settled_s(name: str, after_s: float | None) -> float:
    return SETTLED_S.get(name, OF_A_PROCESS_S) if after_s is None else after_s
