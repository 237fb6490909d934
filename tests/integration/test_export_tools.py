"""Exports in the tools that people have."""

import shutil
import subprocess
import zipfile
from pathlib import Path

import duckdb
import pytest

from app.exports import COLUMNS, choose, values_of
from tests.exported import a_result, written

SCHEMA = Path(__file__).parents[2] / "docs" / "export.xsd"
MARKUP = '<r><t>a</t></r></is></c><c r="C2"><f>1+41</f></c><c r="D2" t="inlineStr"><is><r></r>'
FORMULAS = [
    MARKUP,
    "=1+1",
    '=HYPERLINK("http://x.example","a")',
    "+2",
    "-3",
    "@SUM(A1)",
    "\t=4",
    "\r=5",
]
ODD = [
    "<r>&</r>",
    "\x00\x0b",
    "\ud800",
    "_x0041_",
    " <&>\"' ",
    "a\r\nb",
    "\u2028",
    "日本語",
    "x" * 40_000,
]


def needs(program: str):
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"no {program}: make test-deps installs it"
    )


@pytest.fixture(scope="module")
def values():
    return [
        values_of(text, a_result(metadata={"text": text}, expected=text))
        for text in (*FORMULAS, *ODD)
    ]


@needs("xmllint")
def test_xmllint_finds_it_valid(values, tmp_path):
    """By the schema that is documented, whichever columns are there."""
    for number, names in enumerate(([], ["image", "item_id"], ["metadata.text"], ["usage"])):
        file = tmp_path / f"{number}.xml"
        file.write_bytes(written("xml", values, choose(names)))
        found = subprocess.run(
            ["xmllint", "--noout", "--schema", SCHEMA, file], capture_output=True, text=True
        )

        assert found.returncode == 0, found.stderr


def test_duckdb_reads_parquet_with_its_types(values, tmp_path):
    file = tmp_path / "a.parquet"
    file.write_bytes(written("parquet", values, COLUMNS))
    table = duckdb.sql(f"SELECT * FROM '{file}'")
    types = dict(zip(table.columns, map(str, table.types), strict=True))
    query = f"SELECT max(probabilities['rose']), max(\"image.width\"), count(*) FROM '{file}'"

    assert types["confidence"] == "DOUBLE"
    assert types["image.width"] == "BIGINT"
    assert types["cached"] == "BOOLEAN"
    assert types["created_at"] == "TIMESTAMP WITH TIME ZONE"
    assert types["review_reasons"] == "VARCHAR[]"
    assert types["probabilities"] == "MAP(VARCHAR, DOUBLE)"
    assert duckdb.sql(query).fetchall() == [(0.9, 640, len(values))]


@needs("soffice")
class TestLibreOffice:
    @pytest.mark.parametrize("form", ["csv", "xlsx"])
    def test_no_formula_is_run(self, values, tmp_path, form):
        names = ["item_id", "confidence", "cached", "created_at", "image.width", "expected"]
        (tmp_path / f"a.{form}").write_bytes(written(form, values, choose(names)))
        content = opened(tmp_path, form)

        formulas = {each.split('"')[0] for each in content.split('table:formula="')[1:]}

        assert formulas <= {"of:=FALSE()"}  # what LibreOffice makes of Excel's own FALSE
        assert "xlink:href" not in content

    def test_the_types_are_right(self, values, tmp_path):
        names = ["item_id", "confidence", "cached", "created_at", "image.width"]
        (tmp_path / "a.xlsx").write_bytes(written("xlsx", values[:1], choose(names)))
        content = opened(tmp_path, "xlsx")
        kinds = [each.split('"')[0] for each in content.split('office:value-type="')[1:]]

        assert kinds == ["string"] * len(names) + ["string", "float", "float", "date", "float"]
        assert 'office:date-value="2026-03-01T12:00:00.5' in content


def opened(folder: Path, form: str) -> str:
    """What LibreOffice makes of the file: its own document's XML."""
    subprocess.run(
        [
            *("soffice", "--headless", "--norestore", f"-env:UserInstallation=file://{folder}/own"),
            *("--convert-to", "ods", "--outdir", folder, folder / f"a.{form}"),
        ],
        check=True,
        capture_output=True,
        timeout=100,
    )
    with zipfile.ZipFile(folder / "a.ods") as document:
        return document.read("content.xml").decode()
