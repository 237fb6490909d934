"""Files shown on pages of the documentation: parsed by their consumer, else compared with the
repository's."""

import json
import re
import tomllib
from itertools import pairwise
from pathlib import Path

import yaml
from opentelemetry.sdk import environment_variables as of_opentelemetry

from app.alerts import read_rules
from app.domains import read_domains
from app.settings import Settings, load_settings
from app.settings_groups import AlertThresholds
from app.settings_sources import leaves, variable
from app.telemetry.logging import read_logging_config
from tests.documentation import ROOT, Block, blocks

PORT = 8000
OPENAPI = json.loads((ROOT / "openapi.json").read_text())
PATHS, WEBHOOKS = OPENAPI["paths"], OPENAPI["webhooks"]


def check(block: Block, folder: Path) -> None:
    """Check the file as it is in `folder` now, in the current environment."""
    assert block.file
    if reads := READ_BY.get(block.file):
        reads(folder / block.file)


def extras() -> set[str]:
    """Names of the package's extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    each = project["optional-dependencies"].values()
    return {re.split(r"[\[>=]", package)[0] for packages in each for package in packages}


def composed(words: list[str]) -> bool:
    """Whether docker-compose.yml has the profiles and services that these words name, after
    `docker compose`."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    profiles = {one for each in services.values() for one in each.get("profiles", ())}
    named = {after for word, after in pairwise(words) if word == "--profile"}
    given = {each for each in words[words.index("up") + 1 :] if not each.startswith("-")}
    return named <= profiles and given <= services.keys()


def knows(name: str) -> bool:
    """Whether the service, or OpenTelemetry in it, reads this variable."""
    return name in {variable(path) for path, _ in leaves(Settings)} | vars(
        of_opentelemetry
    ).keys() | {"OTEL_EXPORTER_OTLP_HEADERS"}


def a_deployment(text: str) -> None:
    pod = yaml.safe_load(text)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": PORT}]
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container[kind]["httpGet"]
        assert asked["path"] in PATHS
        assert asked["port"] == PORT
    assert [each["name"] for each in container["volumeMounts"]] == [
        each["name"] for each in pod["volumes"]
    ]
    settings = Settings()
    patience = pod["terminationGracePeriodSeconds"]
    assert patience > settings.drain_delay + 2 * settings.drain_timeout


def a_pod_monitor(text: str) -> None:
    shown = yaml.safe_load(text)
    assert shown["kind"] == "PodMonitor"
    assert [each["port"] for each in shown["spec"]["podMetricsEndpoints"]] == ["http"]


def a_dockerfile(text: str) -> None:
    steps = text.replace("\\\n", "").splitlines()
    assert [each.split()[0] for each in steps] == ["FROM", "USER", "RUN", "USER"]
    assert set(steps[2].partition(" install ")[2].split()) <= extras()


def a_log_line(text: str) -> None:
    """The page describes each field of the line."""
    page = (ROOT / "docs" / "monitoring.md").read_text()
    heads = {"timestamp", "level", "event", "logger"}
    assert {each for each in json.loads(text) if f"`{each}`" not in page} <= heads


def a_webhook(text: str) -> None:
    """It has the headers and fields that the API's description says, as an event of its type."""
    head, _, body = text.partition("\n\n")
    sent = json.loads(body.replace(", ...", ""))
    operation = WEBHOOKS[sent["type"]]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    (example,) = content["schema"]["examples"]
    headers = {each.partition(":")[0] for each in head.splitlines()[1:]}
    assert headers - {"content-type"} == {each["name"] for each in operation["parameters"]}
    model = OPENAPI["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
    assert set(model["required"]) <= sent.keys() <= example.keys()
    assert sent["data"].keys() <= example["data"].keys()


def _compose(path: Path) -> None:
    """The files it mounts are shown on the same page, or exist."""
    shown = {str(each.file) for each in blocks("docs/monitoring.md")}
    for service in yaml.safe_load(path.read_text())["services"].values():
        assert service["image"]
        sources = [each.split(":")[0].removeprefix("./") for each in service["volumes"]]
        assert all(each in shown or (ROOT / each).exists() for each in sources)


def _alertmanager(path: Path) -> None:
    """It routes to receivers that it defines, by rules and severities of the service."""
    shown = yaml.safe_load(path.read_text())
    rules = read_rules(ROOT / "config" / "alerts.yaml", AlertThresholds())
    names = {"rule": {each.name for each in rules}, "severity": {each.severity for each in rules}}
    route = shown["route"]
    receivers = {each["name"] for each in shown["receivers"]}
    matchers = [each for inner in route["routes"] for each in inner["matchers"]]
    for each in shown["inhibit_rules"]:
        matchers += each["source_matchers"] + each["target_matchers"]

    assert {route["receiver"], *(each["receiver"] for each in route["routes"])} <= receivers
    for each in matchers:
        label, values = re.fullmatch(r'(\w+)=~?"(.*)"', each).groups()
        assert set(values.split("|")) <= names[label]


READ_BY = {
    "config/domains.yaml": read_domains,
    "config/alerts.yaml": lambda path: read_rules(path, AlertThresholds()),
    "config/logging.yaml": read_logging_config,
    "config/settings.yaml": lambda _: load_settings(),
    "config/alertmanager.yml": _alertmanager,
    "docker-compose.override.yml": _compose,
}
