"""A folder of labelled pictures becomes a domain, as `teach` does it at a shell."""

from pathlib import Path

import pytest

from app.errors import TooFewExamples
from app.teaching import FolderLesson, FolderTeaching
from tests.teaching import KINDS, picture


@pytest.fixture
def folder(tmp_path) -> Path:
    for kind in KINDS:
        (tmp_path / kind).mkdir()
        for seed in range(4):
            (tmp_path / kind / f"{seed}.jpg").write_bytes(picture(kind, seed))
    return tmp_path


async def teach(parts, folder: Path, **how) -> FolderLesson:
    teaching = FolderTeaching(parts.domains, parts.collecting, parts.lessons)
    how = {"accuracy": 0.97, "caller": "me", "max_bytes": 1_000_000, **how}
    return await teaching.teach(folder, "patterns", **how)


async def names(parts) -> list[str]:
    await parts.domains.load_stored()
    return [each.name for each in parts.domains.all()]


async def test_a_folder_becomes_a_domain(parts, folder):
    (folder / "discs").rename(folder / "none")

    told = await teach(parts, folder)
    domain = parts.domains.get("patterns")
    again = await teach(parts, folder)

    assert sorted(domain.labels) == ["checks", "stripes"]
    assert domain.allow_none
    assert domain.confidence_threshold == pytest.approx(told.report.threshold, abs=0.001)
    assert (told.is_new, told.added, told.report.none_examples) == (True, 12, 4)
    assert (again.is_new, again.added, again.known) == (False, 0, 12)
    assert parts.lessons.in_force("patterns").id == again.lesson


async def test_a_dry_run_keeps_nothing(parts, folder):
    told = await teach(parts, folder, dry_run=True)

    assert (told.lesson, told.added, told.report.examples) == (None, 12, 12)
    assert "patterns" not in await names(parts)
    assert await parts.examples.counts("patterns") == {}


async def test_too_little_makes_no_domain(parts, folder):
    """Else the next attempt would find it there, and not choose its threshold."""
    for kind in KINDS[1:]:
        for path in (folder / kind).iterdir():
            path.write_bytes(b"no picture")

    with pytest.raises(TooFewExamples):
        await teach(parts, folder)

    assert "patterns" not in await names(parts)
    assert await parts.examples.counts("patterns") == {}
