"""`teach`: teaches the local model with a few examples."""

import asyncio
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.cli.output import plain, print_json
from app.cli.progress import bar
from app.cli.start import start
from app.parts import build_parts
from app.settings import Settings
from app.teaching import ClassReport, FolderLesson, FolderTeaching

CALLER = "command-line"

HEADS = ("class", "examples", "right", "95 %", "with half", "more helps", "confused with")
NUMBERS = (1, 2, 4)
MOST_CONFUSED = 3


def teach(folder: Path, domain: str, *, accuracy: float, dry_run: bool, as_json: bool) -> None:
    """Raises ClassifierError, OSError."""
    settings = start(log_level="error")
    told = asyncio.run(_teach(settings, folder, domain, accuracy, dry_run=dry_run))
    complaints = Console(stderr=True, highlight=False, soft_wrap=True)
    for place, reason in told.refused:
        complaints.print(f"{plain(place)}: {plain(reason)}", style="yellow", markup=False)
    if as_json:
        print_json(asdict(told) | {"report": told.report.model_dump()})
    else:
        _print(told)


async def _teach(
    settings: Settings, folder: Path, domain: str, accuracy: float, *, dry_run: bool
) -> FolderLesson:
    async with build_parts(settings) as parts:
        teaching = FolderTeaching(parts.domains, parts.collecting, parts.lessons)
        with bar() as tell:
            return await teaching.teach(
                folder,
                domain,
                accuracy=accuracy,
                caller=CALLER,
                max_bytes=settings.max_upload,
                dry_run=dry_run,
                tell=tell,
            )


def _print(told: FolderLesson) -> None:
    console, report = Console(highlight=False), told.report
    for name, text in _lines(told):
        console.print(f"{name:<10} {plain(text)}", markup=False, soft_wrap=True)
    table = Table(*HEADS, box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for place, column in enumerate(table.columns):
        column.justify = "right" if place in NUMBERS else "left"
        column.no_wrap = place < len(HEADS) - 1
    for each in report.classes:
        table.add_row(*_cells(each))
    console.print(table)
    if report.missing:
        missing = ", ".join(report.missing)
        console.print(f"Not used until there are examples of: {missing}.", style="yellow")


def _lines(told: FolderLesson) -> list[tuple[str, str]]:
    report = told.report
    new = ", new" if told.is_new else ""
    lesson = "a dry run: nothing was stored" if told.lesson is None else told.lesson
    none = f" and {report.none_examples:,} of none" if report.none_examples else ""
    changed = f", {told.changed:,} with another label" if told.changed else ""
    return [
        ("domain", f"{told.domain}{new}"),
        ("lesson", lesson),
        (
            "examples",
            f"{report.examples:,}{none}; {told.added:,} new{changed}, "
            f"{told.known:,} known, {len(told.refused):,} left out",
        ),
        ("accuracy", _accuracy(told)),
        ("accepted", _accepted(told)),
    ]


def _accuracy(told: FolderLesson) -> str:
    report = told.report
    if report.accuracy is None or report.interval is None:
        return "not known: a class has a single example"
    low, high = report.interval
    return f"{report.accuracy:.1%} on unseen pictures  (95 %: {low:.1%} to {high:.1%})"


def _accepted(told: FolderLesson) -> str:
    report = told.report
    if report.threshold is None or report.accepted is None:
        return f"at no confidence are {report.wanted:.0%} right"
    right = "" if report.accepted_right is None else f", {report.accepted_right:.1%} of these right"
    none = "" if report.none_accepted is None else f"; of none {report.none_accepted:.1%}"
    return f"{report.accepted:.1%} at {report.threshold:.2f} or more{right}{none}"


def _cells(each: ClassReport) -> list[str | Text]:
    label, count = Text(plain(each.label)), f"{each.examples:,}"
    if each.right is None or each.interval is None:
        return [label, count, "-"]
    low, high = each.interval
    confused = [f"{plain(name)} {share:.0%}" for name, share in each.confused_with.items()]
    half = "-" if each.gain is None else f"{each.right - each.gain:.0%}"
    helps = "-" if each.more_helps is None else ("yes" if each.more_helps else "")
    return [
        *(label, count, f"{each.right:.0%}", f"{low:.0%} to {high:.0%}", half, helps),
        Text(", ".join(confused[:MOST_CONFUSED])),
    ]
