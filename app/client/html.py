"""How results are displayed in a notebook."""

import base64
import io
import warnings
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.client.results import BatchResults, Classification

SIDE = 96
"""Side of a thumbnail in pixels."""
MAX_PIXELS = 50_000_000
"""Larger pictures get no thumbnail: making it would take seconds."""

BARS = 5
ROWS = 10

BLUE, RED = "#4c78a8", "#e45756"


def card(result: "Classification", shown: Path | str | bytes | None) -> str:
    """One picture beside its answer, with a bar for each of the most probable classes."""
    name = "" if result.item_id is None else f"<div>{escape(result.item_id)}</div>"
    return (
        '<div style="display:flex;gap:1em;align-items:flex-start">'
        f"{_picture(shown)}<div>{name}<b>{escape(result.told)}</b>{_bars(result)}</div></div>"
    )


def table(results: "BatchResults") -> str:
    """A summary line, then the first pictures."""
    rows = "".join(_row(each) for each in results[:ROWS])
    more = len(results) - ROWS
    return (
        f"<div><b>{escape(results.summary())}</b></div>"
        f"<table>{rows}</table>{f'<div>and {more:,} more</div>' if more > 0 else ''}"
    )


def bar(done: int, total: int, told: str) -> str:
    """A progress bar."""
    share = 100 * done / total if total else 0
    return (
        '<div style="display:flex;gap:1em;align-items:center">'
        f"{_stripe(share, '20em', BLUE)}<span>{done:,} of {total:,}, {escape(told)}</span></div>"
    )


def small(picture: bytes | Path) -> bytes | None:
    """Make a small JPEG of it; None where that is not possible."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source = io.BytesIO(picture) if isinstance(picture, bytes) else picture
            with Image.open(source) as image:
                if image.width * image.height > MAX_PIXELS:
                    return None
                image.draft("RGB", (2 * SIDE, 2 * SIDE))
                image.thumbnail((SIDE, SIDE))
                made = io.BytesIO()
                ImageOps.exif_transpose(image).convert("RGB").save(made, "JPEG", quality=80)
                return made.getvalue()
    except Exception:  # whatever is wrong with it: the answer is shown without a thumbnail
        return None


def _row(result: "Classification") -> str:
    cells = (
        _picture(result._shown, height=48),
        escape(result.item_id or ""),
        escape(result.told),
        _stripe(100 * (result.confidence or 0), "8em", RED if result.error else BLUE),
    )
    row = "".join(f'<td style="text-align:left">{each}</td>' for each in cells)
    return f"<tr>{row}</tr>"


def _picture(shown: Path | str | bytes | None, height: int = SIDE) -> str:
    if isinstance(shown, str):
        source = escape(shown)
    else:
        made = small(shown) if isinstance(shown, Path) else shown
        if made is None:
            return ""
        source = f"data:image/jpeg;base64,{base64.b64encode(made).decode()}"
    return (
        f'<img src="{source}" alt="" referrerpolicy="no-referrer" '
        f'style="max-height:{height}px;max-width:{height}px;margin:0">'
    )


def _bars(result: "Classification") -> str:
    """The grid aligns labels, bars and numbers."""
    cells = "".join(
        f"<span>{escape(label)}</span>{_stripe(100 * share, '12em', BLUE)}<span>{share:.1%}</span>"
        for label, share in _most_probable((result.probabilities or {}).items())
    )
    return (
        '<div style="display:grid;grid-template-columns:auto auto auto;gap:0.2em 0.8em;'
        f'align-items:center;justify-content:start;margin-top:0.4em">{cells}</div>'
    )


def _most_probable(shares: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    return sorted(shares, key=lambda each: -each[1])[:BARS]


def _stripe(percent: float, width: str, colour: str) -> str:
    percent = min(100.0, max(0.0, percent))
    return (
        f'<span style="display:inline-block;width:{width};height:0.7em;background:#8883">'
        f'<span style="display:block;width:{percent:.1f}%;height:100%;background:{colour}">'
        "</span></span>"
    )
