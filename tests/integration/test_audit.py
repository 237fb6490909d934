"""Who changed what is on record, with the change or not at all, and holds no secret."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
import typer.testing
from pydantic import SecretStr

from app.cli import app as commands
from app.parts import build_parts
from app.settings_groups import WebhookSettings
from app.storage.audit import COMMAND_LINE, MAX_VALUE, AuditFilter, By, note
from app.storage.tables import audit
from tests.integration.calls import api_keys, is_problem
from tests.integration.test_authorisation import as_
from tests.integration.webhook_calls import subscribe

pytestmark = pytest.mark.each_database

BOSS, SHOP = as_("boss"), as_("shop")
BIRDS = {"classes": ["robin", "wren"], "description": "of gardens"}
SECRET = "whsec_" + "c2VjcmV0" * 4
TOKEN = "Bearer for-the-receiver"
UNKNOWN = "les_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"
URL = "https://hooks.example.com/in/T0P/s3cr3t-path"


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"api_keys": api_keys(shop=False, press=False, boss=True)})


async def told(parts, *actions: str) -> list[tuple]:
    """Actor, action, subject and change, the oldest first; without what the start told."""
    entries = await parts.audit.page(AuditFilter(), limit=100)
    found = [(each.actor, each.action, each.subject, each.change) for each in reversed(entries)]
    return [each for each in found if each[1] in actions or not actions][not actions :]


async def test_domains(client, parts):
    await client.post("/domains", json={"name": "birds", **BIRDS}, headers=BOSS)
    await client.put("/domains/birds", json={**BIRDS, "detail": "high"}, headers=BOSS)
    await client.delete("/domains/birds", headers=BOSS)
    await client.post("/domains/reload", headers=BOSS)
    created, updated, deleted, reloaded = await told(parts)

    assert created[:3] == ("boss", "domain.created", "birds")
    assert created[3]["before"] is None
    assert created[3]["after"]["description"] == "of gardens"
    assert updated == (
        *("boss", "domain.updated", "birds"),
        {"before": {"detail": "low"}, "after": {"detail": "high"}},
    )
    assert deleted[:3] == ("boss", "domain.deleted", "birds")
    assert deleted[3]["before"]["detail"] == "high"
    assert reloaded == ("boss", "domains.reloaded", "", None)


async def test_budgets(client, parts):
    """Also those that go because a new set does not have them."""
    spec = {"amount_usd": 5, "period": "month"}
    await client.put("/budgets/shop", json=spec, headers=BOSS)
    await client.put("/budgets/shop", json={**spec, "amount_usd": 7}, headers=BOSS)
    await client.put("/budgets/shop", json={**spec, "amount_usd": 7}, headers=BOSS)
    await client.put("/budgets", json={"budgets": [{"name": "all", **spec}]}, headers=BOSS)
    await client.delete("/budgets/all", headers=BOSS)
    made, changed, *others = await told(parts)

    assert made[:3] == ("boss", "budget.put", "shop")
    assert changed[3] == {"before": {"amount_usd": 5}, "after": {"amount_usd": 7}}
    assert [each[1:3] for each in others] == [
        ("budget.deleted", "shop"),
        ("budget.put", "all"),
        ("budget.deleted", "all"),
    ]


async def test_webhooks(client, parts):
    """Of the URL only where it leads: the rest of it may be a secret."""
    hook = await subscribe(client, URL, headers=SHOP, secret=SECRET)
    path = f"/webhooks/{hook['id']}"
    change = {"rate_limit": 5, "headers": {"Authorization": TOKEN}}
    await client.patch(path, json=change, headers=SHOP)
    rotated = await client.post(f"{path}/rotate", headers=BOSS)
    await client.post(f"{path}/enable", headers=SHOP)
    await client.delete(path, headers=SHOP)
    created, changed, rotation, _, deleted = await told(parts)

    assert created[:3] == ("shop", "webhook.created", hook["id"])
    assert created[3]["after"]["url"] == "https://hooks.example.com"
    assert changed[3]["after"] == {"rate_limit": 5, "fields": ["headers", "rate_limit"]}
    assert rotation == ("boss", "webhook.rotated", hook["id"], None)
    assert deleted[1] == "webhook.deleted"
    text = await everything(parts)
    for secret in (SECRET, rotated.json()["secret"], TOKEN, "s3cr3t-path"):
        assert secret not in text


async def test_keys_are_told_once_for_each_set(settings, lasting_url):
    """By what changed since the last start: names and fingerprints, from which no key follows."""
    encryption = "bm90LWEta2V5LWJ1dC1sb25nLWVub3VnaC1mb3ItaXQ="
    base = {"database_url": lasting_url, "api_keys": api_keys(shop=False)}
    webhooks = WebhookSettings(encryption_keys=(SecretStr(encryption),))
    sets = [
        base,
        base,
        {**base, "api_keys": api_keys(shop=False, boss=True)},
        {**base, "webhooks": webhooks},
    ]
    for each in sets:
        async with build_parts(settings.model_copy(update=each), serving=True) as parts:
            found = await parts.audit.page(AuditFilter(action="keys.changed"), limit=10)
            text = await everything(parts)

    kinds = [sorted((each.change or {})["after"].values()) for each in reversed(found)]
    assert kinds == [["caller"], ["admin", "caller"], ["1", "caller"]]
    assert encryption not in text
    assert not any(each.sha256 in text for each in base["api_keys"])


async def test_what_fails_leaves_no_entry(client, parts):
    """A name that is taken, a domain of the file, what is not there, what may not be stored."""
    before = await told(parts)
    asked = [
        await client.post("/domains", json={"name": "flowers", **BIRDS}, headers=BOSS),
        await client.put("/domains/flowers", json=BIRDS, headers=BOSS),
        await client.delete("/domains/nothing", headers=BOSS),
        await client.delete("/budgets/nothing", headers=BOSS),
        await client.patch(f"/webhooks/{UNKNOWN.replace('les', 'whk')}", json={}, headers=SHOP),
        await client.post("/domains", json={"name": "birds", **BIRDS}, headers=SHOP),
        await client.delete(
            "/domains/flowers/lessons/les_01J9ZK3Q8XWVQ5T2M4N6P7R8S9", headers=BOSS
        ),
    ]

    assert {each.status_code for each in asked} == {403, 404, 409}
    assert await told(parts) == before


async def test_what_is_rolled_back_leaves_no_entry(parts):
    def unit(connection: sa.Connection) -> None:
        note(connection, By("boss"), "domain.created", "birds")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await parts.database.write(unit)

    assert await told(parts) == []


async def test_an_entry_stays_small(client, parts):
    """Of what is large, its size is told."""
    spec = {"classes": [f"class {number}" for number in range(400)]}
    await client.post("/domains", json={"name": "many", **spec}, headers=BOSS)
    ((*_, change),) = await told(parts)

    assert change["after"]["classes"].endswith(" bytes")
    assert len(json.dumps(change)) < 30 * MAX_VALUE


async def test_operators_read_it_page_by_page(client, parts):
    for name in ("a", "b", "c"):
        headers = {**BOSS, "x-request-id": f"order-{name}"}
        await client.post("/domains", json={"name": name, **BIRDS}, headers=headers)
    first = await client.get("/audit", params={"limit": 2}, headers=BOSS)
    rest = await client.get("/audit", params={"cursor": first.json()["next_cursor"]}, headers=BOSS)
    by_subject = await client.get("/audit", params={"subject": "b", "actor": "boss"}, headers=BOSS)
    later = {"since": (datetime.now(UTC) + timedelta(minutes=1)).isoformat()}
    none = await client.get("/audit", params=later, headers=BOSS)

    entries = [*first.json()["entries"], *rest.json()["entries"]]
    assert [each["subject"] for each in entries] == ["c", "b", "a", ""]
    assert entries[0]["request_id"] == "order-c"
    assert [each["subject"] for each in by_subject.json()["entries"]] == ["b"]
    assert none.json() == {"entries": [], "next_cursor": None}
    assert is_problem(await client.get("/audit", headers=SHOP), 403, "not-allowed")


@pytest.mark.parametrize(
    "since", ["9999-12-31T23:59:59-23:59", "1767323045", "2026-01-02T03:04:05"]
)
async def test_what_is_no_moment_is_refused(client, since):
    assert is_problem(
        await client.get("/audit", params={"since": since}, headers=BOSS), 422, "invalid-request"
    )


async def test_it_goes_after_a_year(parts):
    early = await parts.retention.sweep(now=datetime.now(UTC) + timedelta(days=364))
    late = await parts.retention.sweep(now=datetime.now(UTC) + timedelta(days=366))

    assert (early.audit, late.audit) == (0, 1)


async def everything(parts) -> str:
    def unit(connection: sa.Connection) -> str:
        return "\n".join(str(row) for row in connection.execute(sa.select(audit)))

    return await parts.database.read(unit)


async def test_it_is_told_at_a_shell(settings, lasting_url, monkeypatch, tmp_path):
    """What a command changes is there, too."""
    monkeypatch.setenv("DATABASE_URL", lasting_url)
    monkeypatch.setenv("BLOBS_URL", f"memory://{tmp_path}")
    async with build_parts(settings.model_copy(update={"database_url": lasting_url})) as parts:
        hook, _ = await parts.webhooks.create("shop", {"url": URL}, by=COMMAND_LINE)
    lines = (await run("audit", "--subject", hook.row.id)).splitlines()
    await run("webhooks", "reencrypt")
    (last,) = (await run("audit", "--limit", "1", "--json")).splitlines()

    assert [line.split("\t")[1:4] for line in lines] == [
        ["command line", "webhook.created", hook.row.id]
    ]
    assert json.loads(last)["action"] == "webhooks.reencrypted"


async def run(*command: str) -> str:
    """In a thread: a command has an event loop of its own."""
    ran = await asyncio.to_thread(typer.testing.CliRunner().invoke, commands, command)
    assert ran.exit_code == 0, ran.output
    return ran.stdout
