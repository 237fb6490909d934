"""The row format shared by all exports: its columns, and selecting from them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from app.errors import InvalidRequest
from app.result import FIELDS, Result

Kind = Literal["text", "integer", "number", "boolean", "time", "texts", "numbers", "json"]
"""Type of a column's values: `str`, `int`, `float`, `bool`, `datetime` in UTC, `list[str]`,
`dict[str, float]`, or any JSON value; or None where there is no value."""

Row = Sequence[Any]
"""A value for each selected column, in their order."""

Values = Sequence[Any]
"""The source of a row, by FIELDS, nested as in a result's JSON."""

MAX_COLUMNS = 1_000


@dataclass(frozen=True, slots=True)
class Column:
    """
    Attributes:
        path: the parts of its name; the last part of `metadata.a.b` is `a.b`.
        missing: stands for a value that results stored by earlier versions lack.
    """

    name: str
    path: tuple[str, ...]
    kind: Kind
    missing: Any = None


def columns_of(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterable[Column]:
    """One for each of its fields, and those nested in them."""
    for name, field in model.model_fields.items():
        path, kind = (*above, name), _without_none(field.annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from columns_of(kind, path)
            continue
        missing = None if field.default is PydanticUndefined or not above else field.default
        yield Column(".".join(path), path, _kind(kind), missing)


def _without_none(annotation: Any) -> Any:
    """The X in `X | None` and `Annotated[X, ...]`."""
    if hasattr(annotation, "__metadata__"):
        return _without_none(get_args(annotation)[0])
    inner = [each for each in get_args(annotation) if each is not type(None)]
    if len(inner) == 1 and len(get_args(annotation)) == 2:
        return _without_none(inner[0])
    return annotation


def _kind(annotation: Any) -> Kind:
    if get_origin(annotation) is Literal:
        return "text"
    kinds: dict[Any, Kind] = {
        **{str: "text", int: "integer", float: "number", Decimal: "number", bool: "boolean"},
        **{datetime: "time", list[str]: "texts", dict[str, float]: "numbers"},
    }
    return kinds.get(annotation, "json")


COLUMNS = (
    Column("item_id", ("item_id",), "text"),
    *columns_of(Result),
)
"""All columns, except those of single keys."""

KEYED: dict[str, Kind] = {
    "probabilities": "number",
    "raw_probabilities": "number",
    "metadata": "json",
}
"""Fields whose single keys can be columns, and the type of these."""


def keyed(names: Iterable[str]) -> list[str]:
    """Fields for which `names` ask for a column per key: `metadata.*`."""
    return [field for field in KEYED if f"{field}.*" in names]


def choose(
    names: Sequence[str], keys: Mapping[str, Collection[str]] | None = None
) -> tuple[Column, ...]:
    """Columns by name: `confidence`, `image` for everything below it, `metadata.order` for one key,
    `metadata.*` for each of `keys["metadata"]`; without names, all. Raises InvalidRequest."""
    chosen: dict[str, Column] = {}
    for name in names or [each.name for each in COLUMNS]:
        for column in _named(name, keys or {}):
            chosen.setdefault(column.name, column)
    if len(chosen) > MAX_COLUMNS:
        raise InvalidRequest(f"columns: at most {MAX_COLUMNS:,}.")
    return tuple(chosen.values())


def _named(name: str, keys: Mapping[str, Collection[str]]) -> list[Column]:
    found = [each for each in COLUMNS if each.name == name or each.name.startswith(f"{name}.")]
    field, _, key = name.partition(".")
    if found or not (field in KEYED and key):
        if not found:
            raise InvalidRequest(f"columns: there is no {name[:100]!r}.")
        return found
    wanted = keys.get(field, ()) if key == "*" else [key]
    return [Column(f"{field}.{each}", (field, each), KEYED[field]) for each in wanted]


def fields(columns: Iterable[Column]) -> set[str]:
    """Fields of a result that they need."""
    return {each.path[0] for each in columns}


def reading(columns: Sequence[Column]) -> Callable[[Values], Row]:
    """A function that makes the row of these columns."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, column in enumerate(columns):
        groups.setdefault(column.path[:-1], []).append(place)
    parts = [
        _below(above, [columns[place] for place in places]) for above, places in groups.items()
    ]
    found = [place for places in groups.values() for place in places]
    in_order = _each([found.index(place) for place in range(len(columns))])

    def row(values: Values) -> Row:
        return in_order([value for part in parts for value in part(values)])

    return row


def _below(above: tuple[str, ...], columns: Sequence[Column]) -> Callable[[Values], Sequence[Any]]:
    """Reads everything directly below one field in one lookup: a row has fifty columns."""
    if not above:
        return _each([FIELDS.index(each.path[0]) for each in columns])
    place, names = FIELDS.index(above[0]), above[1:]
    all_of_them = _each([each.path[-1] for each in columns])
    keys = [(each.path[-1], each.missing) for each in columns]
    nothing = [None] * len(columns)

    def below(values: Values) -> Sequence[Any]:
        found = values[place]
        for name in names:
            found = None if found is None else found.get(name)
        if found is None:
            return nothing
        try:
            return all_of_them(found)
        except KeyError:
            return [found.get(key, missing) for key, missing in keys]

    return below


def _each(keys: Sequence[Any]) -> Callable[[Any], Sequence[Any]]:
    """`itemgetter` that returns a sequence for one key or none, too."""
    if len(keys) > 1:
        return itemgetter(*keys)
    return lambda found: tuple(found[key] for key in keys)


Tree = dict[str, "Tree | int"]


def tree(columns: Iterable[Column]) -> Tree:
    """The nesting from which a row was flattened: names, down to the places of columns."""
    found: Tree = {}
    for place, column in enumerate(columns):
        branch: Any = found
        for name in column.path[:-1]:
            branch = branch.setdefault(name, {})
            if isinstance(branch, int):
                break  # the whole field is selected, including this key
        else:
            branch[column.path[-1]] = place
    return found


def values_of(item_id: str | None, result: Result) -> Values:
    """The same from a result in memory."""
    found = result.model_dump()
    usage = found["usage"]
    if usage is not None and usage["cost_usd"] is not None:
        usage["cost_usd"] = float(usage["cost_usd"])
    return [item_id, *(found[name] for name in Result.model_fields)]
