"""`results`, `export` and `domains`: what was answered, told at a shell."""

import csv
import gzip
import io
import json
import sqlite3

import pytest

from app.exports import COLUMNS
from tests.conftest import PHOTOGRAPHS
from tests.shell import COLOUR, Shell, without_escapes

PICTURES = ("rose", "daisy", "fork", "sunflower")


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """Four pictures are classified, the last one now; two of them are a batch, too."""
    shell = Shell(tmp_path_factory.mktemp("shell"))
    files = [PHOTOGRAPHS / f"{name}.jpg" for name in PICTURES]
    (shell.folder / "pictures").mkdir()
    for each in files[:2]:
        (shell.folder / "pictures" / each.name).write_bytes(each.read_bytes())
    batch = shell.run("batch", "pictures", "--domain=flowers", "--json")
    classified = shell.run("classify", *files, "--domain", "flowers", "--json")
    assert (batch.returncode, classified.returncode) == (0, 0)
    shell.batch = json.loads(batch.stdout)["id"]
    shell.results = [json.loads(line) for line in classified.stdout.splitlines()][::-1]
    return shell


def documents(done) -> list[dict]:
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


class TestResults:
    def test_the_newest_come_first(self, shell):
        found = documents(shell.run("results", "--json", "--limit", "4"))

        assert found == shell.results

    def test_elsewhere_than_on_a_terminal_they_are_lines_with_tabs(self, shell):
        """Without heads; nothing is cut."""
        done = shell.run("results", "--limit=2")
        rows = [line.split("\t") for line in done.stdout.splitlines()]

        assert [row[:1] + row[2:] for row in rows] == [
            [
                each["id"],
                "flowers",
                each["predicted_class"],
                str(each["confidence"]),
                each["status"],
                "local",
                ",".join(each["review_reasons"]),
                each["final_class"] or "",
                each["decided_by"] or "",
            ]
            for each in shell.results[:2]
        ]
        assert rows[0][1] == shell.results[0]["created_at"]

    def test_on_a_terminal_they_are_a_table(self, shell):
        """That fits into 80 columns."""
        status, told = shell.look("results", "--limit", "4")
        head, *rows = without_escapes(told).splitlines()

        assert status == 0
        assert head.split() == ["id", "age", "domain", "class", "sure", "status"]
        assert [row.split()[0] for row in rows] == [each["id"] for each in shell.results]
        assert [row.split()[-1] for row in rows] == [each["status"] for each in shell.results]
        assert all(len(row.rstrip()) <= 80 for row in rows)

    @pytest.mark.parametrize("columns", [40, 60])
    def test_an_id_is_never_cut(self, shell, columns):
        _, told = shell.look("results", columns=columns)

        assert shell.results[0]["id"] in told

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            (["--class", "rose", "--status", "accepted"], {"rose"}),
            (["--status=needs_review", "--domain=flowers", "--provider=local"], {"fork"}),
            (["--max-confidence", "0.5", "--caller", "command-line"], {"fork"}),
            (["--domain", "animals"], set()),
            (["--since", "2100-01-01"], set()),
            (["--until", "2100-01-01T00:00:00Z", "--min-confidence=0.5"], {*PICTURES} - {"fork"}),
        ],
    )
    def test_filters_are_those_of_the_api(self, shell, filters, expected):
        names = {
            each["image"]["sha256"]: name
            for each, name in zip(shell.results, PICTURES[::-1], strict=True)
        }
        found = documents(shell.run("results", *filters, "--json"))

        assert {names[each["image"]["sha256"]] for each in found} == expected

    def test_one_is_told_in_full(self, shell):
        result = shell.results[0]
        as_json = documents(shell.run("results", result["id"], "--json"))
        lines = dict(
            line.split("\t") for line in shell.run("results", result["id"]).stdout.splitlines()
        )
        _, told = shell.look("results", result["id"])

        assert as_json == [result]
        assert lines["image.sha256"] == result["image"]["sha256"]
        assert json.loads(lines["probabilities"]) == result["probabilities"]
        assert "error.detail" not in lines
        assert "image.sha256" in told

    @pytest.mark.parametrize(
        ("arguments", "status", "words"),
        [
            (["cls_x"], 1, "There is no result cls_x"),
            (["cls_x", "--domain", "flowers"], 2, "not both"),
            (["--similar-to", "cls_x"], 1, "There is no result cls_x"),
            (["--since", "yesterday"], 2, "2026-01-31T12:00:00Z"),
            (["--status", "nope"], 2, "needs_review"),
            (["--limit", "0"], 2, "greater than or equal to 1"),
            (["--min-confidence", "2"], 2, "less than or equal to 1"),
        ],
    )
    def test_what_is_wrong_is_told(self, shell, arguments, status, words):
        done = shell.run("results", *arguments)

        assert (done.returncode, done.stdout) == (status, "")
        assert words in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_terminal_obeys_no_text_of_others(self, shell):
        """What moves its cursor, or looks like a line of its own, is shown instead."""
        with sqlite3.connect(shell.folder / "app.db") as database:
            database.execute(
                "UPDATE results SET expected = ? WHERE id = ?",
                ("a\x1b]0;b\x07\n\tc\x9b", shell.results[3]["id"]),
            )
        shown = r"a\x1b]0;b\x07\n\tc\x9b"
        lines = shell.run("results", shell.results[3]["id"]).stdout.splitlines()
        _, told = shell.look("results", shell.results[3]["id"])
        with sqlite3.connect(shell.folder / "app.db") as database:
            database.execute("UPDATE results SET expected = NULL")

        assert f"expected\t{shown}" in lines
        assert r"a\x1b]0;b\x07" in told
        assert "\x1b]0" not in told


