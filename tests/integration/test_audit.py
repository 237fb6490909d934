"""Who changed what is on record, with the change or not at all, and holds no secret."""

import asyncio
import json
import shutil
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, get_args

import httpx2
import pytest
import sqlalchemy as sa
import typer.testing
from pydantic import SecretStr
from structlog.testing import capture_logs

from app.budget import Budget
from app.cli import app as commands
from app.errors import ClassifierError, SecretUnreadable
from app.parts import Parts, build_parts
from app.settings_groups import WebhookSettings
from app.storage import ErasureRepository, WebhookRepository
from app.storage.audit import COMMAND_LINE, MAX_VALUE, Action, AuditFilter, By, note
from app.storage.tables import (
    audit,
    budgets,
    calibrations,
    domains,
    erasures,
    examples,
    installation,
    lessons,
    results,
    webhooks,
)
from tests.integration.calls import api_keys, is_problem, store, until
from tests.integration.test_authorisation import as_
from tests.integration.test_teaching import EXAMPLES, LESSONS, PATTERNS, given, taught
from tests.integration.webhook_calls import classify, subscribe
from tests.labelled import store_labelled
from tests.receiver import GONE
from tests.service import ROOT

pytestmark = pytest.mark.each_database

BOSS, SHOP = as_("boss"), as_("shop")
BIRDS = {"classes": ["robin", "wren"], "description": "of gardens"}
SECRET = "whsec_" + "c2VjcmV0" * 4
TOKEN = "Bearer for-the-receiver"
UNKNOWN = "les_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"
TREES = "trees:\n  classes: [oak, birch]\n"
URL = "https://hooks.example.com/in/T0P/s3cr3t-path"


AT_START: tuple[Action, ...] = ("budget.configured", "domain.configured", "keys.changed")
CHANGED = (
    *(budgets, calibrations, domains, erasures, examples, installation, lessons, results, webhooks),
)
"""Tables of what is changed."""


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A config/ of one's own, which may be changed."""
    folder = shutil.copytree(ROOT / "config", tmp_path / "config")
    monkeypatch.setenv("CONFIG_DIR", str(folder))
    return folder


@pytest.fixture
def settings(settings, config, inbox):
    return settings.model_copy(
        update={
            "api_keys": api_keys(shop=False, press=False, boss=True),
            "budgets": (Budget(name="configured", amount_usd=5, action="alert"),),
            "egress_allow": (inbox.place,),
        }
    )


async def told(parts, *actions: Action) -> list[tuple]:
    """Actor, action, subject and change, the oldest first. No `actions`: all but what a start
    tells."""
    entries = await parts.audit.page(AuditFilter(), limit=100)
    found = [(each.actor, each.action, each.subject, each.change) for each in reversed(entries)]
    wanted = set(actions or get_args(Action)) - set(() if actions else AT_START)
    return [each for each in found if each[1] in wanted]


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


async def test_a_webhook_that_is_gone(client, parts, inbox):
    """Nobody disables it but the service."""
    inbox.always = GONE
    hook = await subscribe(client, inbox, headers=SHOP)
    await classify(client, headers=SHOP)

    await until(partial(told, parts, "webhook.disabled"))

    assert await told(parts, "webhook.disabled") == [
        ("service", "webhook.disabled", hook["id"], None)
    ]


async def test_secrets_are_encrypted_anew_all_or_none(client, parts):
    """Of two webhooks the second one's can't be read."""
    for _ in range(2):
        hook = await subscribe(client, URL, headers=SHOP, secret=SECRET)
    damage = sa.update(webhooks).where(webhooks.c.id == hook["id"]).values(secrets="damaged")
    await parts.database.change(damage)
    before = await changed(parts)
    with pytest.raises(SecretUnreadable, match=hook["id"]):
        await parts.webhooks.reseal(by=COMMAND_LINE)

    assert [each for each in await changed(parts) if each not in before] == []
    assert await told(parts, "webhooks.reencrypted") == []


