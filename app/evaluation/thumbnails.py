"""Small pictures of mistakes."""

import asyncio
from collections.abc import Awaitable, Callable

from app.errors import ClassifierError
from app.evaluation.report import Mistake, Report
from app.images import HeavyPicture, prepare

LONGEST = 192
"""Pixels: twice the size shown, for high-density screens."""


async def thumbnails(
    report: Report, read: Callable[[Mistake], Awaitable[bytes]]
) -> dict[str, bytes]:
    """Small JPEGs, by `Mistake.key`, of the mistakes and near misses whose pictures `read` still
    returns and that decode quickly. `read` may raise ClassifierError, OSError."""
    found: dict[str, bytes] = {}
    for each in (*report.mistakes, *report.near_misses):
        try:
            data = await read(each)
            found[each.key] = await asyncio.to_thread(_small, data)
        except (ClassifierError, OSError, HeavyPicture):
            continue  # then the page describes it in words
    return found


def _small(data: bytes) -> bytes:
    return prepare(data, longest=LONGEST, light=True).jpeg
