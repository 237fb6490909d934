"""Contracts of imports allow what is done, and nothing that no longer is."""

import ast
import importlib
import inspect
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
GUARDED = [each for each in CONTRACTS["contracts"] if each["type"] == "protected"]


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(
        *CONTRACTS["root_packages"], include_external_packages=True, cache_dir=None
    )


@pytest.mark.parametrize("contract", GUARDED, ids=lambda each: each["name"])
def test_whoever_may_import_does(graph, contract):
    """import-linter finds who isn't allowed, not who needn't be."""
    importers = {
        importer
        for guarded in contract["protected_modules"]
        for importer in graph.find_modules_that_directly_import(guarded)
    }

    for allowed in contract["allowed_importers"]:
        assert importers & {allowed, *graph.find_descendants(allowed)}, allowed


FACES = [
    path.parent.name
    for path in sorted((ROOT / "app").glob("*/__init__.py"))
    if "__all__" in path.read_text()
]
LOADED_IN_PARTS = {"client", "providers", "simulator", "storage", "telemetry"}
"""Packages of many modules, or whose parts are loaded only where they are needed: what their
`__init__.py` does not export is imported from its module."""


def test_what_a_package_exports_is_imported_from_it():
    """A reader of `__init__.py` sees what others use, and of most packages others use no more."""
    exported = {name: set(importlib.import_module(f"app.{name}").__all__) for name in FACES}
    round_it = [
        f"{path.relative_to(ROOT)}: {node.module}"
        for path in (ROOT / "app").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module
        for root, package, *below in [[*node.module.split("."), ""]]
        if root == "app" and package in exported and below != [""]
        if package != path.relative_to(ROOT).parts[1]
        if package not in LOADED_IN_PARTS or exported[package] & {each.name for each in node.names}
    ]

    assert round_it == []


@pytest.mark.parametrize("name", FACES)
def test_no_module_takes_the_place_of_what_is_exported(name):
    """Python binds a module in its package when it is first imported, which may be late."""
    package = importlib.import_module(f"app.{name}")
    namesakes = [each for each in package.__all__ if (ROOT / "app" / name / f"{each}.py").exists()]
    for each in namesakes:
        importlib.import_module(f"app.{name}.{each}")

    assert [each for each in namesakes if inspect.ismodule(getattr(package, each))] == []
