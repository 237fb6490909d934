"""Lists in pages: `limit` rows at most, and where the next page begins.

What is created over time is listed newest first, by a `cursor`; what is numbered is listed `after`
a number.
"""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import Field

MAX_PAGE = 1_000

Limit = Annotated[int, Field(ge=1, le=MAX_PAGE)]
NextCursor = Annotated[
    str | None,
    Field(
        description="Send it as `cursor` to get the next page; null on the last page.",
        examples=[None],
    ),
]
NextNumber = Annotated[
    int | None,
    Field(
        description="Send it as `after` to get the next page; null on the last page.",
        examples=[None],
    ),
]

Row = TypeVar("Row")


def page_cursor(pattern: str) -> Any:
    """The `cursor` of a query: an id of this pattern."""
    return Field(None, pattern=pattern, description="`next_cursor` of the previous page.")


def cut(found: Sequence[Row], limit: int) -> tuple[list[Row], Row | None]:
    """The page, and its last row if others follow. `found` is to hold one more than `limit`, where
    there is one."""
    page = list(found[:limit])
    return page, page[-1] if len(found) > limit else None