async def test_examples_and_lessons(client, parts):
    """Also what becomes of examples that were set aside, where there are any."""
    client.headers.update(BOSS)
    await client.post("/domains", json=PATTERNS)
    await given(client)
    ids = [each["id"] for each in (await client.get(EXAMPLES)).json()["examples"]]
    await client.delete(f"{EXAMPLES}/{ids[0]}")
    await parts.examples.set_aside(ids[1:3], "They contradict the others.")
    await taught(client, set_aside="leave")
    await taught(client, set_aside="take")
    await parts.examples.set_aside(ids[1:2], "It contradicts the others.")
    await taught(client, set_aside="forget")
    lesson = await taught(client, set_aside="forget")
    await client.delete(f"{LESSONS}/{lesson['id']}")
    _, *found = await told(parts)

    none = {"set_aside": 0}
    assert found == [
        ("boss", "example.deleted", "patterns", {"before": {"id": ids[0]}, "after": None}),
        ("boss", "examples.taken", "patterns", {"before": {"set_aside": 2}, "after": none}),
        ("boss", "examples.forgotten", "patterns", {"before": {"set_aside": 1}, "after": none}),
        ("boss", "lesson.withdrawn", "patterns", {"before": None, "after": {"id": lesson["id"]}}),
    ]


async def test_calibrations(client, parts):
    await store_labelled(parts, 300)
    fitted = await client.post("/domains/flowers/calibrations", headers=BOSS)
    (made,) = fitted.json()["calibrations"]
    await client.delete(f"/domains/flowers/calibrations/{made['id']}", headers=BOSS)

    assert await told(parts) == [
        (
            *("boss", "calibration.withdrawn", "flowers"),
            {"before": None, "after": {"id": made["id"]}},
        )
    ]


async def test_erasures(client, parts):
    """Of one result, by whose it is, and of all that a caller has: when it begins and ends."""
    one = await store(parts, caller="shop")
    await store(parts, 1, caller="shop")
    await client.delete(f"/results/{one}", headers=SHOP)
    await client.delete("/callers/shop/data", headers=BOSS)
    of_one, begun, ended = await told(parts)

    assert of_one == ("shop", "result.erased", "shop", None)
    assert begun == ("boss", "caller.erasing", "shop", None)
    assert ended[:3] == ("boss", "caller.erased", "shop")
    assert ended[3]["after"]["results"] == 1


async def test_files_that_are_read_again(client, parts, config):
    """With what they changed, by whoever had them read; not those that are refused."""
    (config / "domains.yaml").write_text(TREES)
    await client.post("/domains/reload", headers=BOSS)
    first = await told(parts, "domain.configured")
    (config / "domains.yaml").write_text(TREES + "  detail: high\n")
    for _ in range(2):
        await client.post("/domains/reload", headers=BOSS)
    await client.post("/alerts/rules/reload", headers=BOSS)
    for name in ("domains", "alerts"):
        (config / f"{name}.yaml").write_text("- nonsense\n")
    await client.post("/domains/reload", headers=BOSS)
    await client.post("/alerts/rules/reload", headers=BOSS)
    found = await told(parts, "domain.configured")

    subjects = [each[2] for each in first if each[0] == "boss"]
    assert subjects == ["animals", "flowers", "objects", "trees"]
    assert {each[2]: each[3]["after"] for each in first if each[0] == "boss"}["animals"] is None
    assert found[len(first) :] == [
        (
            *("boss", "domain.configured", "trees"),
            {"before": {"detail": "low"}, "after": {"detail": "high"}},
        )
    ]
    assert await told(parts) == [
        *[("boss", "domains.reloaded", "", None)] * 3,
        ("boss", "alerts.reloaded", "", None),
    ]


async def test_a_signal_is_the_services(start_service, config):
    service = start_service(CONFIG_DIR=str(config), ALLOW_ANONYMOUS="true")
    (config / "domains.yaml").write_text(TREES)
    service.process.send_signal(signal.SIGHUP)

    async def entries() -> set[tuple[str, str, str]]:
        answered = httpx2.get(f"{service.url}/audit", timeout=30).json()["entries"]
        return {(each["actor"], each["action"], each["subject"]) for each in answered}

    async def all_told() -> bool:
        return {
            ("service", "alerts.reloaded", ""),
            ("service", "domains.reloaded", ""),
            ("service", "domain.configured", "trees"),
        } <= await entries()

    await until(all_told)


