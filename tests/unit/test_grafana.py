"""What can be known about Grafana's files where no Grafana runs. What its queries find is asked of
a real Prometheus: tests/integration/test_prometheus.py."""

import json
from itertools import combinations
from pathlib import PurePosixPath

import pytest
import yaml

from app.alerts import read_rules
from app.settings_groups import AlertThresholds
from tests.service import ROOT

FOLDER = ROOT / "config" / "grafana"
DASHBOARD = json.loads((FOLDER / "dashboards" / "classifier.json").read_text())
PANELS = [each for each in DASHBOARD["panels"] if each["type"] != "row"]
RULES = read_rules(ROOT / "config" / "alerts.yaml", AlertThresholds())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


def mounted(place: str) -> str:
    """The folder here that a path in the container is in; fails where there is none."""
    for each in COMPOSE["grafana"]["volumes"]:
        source, target, mode = each.split(":")
        if PurePosixPath(place).is_relative_to(target):
            assert mode == "ro"
            return str(ROOT / source / PurePosixPath(place).relative_to(target))
    raise AssertionError(place)


def provisioned(kind: str) -> dict:
    (found,) = (FOLDER / "provisioning" / kind).iterdir()
    return yaml.safe_load(found.read_text())


def covers(place: dict) -> set[tuple[int, int]]:
    columns = range(place["x"], place["x"] + place["w"])
    return {(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])}


def test_no_panel_lies_on_another():
    for one, other in combinations(DASHBOARD["panels"], 2):
        assert not covers(one["gridPos"]) & covers(other["gridPos"]), (one["title"], other["title"])
    assert all(each["gridPos"]["x"] + each["gridPos"]["w"] <= 24 for each in DASHBOARD["panels"])
    assert len({each["id"] for each in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.parametrize("panel", PANELS, ids=lambda each: each["title"])
def test_a_panel_says_what_it_shows_and_in_what_unit(panel):
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}"
    assert all("$instance" in each["expr"] for each in panel["targets"])


def test_charts_of_latency_show_exemplars():
    shown = {each["title"] for each in PANELS if any("exemplar" in t for t in each["targets"])}

    assert {"Time of a result", "Time of a request, p95"} <= shown


@pytest.mark.parametrize(
    ("title", "rule"),
    [
        ("Failures", "error_rate"),
        ("Time, p95", "response_time"),
        ("Accuracy", "accuracy"),
        ("Accuracy unreviewed", "unseen_accuracy"),
        ("Drift", "drift"),
    ],
)
def test_red_begins_where_the_alert_does(title, rule):
    (panel,) = (each for each in PANELS if each["title"] == title)
    (one,) = (each for each in RULES if each.name == rule)

    assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1] == {
        "color": "red",
        "value": one.threshold,
    }


def test_it_finds_its_prometheus_and_its_dashboard():
    (source,) = provisioned("datasources")["datasources"]
    (provider,) = provisioned("dashboards")["providers"]
    interval = yaml.safe_load((ROOT / "config/prometheus/prometheus.yml").read_text())["global"]
    home = COMPOSE["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]

    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == interval["scrape_interval"]
    assert mounted(provider["options"]["path"]) == str(FOLDER / "dashboards")
    assert mounted(home) == str(FOLDER / "dashboards" / "classifier.json")
    assert mounted("/etc/grafana/provisioning") == str(FOLDER / "provisioning")


def test_whoever_looks_may_change_nothing():
    service = COMPOSE["grafana"]
    environment = service["environment"]

    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert not [each for each in environment if "PASSWORD" in each]
    assert [each.split(":")[0] for each in service["ports"]] == ["127.0.0.1"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["profiles"] == ["monitoring"]
