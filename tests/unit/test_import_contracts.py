"""Contracts of imports allow what is done, and nothing that no longer is."""

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
