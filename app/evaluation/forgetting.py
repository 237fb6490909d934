"""Removes erased pictures from evaluations."""

from collections.abc import Collection
from typing import Any

from pydantic_core import from_json, to_json

LISTS = (
    ("mistakes",),
    ("near_misses",),
    ("comparison", "only_now_right"),
    ("comparison", "only_earlier_right"),
)
"""Lists of a report that name single pictures."""

NAMED = ("sha256", "result_id", "picture")


def without(report: str, outcomes: str, gone: Collection[str]) -> tuple[str, str] | None:
    """A stored report and its outcomes, without the results and pictures with these ids and
    SHA-256; the figures stay. None: it names none of them."""
    told, kept = from_json(report), from_json(outcomes)
    left = {key: right for key, right in kept.items() if key not in gone}
    found = len(left) < len(kept)
    for *above, name in LISTS:
        part = told
        for each in above:
            part = part.get(each) or {}
        whole = part.get(name, [])
        named = [each for each in whole if not _names(each, gone)]
        found = found or len(named) < len(whole)
        if whole:
            part[name] = named
    return (to_json(told).decode(), to_json(left).decode()) if found else None


def _names(told: dict[str, Any], gone: Collection[str]) -> bool:
    return any(told.get(each) in gone for each in NAMED)
