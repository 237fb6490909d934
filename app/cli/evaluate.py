"""`evaluate`: how good the answers are on pictures whose truth is known."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from app.cli.start import start
from app.evaluation import Judged, Report, judge_all, labelled_pictures, report
from app.evaluation.folder import SUFFIXES
from app.evaluation.report import NONE
from app.parts import build_parts
from app.settings import Settings


def evaluate(
    folder: Path, domain: str, provider: str | None, none: list[Path], json_out: Path | None
) -> None:
    """Raises ClassifierError, OSError."""
    settings = start(log_level="error")
    found, judged = asyncio.run(_evaluate(settings, folder, none, domain, provider))
    if json_out is None or str(json_out) != "-":
        _print(Console(highlight=False), found, judged)
    if json_out is not None:
        text = json.dumps(asdict(found), indent=2) + "\n"
        if str(json_out) == "-":
            typer.echo(text, nl=False)
        else:
            json_out.write_text(text, encoding="utf-8")


async def _evaluate(
    settings: Settings, folder: Path, none: list[Path], domain: str, provider: str | None
) -> tuple[Report, list[Judged]]:
    async with build_parts(settings) as parts:
        known = parts.domains.get(domain)
        pictures = labelled_pictures(folder, known.labels)
        pictures += [(path, NONE) for each in none for path in _pictures_below(each)]
        answers = judge_all(
            parts.classification,
            pictures,
            domain=domain,
            provider=provider,
            at_once=2 * settings.image_workers,
        )
        bar = Console(stderr=True)
        judged = []
        with bar.status("") as status:
            async for each in answers:
                judged.append(each)
                status.update(f"{len(judged)} of {len(pictures)} pictures")
    judged.sort(key=lambda each: each.name)
    return report(judged, known.labels, known.confidence_threshold), judged


def _pictures_below(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES)


def _print(console: Console, found: Report, judged: list[Judged]) -> None:
    interval = f"{found.interval.low:.1%} to {found.interval.high:.1%}"
    console.print(f"accuracy   {found.accuracy:.1%} of {found.n}  (95 %: {interval})")
    right = (
        "" if found.accepted_accuracy is None else f", {found.accepted_accuracy:.1%} of it right"
    )
    console.print(f"accepted   {found.accepted_share:.1%} at {found.threshold:g} or more{right}")
    if found.none_n:
        console.print(
            f"none       {found.none_accepted} of {found.none_n} pictures of none of the classes "
            "falsely accepted"
        )
    console.print(f"time       {found.seconds_per_image * 1000:.1f} ms an image")
    console.print(_class_table(found))
    for each in judged:
        if each.error is not None:
            console.print(f"failed  {each.name}: {each.error}", markup=False, soft_wrap=True)
        elif not each.right and each.expected != NONE:
            line = f"wrong   {each.name}: {each.predicted} {each.confidence:.0%}"
            console.print(line, markup=False, soft_wrap=True)


def _class_table(found: Report) -> Table:
    answers = sorted({answer for row in found.confusion.values() for answer in row})
    table = Table("truth", "n", "precision", "recall", *answers, title="answers by truth")
    for column in table.columns[1:]:
        column.justify = "right"
    for truth in sorted(found.confusion, key=lambda truth: (truth == NONE, truth)):
        counts = found.confusion[truth]
        score = found.per_class.get(truth)
        shares = (_percent(score.precision), _percent(score.recall)) if score else ("", "")
        cells = [str(counts.get(answer, "")) for answer in answers]
        table.add_row(truth, str(sum(counts.values())), *shares, *cells)
    return table


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
