"""How a folder is looked through."""

import os
import sys
import zipfile
from pathlib import Path

import pytest

from app.batches.archive import read_archive
from app.client.folder import LONGEST_NAME, Folder
from app.client.remote_batches import groups_of, packed
from tests.pictures import jpeg

PICTURE = jpeg()

ODD = ("a:b.jpg", "a%3Ab.jpg", "back\\slash.jpg", "new\nline.jpg", "x.zip", "no-suffix", "ä.jpg")


@pytest.fixture
def folder(tmp_path):
    for name in ODD:
        (tmp_path / name).write_bytes(PICTURE)
    if sys.platform == "linux":
        (tmp_path / os.fsdecode(b"\xff.jpg")).write_bytes(PICTURE)
    deep = tmp_path / ("d" * 200) / ("e" * 200)
    deep.mkdir(parents=True)
    for name in ("f1.jpg", "f2.jpg"):
        (deep / name).write_bytes(PICTURE)
    return tmp_path


def test_any_name_can_be_sent(folder, tmp_path):
    """Each as one of its own, which no archive is refused for; names for people are text."""
    found = Folder.read(folder)
    with (tmp_path / ".archive").open("w+b") as file:
        unreadable = packed(found.pictures, file)
        file.seek(0)
        rows = list(
            read_archive(
                file,
                label=lambda folder: None,
                max_items=100,
                max_bytes=10**6,
                max_total=10**7,
            )
        )

    assert unreadable == {}
    assert [each.item_id for each in rows] == [each.sent_as for each in found.pictures]
    assert len({each.item_id for each in rows}) == len(found.names) >= len(ODD) + 2
    assert max(len(each.item_id) for each in rows) <= LONGEST_NAME
    assert "ä.jpg" in {each.item_id for each in rows}
    for name in found.names:
        name.encode()


def test_what_can_not_be_opened_is_a_failure(tmp_path, monkeypatch):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(PICTURE)
    opened = Path.open

    def refusing(path, mode):
        if path.name == "b.jpg":
            raise PermissionError(13, "Permission denied")
        return opened(path, mode)

    monkeypatch.setattr(Path, "open", refusing)

    folder = Folder.read(tmp_path)

    assert folder.failures["b.jpg"].detail == "The file can't be read: Permission denied."
    assert [each.name for each in folder.pictures] == ["a.jpg"]


def test_what_is_gone_when_it_is_packed_is_told(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(PICTURE)
    found = Folder.read(tmp_path)
    (tmp_path / "a.jpg").unlink()
    with (tmp_path / ".archive").open("w+b") as file:
        assert packed(found.pictures, file) == {"a.jpg": "can't be read: No such file or directory"}
        assert zipfile.ZipFile(file).namelist() == ["b.jpg"]


def test_a_large_folder_becomes_several_batches(tmp_path):
    """In its order; one that is larger than a group is alone."""
    for number, size in enumerate((10, 10, 10, 500, 10)):
        (tmp_path / f"{number}.jpg").write_bytes(b"\xff\xd8\xff".ljust(size))
    folder = Folder.read(tmp_path)

    groups = groups_of(folder, "all", files=2, size=100)

    assert [each.name for each in groups] == [f"all ({n}/4)" for n in (1, 2, 3, 4)]
    assert [[each.name for each in group.pictures] for group in groups] == [
        ["0.jpg", "1.jpg"],
        ["2.jpg"],
        ["3.jpg"],
        ["4.jpg"],
    ]
    assert [each.name for each in groups_of(folder, "all", files=9, size=1_000)] == ["all"]
