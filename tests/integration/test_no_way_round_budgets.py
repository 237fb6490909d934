"""Whatever can reach a provider, over HTTP, on the command line or through the facade, is held
back by a budget that is spent. A new route or command has to say here whether it can."""

import ast
import base64
import json
from contextlib import suppress
from decimal import Decimal

import pytest
import typer.main

from app.budget import Budget
from app.cli import app as commands
from app.errors import ClassifierError
from app.providers import registry
from enhanced_classification import BatchProcessor, ImageClassifier
from tests.fakes import ENTRY_POINTS, PricedProvider
from tests.integration.calls import PICTURE, until, upload
from tests.integration.test_batches import pictures
from tests.service import ROOT

REACHES = {"POST /classify", "POST /batches"}
"""And what goes on with a batch:"""
GOES_ON = {"POST /batches/{batch_id}/resume", "POST /batches/{batch_id}/retry"}

REACHES_NOT = {
    "DELETE /batches/{batch_id}",
    "DELETE /budgets/{name}",
    "DELETE /callers/{name}/data",
    "DELETE /domains/{name}",
    "DELETE /evaluations/{evaluation_id}",
    "DELETE /domains/{name}/calibrations/{calibration_id}",
    "DELETE /domains/{name}/examples/{example_id}",
    "DELETE /domains/{name}/lessons/{lesson_id}",
    "DELETE /results/{result_id}",
    "DELETE /webhooks/{webhook_id}",
    "PATCH /batches/{batch_id}",
    "PATCH /webhooks/{webhook_id}",
    "POST /alerts/rules/reload",
    "POST /batches/{batch_id}/cancel",
    "POST /batches/{batch_id}/export",
    "POST /batches/{batch_id}/pause",
    "POST /deliveries/{delivery_id}/redeliver",
    "POST /domains",
    "POST /domains/{name}/calibrations",
    "POST /domains/{name}/examples",
    "POST /domains/{name}/lessons",
    "POST /domains/reload",
    "POST /evaluations",
    "POST /events",
    "POST /results/export",
    "POST /reviews/{result_id}",
    "POST /webhooks",
    "POST /webhooks/{webhook_id}/enable",
    "POST /webhooks/{webhook_id}/replay",
    "POST /webhooks/{webhook_id}/rotate",
    "POST /webhooks/{webhook_id}/test",
    "PUT /budgets",
    "PUT /budgets/{name}",
    "PUT /domains/{name}",
    "PUT /results/{result_id}/expected",
}

COMMANDS = {"classify", "batch", "evaluate"}
COMMANDS_NOT = {
    *(
        "alerts rules",
        "audit",
        "erase",
        "calibrate",
        "config check",
        "config show",
        "cost",
        "db upgrade",
        "domains",
        "export",
        "keys new",
        "results",
        "retention",
    ),
    *("ledger reprice", "serve", "simulate", "status", "teach", "threshold", "watch", "worker"),
    *("webhooks listen", "webhooks new-key", "webhooks reencrypt", "webhooks secret"),
}
"""`serve` and `worker` run the routes."""

SPENT = Budget(name="spent", amount_usd=Decimal("0.000001"), period="total")


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"budgets": (SPENT,), "provider": "priced"})


@pytest.fixture
async def priced(parts):
    (provider,) = await parts.providers.get("priced")
    return provider


def test_every_route_and_command_is_known(client):
    schema = json.loads((ROOT / "openapi.json").read_text())
    writing = {
        f"{method.upper()} {path}"
        for path, methods in schema["paths"].items()
        for method in methods
        if method != "get"
    }

    assert writing == REACHES | GOES_ON | REACHES_NOT
    assert set(_commands(typer.main.get_command(commands))) == COMMANDS | COMMANDS_NOT


def _commands(group, before: str = ""):
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from _commands(each, f"{before}{name} ")
        else:
            yield f"{before}{name}"


def test_only_the_dispatcher_calls_providers():
    """All others call the service, or are it; but for the embedded model, which costs nothing and
    may be timed."""
    calls = {
        (path.name, ast.unparse(node.func.value))
        for path in (ROOT / "app").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "classify"
    }
    of_the_service = {"parts.classification", "service", "self._backend"}

    assert {each for each in calls if each[1] not in of_the_service} == {
        ("calls.py", "provider"),
        ("looking.py", "embedded"),
    }


async def test_over_http(client, priced):
    """At once and later, as a file, a URL and base64, alone and in batches, and gone on with."""
    at_once = await client.post("/classify", files=upload(provider=None))
    encoded = {"domain": "flowers", "image_base64": base64.b64encode(PICTURE).decode()}
    as_text = await client.post("/classify", json=encoded)
    later = await client.post(
        "/classify", files=upload(provider=None), headers={"prefer": "respond-async"}
    )
    batch = await client.post(
        "/batches", data={"domain": "flowers"}, files={"file": ("a.zip", pictures(3))}
    )
    refused = batch.json()["type"]
    accepted = later.headers["location"]

    async def failed() -> bool:
        return (await client.get(accepted)).json()["status"] == "failed"

    await until(failed)

    assert refused == "/problems/budget-spent"
    assert (at_once.status_code, as_text.status_code) == (429, 429)
    assert (await client.get(accepted)).json()["error"]["type"] == "/problems/budget-spent"
    assert priced.calls == 0


async def test_a_batch_that_is_gone_on_with(client, parts, priced, monkeypatch):
    """It was taken in when there was enough, and is resumed, and tried again."""
    affording = parts.taking_in._affording

    async def enough(batch, domain):
        return

    monkeypatch.setattr(affording, "check", enough)
    created = await client.post(
        "/batches", data={"domain": "flowers"}, files={"file": ("a.zip", pictures(3))}
    )
    path = f"/batches/{created.json()['id']}"

    async def held_up() -> bool:
        told = (await client.get(path)).json()
        return told["status"] == "paused" and "budget" in told["reason"]

    await until(held_up)
    await client.post(f"{path}/resume")
    await until(held_up)
    await client.post(f"{path}/cancel")
    await client.post(f"{path}/retry")
    await until(held_up)

    assert priced.calls == 0


@pytest.fixture
def everywhere(monkeypatch, tmp_path):
    """All that is built from here on has the budget, and the provider, whose calls are counted."""
    asked = []

    async def classify(self, *_, **__):
        asked.append(self)
        raise AssertionError

    monkeypatch.setattr(registry, "OWN", (*registry.OWN, *ENTRY_POINTS))
    monkeypatch.setattr(PricedProvider, "classify", classify)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/app.db")
    monkeypatch.setenv("PROVIDER", "priced")
    monkeypatch.setenv("BUDGETS", f"[{SPENT.model_dump_json()}]")
    folder = tmp_path / "pictures" / "rose"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(PICTURE)
    return folder, asked


@pytest.mark.parametrize(
    "command",
    [
        ["classify", "{0}/a.png", "--domain", "flowers"],
        ["batch", "{0}", "--domain", "flowers"],
        ["evaluate", "{0}/..", "--domain", "flowers"],
    ],
    ids=lambda each: each[0],
)
def test_on_the_command_line(everywhere, command):
    folder, asked = everywhere
    with suppress(ClassifierError):
        commands([each.format(folder) for each in command], standalone_mode=False)

    assert asked == []


def test_through_the_facade(everywhere):
    folder, asked = everywhere
    with ImageClassifier(domain="flowers") as classifier, pytest.raises(Exception, match="budget"):
        classifier.classify_image(folder / "a.png")
    with BatchProcessor(domain="flowers") as batches, pytest.raises(Exception, match="budget"):
        batches.process_directory(folder)

    assert asked == []
