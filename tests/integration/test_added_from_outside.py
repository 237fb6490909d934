"""What the pages "Add a ..." show is installed beside the service, and does what they say."""

import asyncio
import json
import os
import subprocess
import sys
from shutil import copytree

import httpx2
import pytest
from PIL import Image

from tests.conftest import PHOTOGRAPHS, ROOT
from tests.integration.calls import until
from tests.integration.webhook_calls import subscribe
from tests.packages import installed, shown
from tests.receiver import said
from tests.service import RunningService


@pytest.fixture
def serve_with(start_service, tmp_path):
    """A service beside which the package of a page is installed."""

    def serve_with(page: str, **variables: str):
        site = installed(page, tmp_path / "package")
        return start_service(PYTHONPATH=os.pathsep.join((str(ROOT), str(site))), **variables)

    return serve_with


async def run(service: RunningService, *command: str, **variables: str):
    """A command where the service has its settings from."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "app", *command],
        env=os.environ | service.variables | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_provider(serve_with, tmp_path):
    service = serve_with("docs/add_provider.md", PROVIDER="colour")
    with httpx2.Client(base_url=service.url, timeout=30) as client:
        made = client.post("/domains", json=json.loads(shown("docs/add_provider.md", "json")))
        assert made.status_code == 201, made.text
        answers = []
        for colour in ("#b8281c", "#6aa838"):
            picture = tmp_path / "tomato.png"
            Image.new("RGB", (320, 240), colour).save(picture)
            asked = client.post(
                "/classify", data={"domain": "tomatoes"}, files={"file": picture.read_bytes()}
            )
            assert asked.status_code == 200, asked.text
            answers.append(asked.json())
        none = client.post(
            "/classify", data={"domain": "flowers"}, files={"file": picture.read_bytes()}
        )

    assert [each["predicted_class"] for each in answers] == ["ripe", "unripe"]
    assert {each["provider"] for each in answers} == {"colour"}
    assert all(sum(each["probabilities"].values()) == pytest.approx(1) for each in answers)
    assert "its description is no colour" in none.json()["detail"]


async def test_an_alert(serve_with, tmp_path):
    """Without a picture it fires; one picture resolves it."""
    config = copytree(ROOT / "config", tmp_path / "config")
    (config / "alerts.yaml").write_text(shown("docs/add_alert.md", "yaml"))
    variables = {"CONFIG_DIR": str(config), "MONITORING_ALERTS_EVERY": "0.2"}
    service = serve_with("docs/add_alert.md", **variables)
    async with httpx2.AsyncClient(base_url=service.url, timeout=30) as client:

        async def is_quiet(state: str) -> bool:
            found = await client.get("/alerts", params={"state": state})
            return [each["rule"] for each in found.json()["alerts"]] == ["quiet"]

        await until(lambda: is_quiet("firing"), seconds=30)
        picture = (PHOTOGRAPHS / "rose.jpg").read_bytes()
        await client.post("/classify", data={"domain": "flowers"}, files={"file": picture})
        await until(lambda: is_quiet("resolved"), seconds=30)


async def test_a_setting(serve_with, inbox, tmp_path):
    """From settings.yaml and from the environment; it is shown, and what is secret is not."""
    config = copytree(ROOT / "config", tmp_path / "config")
    own = shown("docs/add_setting.md", "yaml").replace(
        "https://classifier.example.com/", inbox.url()
    )
    (config / "settings.yaml").write_text(own)
    inbox.always = said("200 OK", body=b'{"daisy": 0.75, "rose": 0.25}')
    service = serve_with("docs/add_setting.md", CONFIG_DIR=str(config), ACME_API_KEY="hush-4711")
    async with httpx2.AsyncClient(base_url=service.url, timeout=30) as client:
        picture = (PHOTOGRAPHS / "rose.jpg").read_bytes()
        asked = await client.post("/classify", data={"domain": "flowers"}, files={"file": picture})
    (post,) = inbox.posts
    of_it = await run(service, "config", "show", "--json")

    assert asked.json()["predicted_class"] == "daisy"
    assert post.headers["authorization"] == "Bearer hush-4711"
    settings = {each["key"]: each for each in map(json.loads, of_it.stdout.splitlines())}
    told = {name: settings[f"acme.{name}"] for name in ("url", "api_key", "patience")}
    assert {name: (each["value"], each["source"]) for name, each in told.items()} == {
        "url": (inbox.url(), f"{config}/settings.yaml:3"),
        "api_key": ("***", "environment"),
        "patience": (3.0, f"{config}/settings.yaml:4"),
    }
    assert told["patience"]["description"] == "Seconds that it has to answer."

    wrong = await run(service, "serve", ACME_PATIENCE="soon")
    (config / "settings.yaml").write_text("acme: {patience: 0}\n")
    wrong_file = await run(service, "config", "check")

    assert (wrong.returncode, wrong_file.returncode) == (2, 2)
    assert wrong.stderr in (ROOT / "docs" / "add_setting.md").read_text()
    assert "ACME_PATIENCE" in wrong.stderr
    assert f"{config}/settings.yaml:1: acme.patience: " in wrong_file.stderr


async def test_an_event(serve_with, inbox):
    """It is listed and described like ours, and arrives signed."""
    service = serve_with("docs/add_event.md", EGRESS_ALLOW=inbox.place)
    event = json.loads(shown("docs/add_event.md", "json"))
    async with httpx2.AsyncClient(base_url=service.url, timeout=30) as client:
        made = await subscribe(client, inbox, event_types=["camera.offline"])
        answered = await client.post("/events", json=event)
        (post,) = await inbox.got(1)
        types = (await client.get("/events")).json()["event_types"]
        schema = (await client.get("/openapi.json")).json()

    assert answered.status_code == 202, answered.text
    told = post.verify(made["secret"])
    assert (told["type"], told["data"], told["link"]) == (event["type"], event["data"], "")
    assert post.id == answered.json()["id"]
    assert [each["type"] for each in types if not each["own"]] == ["camera.offline"]
    operation = schema["webhooks"]["camera.offline"]["post"]
    content = operation["requestBody"]["content"]["application/json"]["schema"]
    assert content["examples"][0]["data"] == event["data"] | {"camera": "gate-3"}
