"""Whatever is exported reads back as it was."""

import csv
import io
import json
from datetime import UTC

import pyarrow.parquet
from hypothesis import given, settings
from hypothesis import strategies as st

from app.exports import COLUMNS, choose
from app.exports.as_csv import RUN_BY_SPREADSHEETS
from app.result import FIELDS
from tests.exported import (
    csv_as_rows,
    documents_as_rows,
    rows_of,
    written,
    xml_as_rows,
)

texts = st.text(st.characters(exclude_categories=()), min_size=1, max_size=20)
"""Control characters and halves of surrogates, too."""
whole_texts = st.text(min_size=1, max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
integers = st.integers(-(2**63), 2**63 - 1)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def a_value(kind, text):
    kinds = {
        "text": text,
        "integer": integers,
        "number": numbers,
        "boolean": st.booleans(),
        "time": st.datetimes(timezones=st.just(UTC)),
        "texts": st.lists(text, max_size=3),
        "numbers": st.dictionaries(text, numbers, max_size=3),
        "json": st.dictionaries(text, any_json, max_size=3),
    }
    return st.none() | kinds[kind]


def values(text=texts):
    """Of one row, with each nested field whole or absent."""

    def below(prefix):
        found = {}
        for column in COLUMNS:
            if column.path[: len(prefix)] == prefix:
                name = column.path[len(prefix)]
                path = (*prefix, name)
                found.setdefault(
                    name,
                    a_value(column.kind, text)
                    if column.path == path
                    else st.none() | st.fixed_dictionaries(below(path)),
                )
        return found

    top = below(())
    return st.tuples(*(top[name] for name in FIELDS))


rows = st.lists(values(), max_size=4)
names = st.lists(st.sampled_from([each.name for each in COLUMNS]), unique=True)
limits = settings(max_examples=150, deadline=None)


@given(rows, names)
@limits
def test_json(found, wanted):
    columns = choose(wanted)
    data = written("json", found, columns)

    assert documents_as_rows(json.loads(data), columns) == rows_of(found, columns)


@given(rows, names)
@limits
def test_json_lines(found, wanted):
    columns = choose(wanted)
    documents = [json.loads(line) for line in written("jsonl", found, columns).splitlines()]

    assert documents_as_rows(documents, columns) == rows_of(found, columns)


@given(st.lists(values(whole_texts), max_size=4), names)
@limits
def test_raw_csv(found, wanted):
    columns = choose(wanted)
    data = written("csv", found, columns, safe=False)

    assert csv_as_rows(data, columns) == rows_of(found, columns)


@given(rows, names)
@limits
def test_no_cell_of_a_csv_is_run(found, wanted):
    """But numbers may begin with a minus."""
    columns = [each for each in choose(wanted) if each.kind not in ("integer", "number")]
    if columns:
        text = io.StringIO(written("csv", found, columns).decode(), newline="")
        for row in csv.reader(text):
            assert not any(cell[:1] in RUN_BY_SPREADSHEETS for cell in row if cell)


@given(rows, names)
@limits
def test_xml(found, wanted):
    columns = choose(wanted)

    assert xml_as_rows(written("xml", found, columns), columns) == rows_of(found, columns)


@given(st.lists(values(whole_texts), max_size=4), names)
@limits
def test_parquet(found, wanted):
    columns = choose(wanted)
    file = io.BytesIO(written("parquet", found, columns))
    read = [
        [_of_parquet(row[each.name], each.kind) for each in columns]
        for row in pyarrow.parquet.read_table(file).to_pylist()
    ]

    assert read == rows_of(found, columns)


def _of_parquet(value, kind):
    if value is None:
        return None
    return {"numbers": dict, "json": json.loads}.get(kind, lambda same: same)(value)
