"""`evaluate`: measures the quality of answers about pictures whose true class is known."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from app.cli.evaluated import print_report
from app.cli.progress import bar
from app.cli.start import start
from app.errors import InvalidRequest
from app.evaluation import (
    Judged,
    Mistake,
    Outcomes,
    Report,
    Wanted,
    judge_all,
    outcomes,
    page,
    report,
    thumbnails,
)
from app.labelled_folder import as_text, labelled_pictures, pictures_below
from app.parts import Parts, build_parts
from app.result import NONE
from app.settings import Settings

STDOUT = Path("-")


@dataclass(frozen=True, slots=True)
class Order:
    """What to evaluate, and where to write the report.

    Attributes:
        folder: of labelled pictures to classify; None: evaluate stored labelled results.
        none: further folders, of pictures of none of the classes.
        compare: the JSON of an earlier report.
    """

    folder: Path | None
    wanted: Wanted
    none: tuple[Path, ...] = ()
    json_out: Path | None = None
    html_out: Path | None = None
    compare: Path | None = None


def evaluate(order: Order) -> None:
    """Raises ClassifierError, OSError."""
    settings = start(log_level="error")
    for each in (order.json_out, order.html_out):
        if each is not None and not each.parent.is_dir():  # fail before anything is paid for
            raise InvalidRequest(f"{each.parent} is no folder to write {each.name} to.")
        if each not in (None, STDOUT) and each.is_dir():
            raise InvalidRequest(f"{each} is a folder, and no file to write to.")
    earlier = None if order.compare is None else _earlier(order.compare, order.wanted.domain)
    found, judged, text = asyncio.run(_evaluate(settings, order, earlier))
    # Files first: the reader of the printed output may close the pipe.
    if order.html_out is not None and text is not None:
        order.html_out.write_text(text, encoding="utf-8")
    told = found.model_dump(mode="json") | {"outcomes": outcomes(judged)}
    as_json = json.dumps(told, indent=2) + "\n"
    if order.json_out == STDOUT:
        typer.echo(as_json, nl=False)
        return
    if order.json_out is not None:
        order.json_out.write_text(as_json, encoding="utf-8")
    print_report(Console(highlight=False), found, judged)


def _earlier(path: Path, domain: str) -> tuple[str, Outcomes]:
    """Raises InvalidRequest, OSError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        about = found["measured_on"]["domain"]
        right = TypeAdapter(dict[str, bool]).validate_python(found["outcomes"])
    except (ValueError, TypeError, KeyError, ValidationError):
        raise InvalidRequest(
            f"{path} is no report to compare with: `evaluate --json` writes one."
        ) from None
    if about != domain:
        raise InvalidRequest(f"{path} is a report about the domain {about!r}.")
    return as_text(path.name), right


async def _evaluate(
    settings: Settings, order: Order, earlier: tuple[str, Outcomes] | None
) -> tuple[Report, list[Judged], str | None]:
    """Return the report, the judged answers, and the report as HTML where requested."""
    async with build_parts(settings) as parts:
        domain = await parts.domains.find(order.wanted.domain)
        if order.folder is None:
            judged, truncated = await parts.evaluations.labelled.read(order.wanted)
            read = parts.evaluations.picture
        else:
            pictures = _pictures(order.folder, order.none, domain.labels)
            judged, truncated = await _ask(parts, order, pictures), False
            read = partial(_file, {as_text(path): path for path, _ in pictures})
        summarise = partial(
            report,
            judged,
            domain.labels,
            domain.confidence_threshold,
            what=as_text(order.folder or order.wanted.words),
            domain=domain.name,
            at=datetime.now(UTC),
            truncated=truncated,
            earlier=earlier,
        )
        found = await asyncio.to_thread(summarise)
        if order.html_out is None:
            return found, judged, None
        return found, judged, page(found, await thumbnails(found, read))


def _pictures(folder: Path, none: Sequence[Path], labels: Sequence[str]) -> list[tuple[Path, str]]:
    found = labelled_pictures(folder, labels)
    return found + [(path, NONE) for each in none for path in pictures_below(each)]


async def _ask(parts: Parts, order: Order, pictures: Sequence[tuple[Path, str]]) -> list[Judged]:
    answers = judge_all(
        parts.classification,
        pictures,
        domain=order.wanted.domain,
        provider=order.wanted.provider,
        at_once=2 * parts.settings.image_workers,
    )
    judged: list[Judged] = []
    asked = right = 0
    with bar() as show:
        show(0, len(pictures))
        async for each in answers:
            judged.append(each)
            if each.expected != NONE:
                asked, right = asked + 1, right + each.right
            told = f"{right:,} right, {asked - right:,} wrong"
            show(len(judged), len(pictures), told=told)
    return sorted(judged, key=lambda each: each.name)


async def _file(paths: Mapping[str, Path], mistake: Mistake) -> bytes:
    return await asyncio.to_thread(paths[mistake.name].read_bytes)
