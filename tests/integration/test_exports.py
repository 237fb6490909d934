"""`/results/export`: results as files."""

import csv
import gzip
import io
import json

import pytest

from app.exports import COLUMNS, find_format
from tests.exported import csv_as_rows, documents_as_rows, xml_as_rows
from tests.integration.calls import NOON, UNKNOWN, api_keys, is_problem, store

PLACE = "/results/export"
FORMULA = '=HYPERLINK("http://x.example","a")'

pytestmark = pytest.mark.each_database


async def exported(client, **query):
    found = await client.get(PLACE, params=query)
    assert found.status_code == 200, found.text
    return found


class TestFormats:
    async def test_json_is_what_is_listed(self, client, parts, fake):
        """But for the item's name."""
        for picture in range(3):
            await store(parts, picture, metadata={"order": f"A-{picture}", "=1": [1.5, None]})
        listed = (await client.get("/results")).json()["results"]
        told = (await exported(client)).json()

        assert [{"item_id": None, **each} for each in listed] == told

    @pytest.mark.parametrize("form", ["jsonl", "csv", "xml"])
    async def test_texts_say_the_same(self, client, parts, form):
        await store(parts, 1, metadata={"order": FORMULA}, expected="rose")
        await store(parts, 2, status="failed", predicted_class=None, confidence=None)
        rows = documents_as_rows((await exported(client)).json(), COLUMNS)
        file = await exported(client, format=form, safe=False)
        read = {
            "jsonl": lambda data: documents_as_rows([*map(json.loads, data.splitlines())], COLUMNS),
            "csv": lambda data: csv_as_rows(data, COLUMNS),
            "xml": lambda data: xml_as_rows(data, COLUMNS),
        }[form](file.content)

        assert read == rows
        assert file.headers["content-type"] == find_format(form).media_type
        assert f'filename="results.{form}"' in file.headers["content-disposition"]

    @pytest.mark.parametrize("form", ["json", "jsonl", "csv", "xml", "xlsx", "parquet"])
    async def test_nothing_is_a_file_too(self, client, form):
        file = await exported(client, format=form)
        empty = {
            "json": b"[\n]\n",
            "jsonl": b"",
            "csv": ",".join(each.name for each in COLUMNS).encode() + b"\r\n",
            "xml": b'<?xml version="1.0" encoding="UTF-8"?>\n<results>\n</results>\n',
        }

        assert file.content == empty.get(form, file.content)

    async def test_every_row_comes_once(self, client, parts, monkeypatch):
        """Page by page, the newest first."""
        monkeypatch.setattr("app.storage.exporting.AT_ONCE", 4)
        ids = [await store(parts, minute) for minute in range(11)]
        told = (await exported(client, columns="id")).json()

        assert [each["id"] for each in told] == ids[::-1]

    async def test_an_unknown_one_is_refused(self, client):
        refused = await client.get(PLACE, params={"format": "pdf"})

        assert is_problem(refused, 422, "invalid-request")
        assert "xlsx" in refused.json()["detail"]


class TestColumns:
    async def test_they_are_chosen(self, client, parts):
        """In their order, by name, with all below a name, and by single keys."""
        await store(parts, metadata={"order": "A-17", "a.b": {"c": 1}})
        wanted = "confidence,timings_ms,metadata.order,metadata.a.b,probabilities.rose,id"
        (row,) = (await exported(client, columns=wanted)).json()
        cells = (await exported(client, columns=wanted, format="csv")).text
        names, values = csv.reader(io.StringIO(cells))

        assert list(row) == ["confidence", "timings_ms", "metadata", "probabilities", "id"]
        assert row["metadata"] == {"order": "A-17", "a.b": {"c": 1}}
        assert names[-4:] == ["metadata.order", "metadata.a.b", "probabilities.rose", "id"]
        assert values[-4:-1] == ["A-17", '{"c":1}', ""]

    async def test_each_key_becomes_one(self, client, parts):
        """Of all rows that are exported, and of no others."""
        await store(parts, 1, metadata={"b": 1, "a": FORMULA})
        await store(parts, 2, probabilities={"rose": 0.9, "daisy": 0.1})
        await store(parts, 3, metadata={"c": "x"}, domain="animals")
        query = {"columns": ["id", "metadata.*", "probabilities.*"], "domain": "flowers"}
        names, *rows = csv.reader(io.StringIO((await exported(client, format="csv", **query)).text))

        assert names[1:] == [
            "metadata.a",
            "metadata.b",
            "probabilities.daisy",
            "probabilities.rose",
        ]
        assert [row[1:] for row in rows] == [["", "", "0.1", "0.9"], [f"'{FORMULA}", "1", "", ""]]

    @pytest.mark.parametrize("name", ["colour", "image.colour", "metadata.", "conf", "id.x"])
    async def test_what_is_none_is_refused(self, client, name):
        refused = await client.get(PLACE, params={"columns": name})

        assert is_problem(refused, 422, "invalid-request")
        assert name in refused.json()["detail"]


class TestWhich:
    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"api_keys": api_keys(shop=False, boss=True)})

    async def test_others_are_not_told(self, client, parts):
        mine = await store(parts, 1, caller="shop")
        other = await store(parts, 2, caller="press")
        told = {
            name: [
                row["id"]
                for row in (
                    await client.get(
                        PLACE, params={"columns": "id"}, headers={"authorization": f"Bearer {name}"}
                    )
                ).json()
            ]
            for name in ("shop", "boss")
        }

        assert told == {"shop": [mine], "boss": [other, mine]}


class TestFilters:
    async def test_they_are_those_of_the_list(self, client, parts):
        ids = [
            await store(parts, minute, domain=domain)
            for minute, domain in enumerate(("flowers", "animals", "flowers"))
        ]
        told = await exported(client, domain="flowers", since=NOON.isoformat(), columns="id")

        assert [each["id"] for each in told.json()] == [ids[2], ids[0]]

    async def test_what_nothing_is_similar_to_is_a_problem(self, client):
        """Although the file would have begun."""
        refused = await client.get(PLACE, params={"similar_to": UNKNOWN})

        assert is_problem(refused, 404, "result-not-found")


class TestGzip:
    async def test_who_takes_it_gets_it(self, client, parts):
        for minute in range(50):
            await store(parts, minute)
        plain = await exported(client, columns="id")
        request = client.build_request(
            "GET", PLACE, params={"columns": "id"}, headers={"accept-encoding": "gzip"}
        )
        packed = await client.send(request, stream=True)
        raw = b"".join([each async for each in packed.aiter_raw()])

        assert packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(raw) == plain.content
        assert len(raw) < len(plain.content) / 2
