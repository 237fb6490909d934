"""An export on its way."""

import gzip
import io
import tempfile
import zipfile

import pytest

from app.errors import InvalidRequest, ResultNotFound, StorageUnavailable
from app.exports import Layout, choose, find_format, format_of, reading, save, values_of, write
from tests.exported import a_result

COLUMNS = choose(["item_id", "confidence"])


async def pages(*sizes, fails=False):
    for number, size in enumerate(sizes):
        yield [values_of(f"{number}-{each}", a_result()) for each in range(size)]
    if fails:
        raise ResultNotFound("gone")


def chunks(found, form="csv", **how):
    return write(found, find_format(form), Layout(COLUMNS), row=reading(COLUMNS), **how)


async def test_it_comes_page_by_page():
    came = [each async for each in chunks(pages(2, 1))]

    assert came == [b"item_id,confidence\r\n", b"0-0,0.9\r\n0-1,0.9\r\n", b"1-0,0.9\r\n"]


async def test_gzip_is_of_the_whole():
    packed = b"".join([each async for each in chunks(pages(2, 1), gzip=True)])

    assert len(gzip.decompress(packed).splitlines()) == 4


@pytest.mark.parametrize("form", ["csv", "xlsx", "parquet"])
async def test_what_is_broken_off_leaves_nothing(form, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    begun = chunks(pages(2, 1), form)
    await anext(begun)
    await anext(begun)
    await begun.aclose()

    assert list(tmp_path.iterdir()) == []


async def test_where_no_temporary_file_can_be_made(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(StorageUnavailable):
        await anext(chunks(pages(1), "xlsx"))


async def test_a_full_sheet_is_followed_by_another(monkeypatch):
    monkeypatch.setattr("app.exports.as_xlsx.FULL_BYTES", 10)
    data = b"".join([each async for each in chunks(pages(100, 100, 100), "xlsx")])
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        sheets = [name for name in book.namelist() if "worksheets/sheet" in name]

    assert len(sheets) == 3


class TestSave:
    async def test_it_is_whole(self, tmp_path):
        path = tmp_path / "a.csv"
        size = await save(chunks(pages(3)), path)

        assert (size, path.stat().st_size) == (47, 47)
        assert list(tmp_path.iterdir()) == [path]

    async def test_or_what_was_there_stays(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text("before")
        with pytest.raises(ResultNotFound):
            await save(chunks(pages(3, fails=True)), path)

        assert path.read_text() == "before"
        assert list(tmp_path.iterdir()) == [path]


class TestFormatOf:
    @pytest.mark.parametrize(
        ("name", "form"),
        [
            ("a.csv", ("csv", False)),
            ("a.b.CSV.gz", ("csv", True)),
            ("s3://bucket/a.parquet", ("parquet", False)),
        ],
    )
    def test_the_end_says_it(self, name, form):
        found, packed = format_of(name)

        assert (found.name, packed) == form

    @pytest.mark.parametrize("name", ["a", "a.gz", "csv.", ".pdf"])
    def test_others_are_refused(self, name):
        with pytest.raises(InvalidRequest):
            format_of(name)
