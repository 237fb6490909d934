"""What Azure did, by the file that it writes: it outlives each of its lives."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

from tests.bill import BILLED, TOKENS, Bill


@dataclass(frozen=True, slots=True)
class Call:
    """One that got in.

    Attributes:
        by: the fingerprint of the key of who made it: each process has its own.
        picture: the SHA-256 of what was sent.
        began, ended: Unix seconds; it never ended, where Azure died before.
        outcome: `answered`, `invalid`, a kind of fault, or `lost` where Azure died.
        billed: tokens; none where it costs nothing. What Azure was at when it died it bills.
    """

    by: str
    picture: str
    began: float
    ended: float
    outcome: str
    billed: Mapping[str, int]

    @property
    def is_answered(self) -> bool:
        return self.outcome == "answered"


def read(path: Path) -> list[Call]:
    """In the order in which they began."""
    calls: dict[str, Call] = {}
    for line in map(json.loads, path.read_text().splitlines()):
        if "outcome" in line:
            calls[line["call"]] = _ended(calls[line["call"]], line)
        else:
            calls[line["call"]] = Call(
                line["key"], line["picture"], line["at"], inf, "lost", line["expected"]
            )
    return list(calls.values())


def _ended(call: Call, line: Mapping[str, Any]) -> Call:
    return replace(call, ended=line["at"], outcome=line["outcome"], billed=line["billed"] or {})


def bill(calls: Iterable[Call]) -> Bill:
    billed = [each for each in calls if each.billed]
    told, untold = (
        Counter(
            {
                name: sum(each.billed[name] for each in billed if each.is_answered is is_told)
                for name in TOKENS
            }
        )
        for is_told in (True, False)
    )
    faults = Counter(each.outcome for each in billed if each.outcome in BILLED)
    return Bill([], 0, faults, len(billed), told, untold)
