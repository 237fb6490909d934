"""Pages name what there is: files, commands, routes."""

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

from app import __version__
from app.cli import app
from tests.documentation import PAGES, spans

ROOT = Path(__file__).parents[2]
ARCHITECTURE, SECURITY, CHANGELOG = (
    (ROOT / name).read_text()
    for name in ("docs/architecture.md", "docs/security.md", "CHANGELOG.md")
)

ROUTES = {
    re.sub(r"\{\w+\}", r"[^/]+", path): methods
    for path, methods in json.loads((ROOT / "openapi.json").read_text())["paths"].items()
}
"""Methods by a pattern of the path."""


UNTRIED = (
    "CHANGELOG.md",
    "app/providers/local/data/MODEL_CARD.md",
    "training/README.md",
)
"""Pages whose commands users do not run."""

LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s#]*)#?([^)\s]*)\)")
PICTURE = re.compile(r"<(?:img|source)\b[^>]*\bsrc(?:set)?=\"([^\"]+)\"")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def named(text: str) -> list[tuple[str, str]]:
    """Files and folders, and what in them."""
    return sorted(set(re.findall(r"((?:app|tests)/[\w/]+(?:\.py)?/?)(?::([\w.]+))?", text)))


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", [*PAGES, *UNTRIED])
def test_links_lead_somewhere(page):
    for path, heading in LINK.findall((ROOT / page).read_text()):
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), path
        assert not heading or heading in anchors(target), f"{path}#{heading}"


@pytest.mark.parametrize("page", PAGES)
def test_pictures_are_there(page):
    for path in PICTURE.findall((ROOT / page).read_text()):
        assert ((ROOT / page).parent / path).exists(), path


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


@pytest.mark.parametrize("page", PAGES)
def test_a_command_or_route_in_a_sentence_is_there(page):
    """With or without what follows its name."""
    assert [each for each in spans(page) if not is_there(each)] == []


def is_there(span: str) -> bool:
    match re.sub(r"^\.venv/bin/", "", span).split():
        case ["python", "-m", "app", *words]:
            return is_command(words)
        case ["python", "-m", module, *_] if module.split(".")[0] in (
            "benchmarks",
            "tests",
            "docs",
        ):
            path = ROOT / module.replace(".", "/")
            return path.with_suffix(".py").exists() or (path / "__main__.py").exists()
        case ["make", target, *_]:
            return bool(re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE))
        case [_, path, *_] if path.startswith("/_sim"):
            return True  # of another service; docs/simulator.md is run
        case ["GET" | "POST" | "PUT" | "PATCH" | "DELETE" as method, path, *_]:
            return any(
                method.lower() in methods and re.fullmatch(route, path.partition("?")[0])
                for route, methods in ROUTES.items()
            )
    return True


def test_the_changelog_begins_with_this_version():
    versions = re.findall(r"^## (\S+) \(\d{4}-\d\d-\d\d\)$", CHANGELOG, re.MULTILINE)

    assert versions[0] == __version__


def is_command(words: list[str]) -> bool:
    """Options are its own, too."""
    command = get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    known = {option for each in command.params for option in each.opts + each.secondary_opts}
    asked = {each.partition("=")[0] for each in words if each.startswith("--")}
    is_whole = not getattr(command, "commands", {}) or command.invoke_without_command
    return asked <= known | {"--help", "--version"} and (is_whole or words in ([], ["COMMAND"]))


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


def test_a_reader_finds_every_layer_in_the_order_in_which_it_is_held():
    """CONTRIBUTING's list is the one that `make check` holds."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (each for each in contracts["contracts"] if each.get("exhaustive"))
    names = [name for each in layers["layers"] for name in each.split(" | ")]
    listed = re.findall(r"^    app/(\w+)", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)

    assert listed == [each for each in names if each in listed]
    below = (ROOT / "CONTRIBUTING.md").read_text().partition("and below these")[2]
    for name in names[names.index(listed[-1]) + 1 :]:
        assert f"{name}.py" in below.partition("[docs/")[0]
    assert set(names[: names.index(listed[-1])]) - set(listed) == {"__main__"}
