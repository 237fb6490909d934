"""docs/architecture.md names what there is."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/architecture.md").read_text()
NAMED = sorted(set(re.findall(r"`?(app/[\w/]+(?:\.py)?/?)(?::([\w.]+))?", TEXT)))


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_what_is_named_is_there(path, name):
    """Each file and folder, and in the file the class, function or constant."""
    assert (ROOT / path).exists()
    if name:
        assert name in defined(ROOT / path)


def test_no_folder_is_left_out():
    """Of those that a reader finds in app/."""
    folders = {each.parent.name for each in (ROOT / "app").glob("*/__init__.py")}

    assert folders - {path.split("/")[1] for path, _ in NAMED} == set()


def test_the_paths_follow_the_pipeline():
    """Of a picture, an item and a webhook: each step names its file."""
    steps = [line for line in TEXT.splitlines() if line.startswith("| ") and "---" not in line]

    assert len(steps) > 25
    assert [each for each in steps if "app/" not in each and each != "| step | where |"] == []


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
