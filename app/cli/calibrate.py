"""`calibrate`: fits calibrations, which make confidence match accuracy."""

import asyncio
from collections.abc import Iterable

from rich.console import Console

from app.calibration import Calibration, NotFitted
from app.cli.output import on_terminal, print_json, print_lines, print_table
from app.cli.start import start
from app.parts import build_parts
from app.settings import Settings

HEADS = ("provider", "model", "source", "method", "labels", "error before", "after", "id")


def calibrate(domain: str, *, provider: str | None, model: str | None, as_json: bool) -> None:
    """Raises DomainNotFound, TooFewLabels, CalibrationRefused."""
    settings = start(log_level="warning")
    fitted, refused = asyncio.run(_calibrate(settings, domain, provider, model))
    if as_json:
        for each in fitted:
            print_json(dict(zip(HEADS_OF_JSON, _fields(each), strict=True)))
    elif on_terminal():
        print_table(HEADS, [_cells(each) for each in fitted])
    else:
        print_lines(map(_fields, fitted))
    _complain(refused)


async def _calibrate(
    settings: Settings, domain: str, provider: str | None, model: str | None
) -> tuple[list[Calibration], list[NotFitted]]:
    async with build_parts(settings) as parts:
        return await parts.calibrations.fit(domain, provider=provider, model=model)


HEADS_OF_JSON = (
    *("provider", "model", "confidence_source", "method", "labels"),
    *("ece_before", "ece_after", "id"),
)


def _fields(each: Calibration) -> tuple[object, ...]:
    key = each.key
    return (
        *(key.provider, key.model, key.confidence_source, each.method, each.labels),
        *(each.ece_before, each.ece_after, each.id),
    )


def _cells(each: Calibration) -> list[str]:
    key = each.key
    return [
        *(key.provider, key.model, key.confidence_source, each.method, f"{each.labels:,}"),
        *(f"{each.ece_before:.3f}", f"{each.ece_after:.3f}", each.id),
    ]


def _complain(refused: Iterable[NotFitted]) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for each in refused:
        line = f"{each.key.provider} {each.key.model}: {each.reason}"
        console.print(line, style="yellow", markup=False)