async def test_what_was_configured_anew_is_told_by_the_next_start(settings, lasting_url, config):
    """Budgets and domains, each with what differs; nothing where nothing does."""
    budget = Budget(name="month", amount_usd=5)
    (config / "domains.yaml").write_text(TREES)
    starts = [
        ({"budgets": (budget,)}, TREES),
        ({"budgets": (budget,)}, TREES),
        ({"budgets": (budget.model_copy(update={"amount_usd": 7}),)}, TREES + "  detail: high\n"),
        ({"budgets": ()}, TREES.replace("trees", "woods") + "  detail: high\n"),
    ]
    for update, text in starts:
        (config / "domains.yaml").write_text(text)
        given = settings.model_copy(update={"database_url": lasting_url, **update})
        async with build_parts(given, serving=True) as parts:
            found = await told(parts, "budget.configured", "domain.configured")

    assert {each[0] for each in found} == {"service"}
    (_, *made), (_, *trees), *changed, (_, *gone), (_, *felled), (_, *woods) = found
    assert made[:2] == ["budget.configured", "month"]
    assert (made[2]["before"], made[2]["after"]["amount_usd"]) == (None, 5)
    assert trees[:2] == ["domain.configured", "trees"]
    assert trees[2]["before"] is None
    assert [each[1:] for each in changed] == [
        (
            *("budget.configured", "month"),
            {"before": {"amount_usd": 5}, "after": {"amount_usd": 7}},
        ),
        (
            *("domain.configured", "trees"),
            {"before": {"detail": "low"}, "after": {"detail": "high"}},
        ),
    ]
    assert gone[:2] == ["budget.configured", "month"]
    assert (gone[2]["before"]["amount_usd"], gone[2]["after"]) == (7, None)
    assert (felled[1], felled[2]["after"]) == ("trees", None)
    assert (woods[1], woods[2]["before"]) == ("woods", None)


