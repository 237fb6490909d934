"""Cells of tables on the pages that are made from the code."""

from collections.abc import Mapping, Sequence

MADE = "Made by `make docs`; edit the code it is made from."

BOUNDS = {
    "minimum": "at least {:,}",
    "exclusiveMinimum": "more than {:,}",
    "maximum": "at most {:,}",
    "exclusiveMaximum": "less than {:,}",
    "maxLength": "at most {:,} characters",
    "maxItems": "at most {:,} items",
}
"""Keys of a schema, and their wording."""


def within(bounds: Mapping[str, float]) -> list[str]:
    """Whole numbers as such, whatever the schema makes of them."""
    return [
        words.format(int(bound) if bound == int(bound) else bound)
        for key, words in BOUNDS.items()
        if (bound := bounds.get(key)) is not None
    ]


def with_bounds(text: str, told: Sequence[str]) -> str:
    more = f"{', '.join(told)}."
    return f"{text} {more[0].upper()}{more[1:]}".strip() if told else text


def code(text: str) -> str:
    return f"`{text.strip()}`".replace("\n", "` `") if text else ""


def cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")
