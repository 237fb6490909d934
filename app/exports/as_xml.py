"""XML: a `result` for each row, nested as its JSON; `docs/export.xsd` is its schema.

Characters that XML can't hold, control characters and lone surrogates, are written `_x0001_`, as in
Office Open XML (ECMA-376, ST_Xstring); a text that looks like that is written `_x005F_x0001_`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from app.exports.as_jsonl import time_of
from app.exports.columns import KEYED, Column, Row, Tree, tree
from app.exports.format import Format, Layout

_SPECIAL = re.compile('[&<>"\\x00-\\x1f\\ud800-\\udfff\\ufffe\\uffff]|_x[0-9A-Fa-f]{4}_')
_NO_CHARACTER = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\ud800-\\udfff\\ufffe\\uffff]")
_LIKE_AN_ESCAPE = re.compile("_(?=x[0-9A-Fa-f]{4}_)")
_REFERENCES = {
    ord(each): reference
    for each, reference in {
        **{"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"},
        **{"\t": "&#9;", "\n": "&#10;", "\r": "&#13;"},  # or a parser normalizes them
    }.items()
}


class Xml:
    def __init__(self, layout: Layout) -> None:
        self._content = _branch(tree(layout.columns), layout.columns)

    def begin(self) -> bytes:
        return b'<?xml version="1.0" encoding="UTF-8"?>\n<results>\n'

    def rows(self, rows: Sequence[Row]) -> bytes:
        return "".join([f"<result>{self._content(row)}</result>\n" for row in rows]).encode()

    def end(self) -> Iterable[bytes]:
        return (b"</results>\n",)

    def close(self) -> None:
        return


def _branch(
    branch: Tree, columns: Sequence[Column], above: tuple[str, ...] = ()
) -> Callable[[Row], str]:
    """Writer of the elements below one."""
    parts = [_part(name, part, columns, above) for name, part in branch.items()]
    return lambda row: "".join([part(row) for part in parts])


def _part(
    name: str, part: Tree | int, columns: Sequence[Column], above: tuple[str, ...]
) -> Callable[[Row], str]:
    """Writer of one element, or of nothing where there is no value."""
    if isinstance(part, int):
        place, content = part, _CONTENTS.get(columns[part].kind)
        if above and above[0] in KEYED:
            return lambda row: "" if row[place] is None else _entry(name, row[place])
        if content is None:
            return lambda row: "" if row[place] is None else _element(name, row[place])
        start, end = f"<{name}>", f"</{name}>"
        return lambda row: "" if (value := row[place]) is None else f"{start}{content(value)}{end}"
    below, start = _branch(part, columns, (*above, name)), f"<{name}>"
    if name in KEYED and not above:
        start = f'<{name} type="map">'

    def element(row: Row) -> str:
        found = below(row)
        return f"{start}{found}</{name}>" if found else ""

    return element


def _element(name: str, value: Any, attribute: str = "") -> str:
    """For any JSON value: a text, unless a type attribute says otherwise."""
    match value:
        case None:
            return f'<{name}{attribute} type="null"/>'
        case str():
            return f"<{name}{attribute}>{escaped(value)}</{name}>"
        case bool():
            kind, content = "boolean", _boolean(value)
        case int() | float():
            kind, content = "number", _number(value)
        case dict():
            kind, content = "map", "".join(_entry(key, each) for key, each in value.items())
        case _:
            kind, content = "list", "".join(_element("value", each) for each in value)
    return f'<{name}{attribute} type="{kind}">{content}</{name}>'


def _entry(key: str, value: Any) -> str:
    return _element("entry", value, f' key="{escaped(key)}"')


def escaped(text: str) -> str:
    """For the content of an element or an attribute."""
    if _SPECIAL.search(text) is None:
        return text
    text = _LIKE_AN_ESCAPE.sub("_x005F_", text)
    text = _NO_CHARACTER.sub(lambda found: f"_x{ord(found[0]):04X}_", text)
    return text.translate(_REFERENCES)


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _number(value: float) -> str:
    """NaN and infinity as in XML Schema."""
    return {"nan": "NaN", "inf": "INF", "-inf": "-INF"}.get(text := repr(value), text)


_CONTENTS: dict[str, Callable[[Any], str]] = {
    "text": escaped,
    "integer": str,
    "number": _number,
    "boolean": _boolean,
    "time": time_of,
}

FORMAT = Format("xml", "application/xml", Xml)
