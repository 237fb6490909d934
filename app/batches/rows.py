"""The rows of a batch, as they come in."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """
    Attributes:
        place: where it was found, for people: a line, a file's name.
        picture: a URL, a storage URI, or the bytes of an upload.
        item_id: None: the item's number is its id.
    """

    place: str
    picture: str | bytes
    item_id: str | None = None
    expected: str | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Unusable:
    """A row that is no item, and why."""

    place: str
    reason: str
