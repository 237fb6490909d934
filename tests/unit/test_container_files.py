"""What can be known about the container files where no container runs."""

import json
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

import app
from app.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SERVICE = "classifier"
IMAGE_PATHS = ("/app", "/build", "/opt/venv", "/nonexistent")
SYSTEM_PATHS = ("/var/lib/apt", "/var/cache/apt", "/var/log")


def instructions() -> list[tuple[str, str]]:
    text = "\n".join(
        line
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if not line.lstrip().startswith("#")
    )
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1].strip()) for line in lines if line.strip()]


def of_kind(kind: str) -> list[str]:
    return [rest for name, rest in instructions() if name == kind]


def variables() -> dict[str, str]:
    return dict(part.split("=", 1) for rest in of_kind("ENV") for part in shlex.split(rest))


def compose() -> dict:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def copied() -> list[str]:
    return [
        source
        for rest in of_kind("COPY")
        if not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]


@pytest.mark.parametrize("source", copied())
def test_the_dockerfile_copies_what_exists_and_is_let_in(source):
    """.dockerignore refuses everything but what it names."""
    rules = (ROOT / ".dockerignore").read_text().split("\n")

    assert (ROOT / source).exists()
    assert "*" in rules
    assert f"!{source}" in rules


def test_nothing_else_is_let_in():
    rules = (ROOT / ".dockerignore").read_text().split("\n")

    assert {rule[1:] for rule in rules if rule.startswith("!")} == set(copied())


@pytest.mark.parametrize("name", ["azure.env", ".env"])
def test_keys_are_kept_out(name):
    rules = (ROOT / ".dockerignore").read_text().split("\n")
    refused = [rule.removeprefix("**/") for rule in rules if rule.startswith("**/")]

    assert any(fnmatch(name, rule) for rule in refused)


def test_the_dockerfile_names_no_path_of_a_machine():
    steps = " ".join(rest for kind, rest in instructions() if kind in ("RUN", "COPY", "WORKDIR"))
    named = re.findall(r"(?<![\w./])/[\w./-]+", steps)

    assert named
    assert [path for path in named if not path.startswith(IMAGE_PATHS + SYSTEM_PATHS)] == []


def test_the_image_runs_the_service_itself_and_not_as_root():
    """SIGTERM goes to the process of CMD: no shell may stand in between."""
    assert json.loads(of_kind("CMD")[-1]) == ["python", "-m", "app", "serve"]
    assert of_kind("USER")[-1].split(":")[0] not in ("0", "root")
    assert of_kind("EXPOSE") == [variables()["PORT"]]


def test_the_image_sets_variables_that_the_service_takes(monkeypatch):
    for name, value in variables().items():
        if name != "PATH":
            monkeypatch.setenv(name, value)

    settings = Settings()

    assert (settings.host, settings.port) == ("0.0.0.0", 8000)
    assert settings.allow_anonymous
    assert settings.log_renderer == "json"


def test_the_database_lies_on_the_volume():
    database = Settings().database_url.removeprefix("sqlite:///")

    assert str(Path("/app") / database).startswith(of_kind("VOLUME")[-1] + "/")


def test_compose_mounts_what_exists():
    mounts = [
        mount.split(":")[0]
        for service in compose()["services"].values()
        for mount in service.get("volumes", [])
    ]

    assert "./config" in mounts
    for source in mounts:
        if source.startswith("."):
            assert (ROOT / source).exists()
        else:
            assert source in compose()["volumes"]


@pytest.mark.parametrize(("name", "works", "replicas"), [("serve", False, 2), ("worker", True, 3)])
def test_the_profile_scale_shares_all_work(monkeypatch, name, works, replicas):
    """It is not started without being named."""
    service = compose()["services"][name]
    for variable, value in service["environment"].items():
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-(\w+)\}", r"\1", str(value)))
    settings = Settings()

    assert settings.shared
    assert (settings.work, service["deploy"]["replicas"]) == (works, replicas)
    assert settings.blobs_place.startswith("file://" + of_kind("VOLUME")[-1])
    assert settings.traffic.processes == 5
    assert service["profiles"] == ["scale"]
    assert service.get("command", [name])[-1] == name


def test_the_proxy_lets_batches_through():
    config = (ROOT / "config/proxy/nginx.conf").read_text()

    assert "client_max_body_size 2g;" in config
    assert Settings().batch.max_upload <= 2 << 30
    assert f"serve:{variables()['PORT']}" in config


def test_compose_lets_the_service_write_nothing_but_its_data():
    service = compose()["services"][SERVICE]

    assert service["read_only"]
    assert f"{SERVICE}-data:{of_kind('VOLUME')[-1]}" in service["volumes"]


def test_compose_waits_until_the_service_has_stopped_by_itself():
    """Requests get DRAIN_TIMEOUT, then work that was accepted gets it again."""
    settings = Settings()
    patience = float(compose()["services"][SERVICE]["stop_grace_period"].removesuffix("s"))

    assert patience > settings.drain_delay + 2 * settings.drain_timeout


def test_prometheus_scrapes_the_service_where_it_listens():
    mount = "./config/prometheus:/etc/prometheus:ro"
    config = yaml.safe_load((ROOT / "config/prometheus/prometheus.yml").read_text())
    (job,) = config["scrape_configs"]

    assert mount in compose()["services"]["prometheus"]["volumes"]
    port = variables()["PORT"]
    assert job["static_configs"] == [{"targets": [f"{SERVICE}:{port}"]}]
    (of_scale,) = job["dns_sd_configs"]
    assert (of_scale["names"], of_scale["port"]) == (["serve", "worker"], int(port))


async def test_prometheus_scrapes_what_the_service_answers(client):
    config = yaml.safe_load((ROOT / "config/prometheus/prometheus.yml").read_text())
    (job,) = config["scrape_configs"]

    answer = await client.get(job["metrics_path"])

    assert answer.status_code == 200
    assert "classifier_build_info" in answer.text


def test_the_image_is_labelled_with_what_it_is_made_of():
    """What `make image` passes is what the Dockerfile takes, and the label shows."""
    labels = dict(part.split("=", 1) for rest in of_kind("LABEL") for part in shlex.split(rest))
    taken = {rest.partition("=")[0] for rest in of_kind("ARG")}
    passed = re.findall(r"--build-arg (\w+)=", (ROOT / "Makefile").read_text())

    assert passed == ["VERSION", "REVISION"]
    for name in passed:
        assert name in taken
        assert labels[f"org.opencontainers.image.{name.lower()}"] == f"${{{name}}}"
    assert f"VERSION={app.__version__}" in of_kind("ARG")  # also where compose builds it


@pytest.mark.parametrize("name", ["requirements", "requirements-postgres", "requirements-dev"])
def test_versions_and_hashes_are_locked(name):
    """What is installed is what was looked at; pip refuses all else, also what that needs."""
    text = (ROOT / f"{name}.txt").read_text().replace("\\\n", " ")
    lines = [
        each for each in text.splitlines() if each.strip() and not each.lstrip().startswith("#")
    ]

    assert lines
    assert [
        each for each in lines if not re.match(r"[\w.\[\]-]+==\S+.* --hash=sha256:", each)
    ] == []
    if name != "requirements-dev":
        assert f"-r /build/{name}.txt" in " ".join(of_kind("RUN"))
        assert "--require-hashes" in " ".join(of_kind("RUN"))
