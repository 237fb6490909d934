"""Results in files."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from app.client.results import Classification
from app.errors import InvalidRequest
from app.exports import COLUMNS, Format, Layout
from app.exports import write as written

PAGE = 500
FORMATS = get_args(Format)


def write(results: Iterable[Classification], form: Any, path: Path) -> None:
    """Raises InvalidRequest for a format that is not known, OSError."""
    if form not in FORMATS:
        raise InvalidRequest(f"There is no format {form!r}. Known: {', '.join(FORMATS)}.")
    layout = Layout(_row, COLUMNS)

    async def pages() -> AsyncIterator[list[Classification]]:
        left = iter(results)
        while page := list(islice(left, PAGE)):
            yield page

    async def all_of_it() -> None:
        with path.open("wb") as file:
            async for piece in written(pages(), form, layout):
                file.write(piece)

    # A thread has no event loop at work, unlike whoever calls from a notebook.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(all_of_it())).result()


def _row(result: Classification) -> dict[str, Any]:
    values = result.model_dump(mode="json")
    return {"item_id": values.pop("item_id"), **values}
