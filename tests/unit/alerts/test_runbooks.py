"""docs/monitoring.md says what to do, with names that there are."""

import inspect
import json
import re

import pytest

from app import errors
from app.alerts import read_rules
from app.alerts.signals import OWN
from app.settings_groups import AlertThresholds
from docs.generate import ROOT
from tests.alerting import SHIPPED

PAGE = (ROOT / "docs" / "monitoring.md").read_text()
RULES = read_rules(SHIPPED, AlertThresholds())


def slug(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def section(anchor: str) -> str:
    parts = re.split(r"^#{2,3} (.+)$", PAGE, flags=re.MULTILINE)
    return {slug(head): text for head, text in zip(parts[1::2], parts[2::2], strict=True)}[anchor]


@pytest.mark.parametrize("rule", RULES, ids=lambda each: each.name)
def test_each_rule_has_a_runbook(rule):
    """That tells what it means, where to look, and what to do."""
    page, _, anchor = rule.runbook.partition("#")
    text = section(anchor)

    assert page == "docs/monitoring.md"
    assert re.search(r"^\*.+\*", text.strip(), flags=re.DOTALL)
    assert "GET /" in text or "python -m app" in text


def test_each_signal_is_in_the_table():
    table = section("add-a-rule-add-a-signal")

    assert set(re.findall(r"^\| `(\w+)` \|.*\|$", table, re.MULTILINE)) == OWN.keys()


def test_every_path_that_is_named_is_there():
    paths = json.loads((ROOT / "openapi.json").read_text())["paths"]
    known = {(method.upper(), _any(path)) for path, methods in paths.items() for method in methods}
    named = {
        (method, _any(path))
        for method, path in re.findall(r"`(GET|POST|PUT|DELETE) (/[\w/{}-]*[\w}])", PAGE)
    }

    assert len(named) > 10
    assert named - known == set()


def _any(path: str) -> str:
    """Whatever the names of what is in it."""
    return re.sub(r"\{\w+\}", "{}", path)


def test_every_error_that_is_named_is_there():
    slugs = {
        each.slug()
        for _, each in inspect.getmembers(errors, inspect.isclass)
        if issubclass(each, errors.ClassifierError)
    }
    table = section("error-rate").partition("| `error.type`")[2]
    named = re.findall(r"`([a-z]+(?:-[a-z]+)+|overloaded)`", table)

    assert len(named) > 8
    assert set(named) - slugs == set()


def test_every_link_within_the_page_leads_somewhere():
    headings = {slug(each) for each in re.findall(r"^#+ (.+)$", PAGE, flags=re.MULTILINE)}

    assert set(re.findall(r"\(#([\w-]+)\)", PAGE)) - headings == set()
