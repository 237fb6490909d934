"""docs/architecture.md and docs/security.md name what there is."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ARCHITECTURE, SECURITY = (
    (ROOT / "docs" / name).read_text() for name in ("architecture.md", "security.md")
)


def named(text: str) -> list[tuple[str, str]]:
    """Files and folders, and what in them."""
    return sorted(set(re.findall(r"((?:app|tests)/[\w/]+(?:\.py)?/?)(?::([\w.]+))?", text)))


@pytest.mark.parametrize(("path", "name"), [*named(ARCHITECTURE), *named(SECURITY)])
def test_what_is_named_is_there(path, name):
    """Each file and folder, and in the file the class, function or constant."""
    assert (ROOT / path).exists()
    if name:
        assert name in defined(ROOT / path)


def test_no_folder_is_left_out():
    """Of those that a reader finds in app/."""
    folders = {each.parent.name for each in (ROOT / "app").glob("*/__init__.py")}

    assert folders - {path.split("/")[1] for path, _ in named(ARCHITECTURE)} == set()


@pytest.mark.parametrize(
    ("text", "header", "place", "least"),
    [(ARCHITECTURE, "| step |", "app/", 25), (SECURITY, "| threat |", "tests/", 15)],
    ids=["architecture", "security"],
)
def test_each_row_says_where(text, header, place, least):
    """A step its file, a promise the test that holds it."""
    tables = re.findall(rf"^{re.escape(header)}.*\n\|.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = "".join(tables).splitlines()

    assert len(rows) > least
    assert [each for each in rows if place not in each] == []


def defined(path: Path) -> set[str]:
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {each.id for each in targets if isinstance(each, ast.Name)}
        if isinstance(node, ast.ClassDef):
            inner = (each for each in node.body if hasattr(each, "name"))
            found |= {f"{node.name}.{each.name}" for each in inner}
    return found