class TestDomains:
    def test_all_are_told(self, shell):
        lines = shell.run("domains").stdout.splitlines()
        status, told = shell.look("domains")

        assert lines[1] == "flowers\t0.7\t\tdandelion,rose,sunflower,daisy"
        assert [line.split("\t")[0] for line in lines] == ["animals", "flowers", "objects"]
        assert status == 0
        assert "dandelion, rose, sunflower, daisy" in told

    async def test_as_json_they_are_what_the_api_tells(self, shell, client):
        found = documents(shell.run("domains", "--json"))
        one = documents(shell.run("domains", "objects", "--json"))

        assert found == (await client.get("/domains")).json()["domains"]
        assert one == found[2:]

    def test_one_is_told_in_full(self, shell):
        lines = shell.run("domains", "objects").stdout.splitlines()
        _, told = shell.look("domains", "objects")

        assert "class\tcup (mug, measuring cup, espresso)" in lines
        assert "\nprompt_template" in without_escapes(told)

    def test_an_unknown_one_is_told(self, shell):
        done = shell.run("domains", "nope")

        assert done.returncode == 1
        assert "Known: animals, flowers, objects" in done.stderr


class TestExport:
    def test_the_name_of_the_file_says_the_format(self, shell, tmp_path):
        done = shell.run("export", "--output", tmp_path / "r.jsonl.gz")
        text = gzip.decompress((tmp_path / "r.jsonl.gz").read_bytes())
        rows = [json.loads(line) for line in text.splitlines()]

        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr.startswith(f"{tmp_path / 'r.jsonl.gz'}: 6 rows, ")
        assert rows[:4] == [{"item_id": None, **each} for each in shell.results]
        assert [each.name for each in tmp_path.iterdir()] == ["r.jsonl.gz"]

    def test_without_a_file_it_is_csv_on_stdout(self, shell):
        done = shell.run("export")
        head, *rows = csv.reader(io.StringIO(done.stdout))

        assert done.stderr == ""
        assert head == [each.name for each in COLUMNS]
        assert [row[1] for row in rows[:4]] == [each["id"] for each in shell.results]

    def test_a_batch_comes_in_its_order(self, shell):
        done = shell.run("export", shell.batch, "--columns", "item_id, predicted_class", "-o", "-")

        assert done.stdout.split() == [
            "item_id,predicted_class",
            "daisy.jpg,daisy",
            "rose.jpg,rose",
        ]

    def test_filters_are_those_of_results(self, shell):
        done = shell.run("export", "--status=needs_review", "--format=jsonl", "--columns=id")

        assert documents(done) == [{"id": shell.results[1]["id"]}]

    def test_as_json_it_tells_what_was_written(self, shell, tmp_path):
        place = str(tmp_path / "r")
        done = shell.run("export", "--json", "--format=xml", "--output", place)

        assert documents(done) == [
            {"output": place, "format": "xml", "rows": 6, "bytes": (tmp_path / "r").stat().st_size}
        ]

    def test_cells_are_safe_unless_raw(self, shell, tmp_path):
        with sqlite3.connect(shell.folder / "app.db") as database:
            database.execute("UPDATE results SET expected = '=1' WHERE predicted_class = 'daisy'")
        safe = shell.run("export", "--columns=expected", "--class=daisy")
        raw = shell.run("export", "--columns=expected", "--class=daisy", "--raw")
        with sqlite3.connect(shell.folder / "app.db") as database:
            database.execute("UPDATE results SET expected = NULL")

        assert safe.stdout.split() == ["expected", "'=1", "'=1"]
        assert raw.stdout.split() == ["expected", "=1", "=1"]

    def test_a_file_is_replaced_whole_or_not_at_all(self, shell, tmp_path):
        """And a link stays one."""
        (tmp_path / "r.csv").write_text("before")
        (tmp_path / "link.csv").symlink_to("r.csv")
        failed = shell.run("export", "bat_x", "--output", tmp_path / "link.csv")
        kept = (tmp_path / "r.csv").read_text()
        shell.run("export", shell.batch, "--output", tmp_path / "link.csv")

        assert failed.returncode == 1
        assert "There is no batch bat_x" in failed.stderr
        assert kept == "before"
        assert (tmp_path / "r.csv").read_text().startswith("item_id")
        assert (tmp_path / "link.csv").is_symlink()
        assert len([*tmp_path.iterdir()]) == 2

    def test_a_device_is_written_not_replaced(self, shell):
        done = shell.bash(f"app export {shell.batch} --columns item_id -o >(cat) --format csv")

        assert done.stdout.split() == ["item_id", "daisy.jpg", "rose.jpg"]

    def test_a_store_takes_what_lies_below_export_targets(self, shell, tmp_path):
        allowed = {"EXPORT_TARGETS": f"file://{tmp_path}/exports/"}
        put = shell.run("export", "-o", f"file://{tmp_path}/exports/r.csv", **allowed)
        refused = shell.run("export", "-o", f"file://{tmp_path}/r.csv", **allowed)
        local = shell.run("export", "-o", tmp_path / "r.csv", **allowed)

        assert put.returncode == 0
        assert (tmp_path / "exports" / "r.csv").read_text() == (tmp_path / "r.csv").read_text()
        assert refused.returncode == 1
        assert "EXPORT_TARGETS" in refused.stderr
        assert local.returncode == 0

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["-o", "r.pdf"], "there is no 'pdf'"),
            (["--format", "pdf"], "there is no 'pdf'"),
            (["--columns", "id,nope"], "there is no 'nope'"),
            (["-o", "nowhere/r.csv"], "There is no folder"),
            (["-o", "pictures", "--format", "csv"], "is a folder"),
            (["bat_x", "--class", "rose"], "not both"),
            (["--json"], "name one"),
        ],
    )
    def test_wrong_use_is_told_before_anything_is_read(self, shell, arguments, words):
        done = shell.run("export", *arguments, DATABASE_URL="sqlite:////nowhere/app.db")

        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_terminal_gets_no_binary_format(self, shell):
        status, told = shell.look("export", "--format", "xlsx")
        status_of_text, text = shell.look("export", "--columns", "id")

        assert status == 2
        assert "xlsx is not for a terminal" in told
        assert status_of_text == 0
        assert not COLOUR.search(text)

    def test_a_terminal_shows_how_far_it_is(self, shell, tmp_path):
        _, told = shell.look("export", "--output", tmp_path / "r.csv")

        assert without_escapes(told).count(" 6 rows") > 1
