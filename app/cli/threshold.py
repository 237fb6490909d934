"""`threshold`: finds the confidence at or above which answers are right often enough."""

import asyncio
from collections.abc import Iterator
from dataclasses import asdict

from app.calibration import Threshold, Thresholds
from app.classification import check_label
from app.cli.output import on_terminal, print_json, print_lines, print_table
from app.cli.start import start
from app.evaluation import cut
from app.parts import build_parts
from app.settings import Settings

HEADS = ("class", "threshold", "accepted", "accuracy", "95 %", "labels", "")


def threshold(
    domain: str,
    accuracy: float,
    *,
    label: str | None,
    per_label: bool,
    provider: str | None,
    as_json: bool,
) -> None:
    """Raises DomainNotFound, LabelNotInDomain, TooFewLabels."""
    settings = start(log_level="warning")
    found = asyncio.run(_find(settings, domain, accuracy, label, per_label, provider))
    rows = list(_rows(found, label))
    if as_json:
        print_json(
            {
                **found.key._asdict(),
                "calibration": found.calibration,
                "accuracy_wanted": accuracy,
                "label": label,
                **asdict(found.all),
                "per_label": {name: asdict(each) for name, each in found.per_label.items()},
            }
        )
    elif on_terminal():
        print_table(HEADS, [_cells(name, each) for name, each in rows])
    else:
        print_lines(_fields(name, each) for name, each in rows)


async def _find(
    settings: Settings,
    domain: str,
    accuracy: float,
    label: str | None,
    per_label: bool,
    provider: str | None,
) -> Thresholds:
    async with build_parts(settings) as parts:
        check_label(label, await parts.domains.find(domain))
        return await parts.thresholds.find(
            domain, accuracy, provider=provider, label=label, per_label=per_label
        )


def _rows(found: Thresholds, label: str | None) -> Iterator[tuple[str, Threshold]]:
    yield label or "all", found.all
    yield from found.per_label.items()


def _fields(name: str, each: Threshold) -> tuple[object, ...]:
    low, high = each.interval or (None, None)
    return (
        *(name, each.threshold, round(each.share_accepted, 4), each.accuracy),
        *(low, high, each.labels, each.reason),
    )


def _cells(name: str, each: Threshold) -> list[str]:
    if each.threshold is None or each.accuracy is None or each.interval is None:
        return [name, "", "", "", "", f"{each.labels:,}", (each.reason or "").replace("_", " ")]
    low, high = each.interval
    return [
        *(name, cut(each.threshold), f"{each.share_accepted:.1%}", f"{each.accuracy:.1%}"),
        *(f"{low:.1%} to {high:.1%}", f"{each.labels:,}", ""),
    ]
