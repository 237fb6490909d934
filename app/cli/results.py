"""`results`: shows stored results."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from app.cli.output import age, on_terminal, print_json, print_lines, print_record, print_table
from app.cli.start import start
from app.exports import COLUMNS, reading, values_of
from app.parts import build_parts
from app.result import Result
from app.settings import Settings
from app.storage import ResultFilter

PAGE = 1_000
"""Results read at a time."""

STYLES = {"accepted": "green", "needs_review": "yellow", "failed": "red", "pending": "dim"}

HEADS = ("id", "age", "domain", "class", "sure", "status")


def list_results(wanted: ResultFilter, *, limit: int, as_json: bool) -> None:
    """Newest first."""
    found = asyncio.run(_newest(start(log_level="warning"), wanted, limit))
    if as_json:
        for each in found:
            print_json(each.model_dump(mode="json"))
    elif on_terminal():
        now = datetime.now(UTC)
        print_table(HEADS, [_for_people(each, now) for each in found])
    else:
        print_lines(map(_for_programs, found))


def show_result(result_id: str, *, as_json: bool) -> None:
    """Raises ResultNotFound."""
    result = asyncio.run(_one(start(log_level="warning"), result_id))
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        print_record(_fields(result))


async def _one(settings: Settings, result_id: str) -> Result:
    async with build_parts(settings) as parts:
        return await parts.results.get(result_id, caller=None)


async def _newest(settings: Settings, wanted: ResultFilter, limit: int) -> list[Result]:
    found: list[Result] = []
    async with build_parts(settings) as parts:
        while len(found) < limit:
            before = found[-1].id if found else None
            some = min(PAGE, limit - len(found))
            page = await parts.results.page(wanted, before=before, limit=some)
            found += page
            if len(page) < some:
                break
    return found


def _for_people(result: Result, now: datetime) -> list[str | Text]:
    return [
        result.id,
        age((now - result.created_at).total_seconds()),
        result.domain,
        result.predicted_class or "",
        "" if result.confidence is None else f"{result.confidence:.1%}",
        Text(result.status, style=STYLES[result.status]),
    ]


def _for_programs(result: Result) -> list[Any]:
    return [
        result.id,
        result.created_at,
        result.domain,
        result.predicted_class,
        result.confidence,
        result.status,
        result.provider,
        ",".join(result.review_reasons),
        result.final_class,
        result.decided_by,
    ]


def _fields(result: Result) -> list[tuple[str, Any]]:
    """With the same names as in exports."""
    names = [each.name for each in COLUMNS]
    return list(zip(names, reading(COLUMNS)(values_of(None, result)), strict=True))
