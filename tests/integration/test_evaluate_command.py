"""`python -m app evaluate`: labelled pictures asked about, or labelled results looked up."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import PHOTOGRAPHS, ROOT
from tests.integration.test_command_line import run  # noqa: F401

CLASSES = ("daisy", "dandelion", "rose", "sunflower")
WRONG = "sunflower.jpg: sunflower"


@pytest.fixture
def labelled(tmp_path):
    """Two classes, one photograph in the wrong folder, a file that is no picture, and a stranger
    in a folder of its own."""
    for name, label in (("rose", "rose"), ("daisy", "daisy"), ("sunflower", "daisy")):
        (tmp_path / "labelled" / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(PHOTOGRAPHS / f"{name}.jpg", tmp_path / "labelled" / label)
    (tmp_path / "labelled" / "rose" / "broken.jpg").write_text("no picture")
    (tmp_path / "strangers").mkdir()
    shutil.copy(PHOTOGRAPHS / "fork.jpg", tmp_path / "strangers")
    return tmp_path / "labelled"


@pytest.fixture
def evaluated(run, labelled, tmp_path):  # noqa: F811
    """The command, and its report as JSON."""
    done = run(
        *("evaluate", labelled, "--domain", "flowers", "--none", "strangers"),
        *("--json", "first.json", "--html", "first.html"),
    )
    assert done.returncode == 0, done.stderr
    return done, json.loads((tmp_path / "first.json").read_text())


def test_a_folder_is_told_to_people_and_programs(evaluated, tmp_path):
    done, found = evaluated
    page = (tmp_path / "first.html").read_text()

    assert "accuracy   50.0% of 4" in done.stdout
    assert "thresholds" in done.stdout
    assert WRONG in done.stdout
    assert "broken.jpg: This is no picture" in done.stdout
    assert (found["n"], found["none_n"], found["failed"]) == (4, 1, 1)
    assert set(found) > {"ece", "brier", "risk_coverage", "thresholds", "cost_per_1000", "macro_f1"}
    assert len(found["outcomes"]) == 5
    assert sum(found["outcomes"].values()) == 2
    assert "50\N{NO-BREAK SPACE}% of 4 pictures were answered right" in page
    assert page.count("data:image/jpeg;base64,") == 2
    assert done.stderr == ""


def test_answers_are_kept_with_their_labels(evaluated, run):  # noqa: F811
    """Strangers', too: they feed what is learned from labels, and a later look at them."""
    _, found = evaluated
    stored = run("results", "--json").stdout.splitlines()
    again = run("evaluate", "--domain", "flowers", "--since", "2020-01-01", "--json", "-")
    nothing = run("evaluate", "--domain", "flowers", "--until", "2020-01-01")

    assert sorted(json.loads(each)["expected"] for each in stored).count("none") == 1
    told = json.loads(again.stdout)
    # What is no picture has no answer, and no row.
    assert (told["n"], told["none_n"], told["failed"]) == (3, 1, 0)
    assert told["confusion"]["daisy"] == found["confusion"]["daisy"]
    assert nothing.returncode == 1
    assert "has a true class" in nothing.stderr


def test_two_runs_are_compared(evaluated, run, labelled, tmp_path):  # noqa: F811
    """Where a label was mended, only this run is right."""
    (labelled / "sunflower").mkdir()
    (labelled / "daisy" / "sunflower.jpg").rename(labelled / "sunflower" / "sunflower.jpg")

    done = run(
        *("evaluate", labelled, "--domain", "flowers"),
        *("--compare", "first.json", "--json", "second.json"),
    )

    found = json.loads((tmp_path / "second.json").read_text())["comparison"]
    assert (found["n"], found["better"], found["worse"]) == (4, 1, 0)
    assert found["only_now_right"][0]["name"].endswith("sunflower/sunflower.jpg")
    assert "+25.0 points on 4 pictures" in done.stdout
    assert "answered before" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "Name a folder"),
        (["labelled", "--since", "2026-01-01"], 2, "can't be combined with --batch"),
        (["--since", "2026-01-01", "--none", "strangers"], 2, "FOLDER"),
        (["--batch", "bat_1", "--provider", "local"], 2, "can't be combined with --since"),
        (["--batch", "bat_1"], 1, "There is no batch bat_1"),
        (["labelled", "--compare", "labelled/rose/broken.jpg"], 1, "no report to compare with"),
        (["labelled", "--html", "absent/report.html"], 1, "absent is no folder"),
        (["labelled", "--compare", "absent.json"], 1, "absent.json"),
        (["labelled", "--compare", "animals.json"], 1, "a report about the domain 'animals'"),
        (["labelled", "--html", "labelled"], 1, "labelled is a folder"),
        (["labelled", "--json", "labelled"], 1, "labelled is a folder"),
    ],
)
def test_what_makes_no_sense_is_said_at_once(
    run,  # noqa: F811
    labelled,
    tmp_path,
    arguments,
    status,
    words,
):
    """Before anybody is asked."""
    other = {"measured_on": {"domain": "animals"}, "outcomes": {}}
    (tmp_path / "animals.json").write_text(json.dumps(other))

    done = run("evaluate", "--domain", "flowers", *arguments)

    assert done.returncode == status
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
    assert run("results", "--json").stdout == ""


