"""Results in files, as those of a server."""

import json

import pytest

from app.client.exporting import write
from app.client.results import Classification
from app.errors import InvalidRequest
from app.exports import COLUMNS
from tests.exported import a_result, csv_as_rows, documents_as_rows, xml_as_rows

RESULTS = [
    Classification.of(a_result()).model_copy(update={"item_id": f"{number}.jpg"})
    for number in range(3)
]
READERS = {
    "json": lambda data: documents_as_rows(json.loads(data), COLUMNS),
    "csv": lambda data: csv_as_rows(data, COLUMNS),
    "xml": lambda data: xml_as_rows(data, COLUMNS),
}


@pytest.mark.parametrize("form", READERS)
def test_rows_are_those_of_to_dict(form, tmp_path):
    path = tmp_path / "results"
    write(RESULTS, form, path)

    assert READERS[form](path.read_bytes()) == [[*each.to_dict().values()] for each in RESULTS]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("form", ["xlsx", "parquet"])
def test_others_are_files_too(form, tmp_path):
    write(RESULTS, form, tmp_path / "a")

    assert (tmp_path / "a").stat().st_size > 1_000


def test_columns_are_chosen(tmp_path):
    path = tmp_path / "a.csv"
    write(RESULTS[:1], "csv", path, columns=["item_id", "image.width"])

    assert path.read_text() == "item_id,image.width\n0.jpg,640\n"


@pytest.mark.parametrize(("form", "columns"), [("pdf", []), ("csv", ["colour"])])
def test_what_is_not_known_is_refused(form, columns, tmp_path):
    with pytest.raises(InvalidRequest):
        write(RESULTS, form, tmp_path / "a", columns=columns)

    assert list(tmp_path.iterdir()) == []
