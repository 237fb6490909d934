"""Embeds many pictures concurrently, in order."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice

from app.batches import Row, Unusable
from app.domains import Domain
from app.errors import (
    ClassifierError,
    ImageUnreadable,
    InvalidRequest,
    LabelNotInDomain,
    StorageUnavailable,
)
from app.images import Upload
from app.teaching.collecting import Collecting, Seen

AT_ONCE = 8


async def see_all(
    collecting: Collecting, domain: Domain, rows: Iterable[Row | Unusable]
) -> AsyncIterator[tuple[Row | Unusable, Seen | ClassifierError]]:
    """Each row with what is seen in it, or the error. `rows` are read in a thread; their pictures
    are bytes. Raises the errors of reading them, and StorageUnavailable."""
    source = iter(rows)
    while some := await asyncio.to_thread(_some, source):
        seen = await asyncio.gather(*(_see(collecting, domain, each) for each in some))
        for each in zip(some, seen, strict=True):
            yield each


def _some(rows: Iterator[Row | Unusable]) -> list[Row | Unusable]:
    return list(islice(rows, AT_ONCE))


async def _see(
    collecting: Collecting, domain: Domain, row: Row | Unusable
) -> Seen | ClassifierError:
    if isinstance(row, Unusable):
        return ImageUnreadable(f"It {row.reason}.")
    if row.expected is None:
        return LabelNotInDomain("Neither a label nor its folder's name says what it shows.")
    if isinstance(row.picture, str):
        return InvalidRequest("A picture is wanted, not where it is.")
    try:
        return await collecting.see(Upload(row.picture), domain)
    except StorageUnavailable:
        raise
    except ClassifierError as error:
        return error