def test_the_answers_of_a_batch_are_judged(run, labelled, tmp_path):  # noqa: F811
    """Its folders said what is true."""
    (labelled / "rose" / "broken.jpg").unlink()
    ran = run("batch", labelled, "--domain", "flowers")
    batch_id = re.search(r"bat_\w{26}", ran.stdout + ran.stderr)[0]
    run("evaluate", "strangers", "--domain", "flowers")

    done = run(
        *("evaluate", "--domain", "flowers", "--batch", batch_id),
        *("--json", "batch.json", "--html", "batch.html"),
    )

    found = json.loads((tmp_path / "batch.json").read_text())
    wrong = found["mistakes"][0]["name"]
    assert done.returncode == 0, done.stderr
    assert "accuracy   66.7% of 3" in done.stdout
    assert f"{wrong}: sunflower" in done.stdout
    assert (found["n"], found["none_n"], found["failed"]) == (3, 0, 0)
    assert found["confusion"] == {
        "daisy": {"daisy": 1, "sunflower": 1},
        "rose": {"rose": 1},
    }
    assert found["measured_on"]["what"] == f"batch {batch_id}"
    assert wrong == "daisy/sunflower.jpg"
    # It was uploaded, so its picture is kept.
    assert (tmp_path / "batch.html").read_text().count("data:image/jpeg;base64,") == 1


def test_names_that_are_no_text_break_no_report(run, labelled, tmp_path):  # noqa: F811
    """Of folders and of what is compared with; their pictures are shown."""
    odd = os.fsdecode(b"odd-\xff")
    try:
        labelled.rename(tmp_path / odd)
    except OSError:
        pytest.skip("names are text on this file system")
    first = run("evaluate", odd, "--domain", "flowers", "--json", f"{odd}.json")

    done = run(
        *("evaluate", odd, "--domain", "flowers", "--compare", f"{odd}.json"),
        *("--json", "second.json", "--html", "second.html"),
    )

    assert first.returncode == 0, first.stderr
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "second.json").read_text())
    assert found["measured_on"]["what"] == "odd-\N{REPLACEMENT CHARACTER}"
    assert found["comparison"]["earlier"] == "odd-\N{REPLACEMENT CHARACTER}.json"
    page = (tmp_path / "second.html").read_text()
    assert page.count("data:image/jpeg;base64,") == len(found["mistakes"]) == 1


def test_the_example_writes_its_report(tmp_path):
    """40 photographs, 10 a class, and those of none of the classes that are there."""
    for name, folder in (*((each, each) for each in CLASSES), ("fork", "tulips")):
        (tmp_path / "photographs" / folder).mkdir(parents=True)
        for number in range(11):
            to = tmp_path / "photographs" / folder / f"{number}.jpg"
            shutil.copy(PHOTOGRAPHS / f"{name}.jpg", to)

    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "evaluate_flowers.py", "photographs", "report"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "DATABASE_URL": f"sqlite:///{tmp_path}/app.db"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "report.json").read_text())
    assert (found["n"], found["none_n"]) == (40, 10)
    assert "of 40 pictures were answered right" in (tmp_path / "report.html").read_text()
