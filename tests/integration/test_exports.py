"""`/results/export`: results as files."""

import csv
import gzip
import io
import json

import pytest

from app.exports import COLUMNS, find_format
from app.settings_groups import ExportSettings
from tests.exported import csv_as_rows, documents_as_rows, xml_as_rows
from tests.integration.calls import NOON, UNKNOWN, api_keys, is_problem, store
from tests.integration.test_batches import create, ended, pictures
from tests.object_stores import azure, environment, s3

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
        said = {"rose": 0.7, "daisy": 0.3}
        await store(parts, 2, probabilities={"rose": 0.9, "daisy": 0.1}, raw_probabilities=said)
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
        one = (await exported(client, format="csv", columns="raw_probabilities.rose")).text
        assert one.split() == ["raw_probabilities.rose", '""', "0.7", '""']

    async def test_keys_are_found_whatever_they_and_others_hold(self, client, parts):
        await store(parts, metadata={"a\0b": 1, "c": "x\0y", "\ud800": 2, "<r>&</r>": 3})
        told = (await exported(client, columns="metadata.*")).json()

        assert told == [{"metadata": {"<r>&</r>": 3, "a\0b": 1, "c": "x\0y", "\ud800": 2}}]
        for form in ("csv", "xml", "xlsx", "parquet"):
            assert (await exported(client, format=form, columns="metadata.*")).content

    @pytest.mark.parametrize("form", ["json", "csv", "xml", "xlsx", "parquet"])
    async def test_there_may_be_none(self, client, parts, form):
        """For there are no keys."""
        await store(parts)
        file = await exported(client, format=form, columns="metadata.*")

        assert file.content

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

    @pytest.mark.parametrize(
        ("taken", "packed"),
        [
            ("gzip", True),
            ("br, GZIP;q=0.8", True),
            ("*", True),
            ("gzip;q=0", False),
            ("gzip; q=0.000, *", False),
            ("identity", False),
            ("", False),
        ],
    )
    async def test_only_who_takes_it(self, client, taken, packed):
        file = await client.get(PLACE, headers={"accept-encoding": taken})

        assert (file.headers.get("content-encoding") == "gzip") == packed
        assert file.headers["vary"] == "Accept-Encoding"


class TestPut:
    """Into a store, below EXPORT_TARGETS."""

    @pytest.fixture
    def folder(self, tmp_path):
        return tmp_path / "exports"

    @pytest.fixture
    def settings(self, settings, folder):
        targets = ExportSettings(targets=(f"file://{folder}/", "s3://bucket/out/", "az://bucket/"))
        return settings.model_copy(update={"export": targets})

    async def put(self, client, to, status=201, **order):
        answered = await client.post(PLACE, json={"to": to, **order}, params={"domain": "flowers"})
        assert answered.status_code == status, answered.text
        return answered

    @pytest.mark.parametrize("name", ["a.csv", "deep/er/a.jsonl", "a.csv.gz", "a.xlsx"])
    async def test_a_folder(self, client, parts, folder, name):
        """Nothing unfinished is left; what is there is replaced."""
        await store(parts)
        await store(parts, domain="animals")
        for _ in range(2):
            told = (await self.put(client, f"file://{folder}/{name}")).json()
        data = (folder / name).read_bytes()
        form = name.removesuffix(".gz").rpartition(".")[2]
        same = await exported(client, format=form, domain="flowers")

        assert told == {"uri": f"file://{folder}/{name}", "bytes": len(data)}
        assert [each for each in folder.rglob("*") if each.is_file()] == [folder / name]
        if form != "xlsx":  # which says when it was written
            assert (gzip.decompress(data) if name.endswith(".gz") else data) == same.content

    @pytest.mark.parametrize("place", ["s3://bucket/out", "az://bucket/out"])
    async def test_an_object_store(self, client, parts, monkeypatch, place):
        await store(parts)
        with s3() if place.startswith("s3") else azure() as served:
            for name, value in environment(served.url).items():
                monkeypatch.setenv(name, value)
            await self.put(client, f"{place}/a.csv", columns=["domain"])
            served.down = 403
            refused = await self.put(client, f"{place}/b.csv", status=503)

        assert served.held == {"out/a.csv": b"domain\r\nflowers\r\n"}
        assert is_problem(refused, 503, "storage-unavailable")

    async def test_a_mistake_is_none_of_the_store(self, client, parts, folder, monkeypatch):
        """It is told, and logged, as any other one."""
        await store(parts)

        async def mistake(*_):
            raise RuntimeError("the secret is 4711")

        monkeypatch.setattr("app.api.exports.save", mistake)
        failed = await self.put(client, f"file://{folder}/a.csv", status=500)

        assert is_problem(failed, 500, "internal-error")
        assert "4711" not in failed.text

    @pytest.mark.parametrize(
        ("to", "slug"),
        [
            ("file:///etc/a.csv", "url-refused"),
            ("s3://bucket/a.csv", "url-refused"),
            ("file://{folder}/../a.csv", "url-refused"),
            ("file://{folder}/a.pdf", "invalid-request"),
            ("file://{folder}/a", "invalid-request"),
        ],
    )
    async def test_other_places_are_refused(self, client, folder, to, slug):
        refused = await self.put(client, to.format(folder=folder), status=422)

        assert is_problem(refused, 422, slug)

    async def test_a_batch(self, client, fake, folder):
        created = await create(client, ("a.zip", pictures(3)))
        await ended(client, created["id"])
        place = f"/batches/{created['id']}/export"
        target = folder / "a.csv"
        order = {"to": f"file://{target}", "columns": ["item_id,status"]}
        answered = await client.post(place, json=order)
        same = await client.get(place, params={"columns": "item_id,status", "format": "csv"})

        assert answered.status_code == 201
        assert target.read_bytes() == same.content
        assert same.text.splitlines()[1] == "0.jpg,accepted"


class TestPlugIn:
    """A format of another package, found through its entry point."""

    async def test_it_is_one_of_them(self, client, parts, tmp_path, monkeypatch):
        (tmp_path / "shouting.py").write_text(PLUG_IN)
        about = tmp_path / "shouting-1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1\n")
        (about / "entry_points.txt").write_text(
            "[classifier.exporters]\nshouting = shouting:FORMAT"
        )
        monkeypatch.syspath_prepend(tmp_path)
        await store(parts)
        file = await exported(client, format="shouting", columns="domain,predicted_class")

        assert file.text == "(domain predicted_class)FLOWERS ROSE!"
        assert file.headers["content-type"].startswith("text/plain")


PLUG_IN = """
from app.exports import Format

class Shouting:
    def __init__(self, layout):
        self.names = [each.name for each in layout.columns]
    def begin(self):
        return f"({' '.join(self.names)})".encode()
    def rows(self, rows):
        return "".join(" ".join(row).upper() + "!" for row in rows).encode()
    def end(self):
        return ()
    def close(self):
        return

FORMAT = Format("shouting", "text/plain", Shouting)
"""
