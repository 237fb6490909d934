"""A real Prometheus reads what real processes tell, and so would the Grafana dashboard."""

import asyncio
import json
import math
import re
import shutil
import subprocess
import time
from datetime import UTC, datetime

import httpx2
import pytest
import yaml

from app.settings import Settings
from app.settings_sources import leaves, variable
from tests.monitored import Monitored, remember, until
from tests.prometheus_server import PrometheusServer
from tests.redis_server import RedisServer
from tests.service import ROOT

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="needs Prometheus; make test-deps installs it"
)

DASHBOARD = json.loads((ROOT / "config/grafana/dashboards/classifier.json").read_text())
PANELS = [each for each in DASHBOARD["panels"] if each["type"] != "row"]
QUERIES = {
    f"{panel['title']}: {target['legendFormat']}": target["expr"]
    for panel in PANELS
    for target in panel["targets"]
}


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server.url
    server.kill()


@pytest.fixture(scope="module")
def monitored(tmp_path_factory, postgres, postgres_template, redis_url):
    database_url = postgres.url(postgres.new_database(template=postgres_template))
    asyncio.run(remember(database_url))
    with pytest.MonkeyPatch.context() as patch:
        for path, _ in leaves(Settings):
            patch.delenv(variable(path), raising=False)
        monitored = Monitored(tmp_path_factory.mktemp("monitored"), database_url, redis_url)
    yield monitored
    monitored.stop()


@pytest.fixture(scope="module")
def prometheus(monitored, tmp_path_factory):
    """It has looked at what the same work did twice: a rate needs two numbers."""
    prometheus = PrometheusServer(tmp_path_factory.mktemp("prometheus"), *monitored.targets)
    monitored.listen()
    for _ in range(2):
        monitored.work()
        look(prometheus)
    yield prometheus
    prometheus.stop()


def look(prometheus) -> None:
    """Return when all targets were scraped and the rules evaluated from now on."""
    now = datetime.now(UTC)
    until(
        lambda: (
            sum(is_up(each) and at(each["lastScrape"]) > now for each in targets(prometheus)) == 2
        )
    )
    now = datetime.now(UTC)
    until(lambda: all(at(each["lastEvaluation"]) > now for each in rules(prometheus)))


def targets(prometheus) -> list[dict]:
    return prometheus.get("targets")["activeTargets"]


def is_up(target: dict) -> bool:
    return (target["health"], target["lastError"]) == ("up", "")


def rules(prometheus) -> list[dict]:
    (group,) = prometheus.get("rules")["groups"]
    return group["rules"]


def at(text: str) -> datetime:
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))


def test_both_processes_are_scraped(prometheus, monitored):
    told = targets(prometheus)

    assert sorted(each["labels"]["instance"] for each in told) == sorted(monitored.targets)
    assert all(is_up(each) for each in told)


def test_exemplars_come_with_openmetrics(prometheus, monitored):
    """They lead from a slow result to its line in the log."""
    told = prometheus.get(
        "query_exemplars",
        query="classifier_classification_seconds_bucket or classifier_http_request_seconds_bucket",
        start=time.time() - 120,
        end=time.time(),
    )

    assert {each["seriesLabels"]["__name__"] for each in told} == {
        "classifier_classification_seconds_bucket",
        "classifier_http_request_seconds_bucket",
    }
    traces = {each["labels"]["trace_id"] for series in told for each in series["exemplars"]}
    assert traces <= monitored.traces()


def test_every_rule_is_evaluated(prometheus):
    shipped = yaml.safe_load((ROOT / "config/prometheus/alerts.rules.yml").read_text())
    told = {each["name"]: each for each in rules(prometheus)}

    assert told.keys() == {each["alert"] for each in shipped["groups"][0]["rules"]}
    assert {(each["health"], each.get("lastError")) for each in told.values()} == {("ok", None)}
    assert told["ClassifierCostPerDay"]["state"] == "firing"
    assert told["ClassifierDrift"]["state"] == "pending"
    assert told["ClassifierBreakerOpen"]["state"] == "inactive"


@pytest.mark.parametrize("process", [0, 1], ids=["serve", "worker"])
def test_promtool_has_nothing_to_say_about_what_is_told(monitored, process):
    told = httpx2.get(f"http://{monitored.targets[process]}/metrics", timeout=30).content
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=told, capture_output=True, check=False
    )

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


@pytest.fixture(scope="module")
def chosen(prometheus) -> dict[str, str]:
    """What Grafana puts in the place of variables while All is chosen."""
    values = {}
    for each in DASHBOARD["templating"]["list"]:
        if each["type"] == "query":
            found = re.fullmatch(r"label_values\((\w+), (\w+)\)", each["query"]["query"])
            listed = prometheus.get(f"label/{found[2]}/values", **{"match[]": found[1]})
            assert len(listed) >= 2, each["name"]
            some = "|".join(re.escape(value).replace("\\", "\\\\") for value in listed)
            values[each["name"]] = each.get("allValue", f"({some})")
    return values | {"__rate_interval": "1m"}


def asked(query: str, chosen: dict[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda found: chosen[found[1]], query)


@pytest.mark.parametrize("title", QUERIES)
def test_each_panel_shows_something(prometheus, chosen, title):
    found = prometheus.query(asked(QUERIES[title], chosen))

    assert any(math.isfinite(float(each["value"][1])) for each in found)


def test_series_have_names_of_their_own(prometheus, chosen):
    """Each of a panel's labels is there."""
    for panel in PANELS:
        names = [
            target["legendFormat"].replace("{{", "{").replace("}}", "}").format(**each["metric"])
            for target in panel["targets"]
            for each in prometheus.query(asked(target["expr"], chosen))
        ]
        assert len(set(names)) == len(names), panel["title"]


def test_alerts_are_marked_in_the_charts(prometheus):
    (marks,) = DASHBOARD["annotations"]["list"]
    found = prometheus.query(marks["target"]["expr"])

    assert [each["metric"]["alertname"] for each in found] == ["ClassifierCostPerDay"]