class Witness:
    """Sees that a change is not made when it can't be put on record, and then that it is.

    Attributes:
        seen: what was on record.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.seen: set[str] = set()

    async def sees(self, action: Action, change: Callable[[], Awaitable[Any]]) -> Any:
        """Returns what `change` returns."""
        before = await changed(self._parts)
        await self._rename("audit", "elsewhere")
        with capture_logs(), suppress(ClassifierError, sa.exc.DBAPIError):
            await change()
        await self._rename("elsewhere", "audit")
        assert await changed(self._parts) == before, action
        last = (await self._parts.audit.page(AuditFilter(), limit=1))[0].id
        answer = await change()
        new = await self._parts.audit.page(AuditFilter(), limit=10)
        found = {each.action for each in new if each.id > last}
        assert action in found
        self.seen |= found
        return answer

    async def _rename(self, old: str, new: str) -> None:
        rename = sa.text(f"ALTER TABLE {old} RENAME TO {new}")
        await self._parts.database.write(lambda connection: connection.execute(rename))


async def test_every_change_is_on_record_or_is_not_made(client, parts):
    """All that there are: who adds an action adds it here."""
    client.headers.update(BOSS)
    witness = Witness(parts)
    witness.seen |= {each[1] for each in await told(parts, *AT_START)}
    for each in (_domains, _budgets, _webhooks, _taught, _calibrated, _erased, _files):
        await each(witness.sees, client, parts)

    assert witness.seen == set(get_args(Action))


async def _domains(sees, client, parts) -> None:
    birds = {"name": "birds", **BIRDS}
    await sees("domain.created", partial(client.post, "/domains", json=birds))
    await sees("domain.updated", partial(client.put, "/domains/birds", json=BIRDS))
    await sees("domain.deleted", partial(client.delete, "/domains/birds"))


async def _budgets(sees, client, parts) -> None:
    spec = {"amount_usd": 5, "period": "month"}
    await sees("budget.put", partial(client.put, "/budgets/shop", json=spec))
    await sees("budget.deleted", partial(client.delete, "/budgets/shop"))


async def _webhooks(sees, client, parts) -> None:
    made = await sees("webhook.created", partial(client.post, "/webhooks", json={"url": URL}))
    place, rows = f"/webhooks/{made.json()['id']}", WebhookRepository(parts.database, parts.outbox)
    await sees("webhook.changed", partial(client.patch, place, json={"rate_limit": 5}))
    await sees("webhook.rotated", partial(client.post, f"{place}/rotate"))
    await sees("webhooks.reencrypted", partial(parts.webhooks.reseal, by=COMMAND_LINE))
    row = await rows.get(made.json()["id"], caller=None)
    await sees("webhook.disabled", partial(rows.disable, row, "It is gone.", datetime.now(UTC)))
    await sees("webhook.deleted", partial(client.delete, place))


async def _taught(sees, client, parts) -> None:
    await client.post("/domains", json=PATTERNS)
    await given(client)
    ids = [each["id"] for each in (await client.get(EXAMPLES)).json()["examples"]]
    await sees("example.deleted", partial(client.delete, f"{EXAMPLES}/{ids[0]}"))
    for action, how in (("examples.taken", "take"), ("examples.forgotten", "forget")):
        await parts.examples.set_aside(ids[1:3], "They contradict the others.")
        made = await sees(action, partial(client.post, LESSONS, json={"set_aside": how}))
    await sees("lesson.withdrawn", partial(client.delete, f"{LESSONS}/{made.json()['id']}"))


async def _calibrated(sees, client, parts) -> None:
    await store_labelled(parts, 300)
    place = "/domains/flowers/calibrations"
    (made,) = (await client.post(place)).json()["calibrations"]
    await sees("calibration.withdrawn", partial(client.delete, f"{place}/{made['id']}"))


async def _erased(sees, client, parts) -> None:
    one = await store(parts, caller="shop")
    await sees("result.erased", partial(client.delete, f"/results/{one}"))
    await sees("caller.erasing", partial(client.delete, "/callers/shop/data"))
    await ErasureRepository(parts.database).begin("press", By("boss"), datetime.now(UTC))
    await sees("caller.erased", parts.erasing.look)


async def _files(sees, client, parts) -> None:
    await sees("domains.reloaded", partial(client.post, "/domains/reload"))
    await sees("alerts.reloaded", partial(client.post, "/alerts/rules/reload"))


async def changed(parts) -> list[str]:
    """All rows of what is changed."""

    def unit(connection: sa.Connection) -> list[str]:
        tables = [(each.name, connection.execute(sa.select(each)).all()) for each in CHANGED]
        return sorted(f"{name} {row}" for name, rows in tables for row in rows)

    return await parts.database.read(unit)


async def test_keys_are_told_once_for_each_set(settings, lasting_url):
    """By what changed since the last start: names and fingerprints, from which no key follows."""
    encryption = "bm90LWEta2V5LWJ1dC1sb25nLWVub3VnaC1mb3ItaXQ="
    base = {"database_url": lasting_url, "api_keys": api_keys(shop=False)}
    webhooks = WebhookSettings(encryption_keys=(SecretStr(encryption),))
    sets = [
        {**base, "api_keys": ()},
        base,
        base,
        {**base, "api_keys": api_keys(shop=False, boss=True)},
        {**base, "webhooks": webhooks},
    ]
    for each in sets:
        async with build_parts(settings.model_copy(update=each), serving=True) as parts:
            found = await parts.audit.page(AuditFilter(action="keys.changed"), limit=10)
            text = await everything(parts)

    kinds = [
        [sorted((each.change[side] or {}).values(), key=str) for side in ("before", "after")]
        for each in reversed(found)
    ]
    assert kinds == [
        [[], ["caller"]],
        [[None], ["admin"]],
        [[None, "admin"], ["1", None]],
    ]
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
    query = {"actor": "boss", "limit": 2}
    first = await client.get("/audit", params=query, headers=BOSS)
    query["cursor"] = first.json()["next_cursor"]
    rest = await client.get("/audit", params=query, headers=BOSS)
    by_subject = await client.get("/audit", params={"subject": "b", "actor": "boss"}, headers=BOSS)
    later = {"since": (datetime.now(UTC) + timedelta(minutes=1)).isoformat()}
    none = await client.get("/audit", params=later, headers=BOSS)

    entries = [*first.json()["entries"], *rest.json()["entries"]]
    assert [each["subject"] for each in entries] == ["c", "b", "a"]
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
    kept = await parts.audit.page(AuditFilter(), limit=100)
    early = await parts.retention.sweep(now=datetime.now(UTC) + timedelta(days=364))
    late = await parts.retention.sweep(now=datetime.now(UTC) + timedelta(days=366))

    assert (early.audit, late.audit) == (0, len(kept))


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
