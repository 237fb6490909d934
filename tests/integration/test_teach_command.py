"""`python -m app teach`: folders of pictures become classes that answers are of."""

import json

import pytest
from PIL import Image

from tests.integration.test_command_line import run  # noqa: F401
from tests.pictures import encoded
from tests.teaching import KINDS, picture


@pytest.fixture
def folder(tmp_path):
    """Three classes, pictures of none of them, and a file that is no picture."""
    for kind in KINDS:
        (tmp_path / "pictures" / kind).mkdir(parents=True)
        for seed in range(4):
            (tmp_path / "pictures" / kind / f"{seed}.jpg").write_bytes(picture(kind, seed))
    (tmp_path / "pictures" / "none").mkdir()
    for shade in range(4):
        (tmp_path / "pictures" / "none" / f"{shade}.jpg").write_bytes(plain(40 + 50 * shade))
    (tmp_path / "pictures" / KINDS[0] / "broken.jpg").write_text("no picture")
    return tmp_path / "pictures"


def plain(shade: int) -> bytes:
    return encoded(Image.new("L", (300, 200), shade).convert("RGB"), "JPEG")


def test_folders_become_a_domain_that_answers(run, folder, tmp_path):  # noqa: F811
    """Once more it is told that nothing is new."""
    done = run("teach", folder, "--domain", "patterns")
    again = run("teach", folder, "--domain", "patterns", "--json")
    unseen = []
    for kind in KINDS:
        (tmp_path / f"unseen-{kind}.jpg").write_bytes(picture(kind, 97))
        unseen.append(tmp_path / f"unseen-{kind}.jpg")
    answers = run("classify", *unseen, "--domain", "patterns", "--json").stdout.splitlines()

    assert done.returncode == 0, done.stderr
    assert "domain     patterns, new" in done.stdout
    assert "12 and 4 of none; 16 new" in done.stdout
    assert "broken.jpg: " in done.stderr
    told = json.loads(again.stdout)
    assert (told["added"], told["known"], told["is_new"]) == (0, 16, False)
    assert told["report"]["accuracy"] > 0.6
    found = [json.loads(line) for line in answers]
    assert {each["revision"] for each in found} == {told["lesson"]}
    assert (
        sum(each["predicted_class"] == kind for each, kind in zip(found, KINDS, strict=True)) >= 2
    )


def test_a_dry_run_keeps_nothing(run, folder):  # noqa: F811
    done = run("teach", folder, "--domain", "patterns", "--dry-run", "--json")
    domains = run("domains", "--json").stdout

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["lesson"] is None
    assert "patterns" not in domains


@pytest.mark.parametrize(
    ("domain", "complaint"),
    [
        ("flowers", "checks"),
        ("No name!", "makes no domain 'No name!'"),
        ("patterns/..", "makes no domain"),
    ],
)
def test_what_can_not_be_taught_is_told(run, folder, domain, complaint):  # noqa: F811
    done = run("teach", folder, "--domain", domain)

    assert done.returncode == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_what_can_not_be_read_is_told_where_too_little_is_left(run, folder):  # noqa: F811
    for kind in KINDS:
        for path in (folder / kind).iterdir():
            path.write_text("no picture")

    done = run("teach", folder, "--domain", "patterns")

    assert done.returncode == 1
    assert "left out, such as " in done.stderr
    assert "This is no picture" in done.stderr
    assert "patterns" not in run("domains").stdout
