"""`cost`: what calls cost."""

import asyncio
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import typer
from rich.text import Text

from app.analytics import Amounts, CostReport, Saved, as_csv
from app.cli.output import on_terminal, print_json, print_lines, print_record, print_table
from app.cli.start import start
from app.parts import build_parts
from app.settings import Settings
from app.storage import Grouping

HEADS = ("USD", "share", "per 1,000", "calls", "answers")


def cost(by: Grouping, wanted: Mapping[str, Any], *, as_json: bool, csv: bool) -> None:
    """`wanted`: as for Costs.report. Raises StorageUnavailable."""
    report = asyncio.run(_report(start(log_level="warning"), by, wanted))
    if as_json:
        print_json(report.model_dump(mode="json"))
    elif csv:
        sys.stdout.flush()
        sys.stdout.buffer.write(as_csv(report.groups))
    elif on_terminal():
        _show(report)
    else:
        print_lines(
            (
                *(each.key, float(each.total_usd), each.share, each.calls, each.answers),
                *(each.prompt_tokens, each.completion_tokens),
            )
            for each in report.groups
        )


async def _report(settings: Settings, by: Grouping, wanted: Mapping[str, Any]) -> CostReport:
    async with build_parts(settings) as parts:
        return await parts.costs.report(by, **wanted)


def _show(report: CostReport) -> None:
    """Print it for people."""
    rows: list[list[str | Text]] = [
        [each.key or "none", *_cells(each, each.share)] for each in report.groups
    ]
    if report.more_groups:
        rows.append(["and others"])
    if rows:
        rows.append([Text("total", "bold"), *_cells(report, 1.0)])
    print_table((report.by, *map(_right, HEADS)), rows)
    if rows:
        typer.echo()
        print_record(_notes(report))


def _cells(amounts: Amounts, share: float | None) -> list[Text]:
    cells = (
        _usd(amounts.total_usd),
        "" if share is None else f"{share:.1%}",
        "" if amounts.usd_per_1000_images is None else _usd(amounts.usd_per_1000_images),
        f"{amounts.calls:,}",
        f"{amounts.answers:,}",
    )
    return [_right(each) for each in cells]


def _notes(report: CostReport) -> Iterator[tuple[str, str]]:
    for way in type(report.savings).model_fields:
        saved: Saved = getattr(report.savings, way)
        if saved.answers:
            yield f"saved by {way}", f"{_usd(saved.usd)} in {saved.answers:,} answers"
    if report.estimated_usd:
        yield "estimated", f"{_usd(report.estimated_usd)} of the total, at most"
    if report.unpriced_calls:
        yield "unknown", f"the cost of {report.unpriced_calls:,} calls"
    if (ahead := report.forecast) is not None:
        basis = f"from the mean of {ahead.basis_days:g} days"
        spent, expected = _usd(ahead.spent_usd), _usd(ahead.expected_usd)
        yield ahead.month, f"{spent} so far, {expected} expected, {basis}"


def _usd(amount: Decimal) -> str:
    return f"{amount:,.4f}"


def _right(text: str) -> Text:
    return Text(text, justify="right")
