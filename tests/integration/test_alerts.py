"""Alerts over HTTP, on real results: what operators see, who else is told, and that no secret of
theirs gets out."""

import asyncio
import logging
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from shutil import copytree

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from app.alerts import open_targets
from app.identifiers import ALERT, new_id
from app.settings_groups import MonitoringSettings
from app.storage import Database, migrate
from app.storage.alerts import AlertRow, Change
from tests.alerting import EVERY_S, World
from tests.fakes import answer
from tests.integration.calls import api_keys, is_problem, until, upload
from tests.receiver import BROKEN
from tests.service import ROOT

pytestmark = pytest.mark.each_database

LABELS = 4
"""What the tests' rule wants; it has to be wrong for no time."""

RULES = f"""\
accuracy:
  signal: accuracy
  window: 24h
  at_least: {LABELS}
  severity: critical
  description: Too few answers of this domain are right.
  runbook: accuracy
"""


@pytest.fixture
def rules(settings, tmp_path, monkeypatch):
    """The tests' own; all else of config/ is what is shipped."""
    folder = tmp_path / "config"
    copytree(ROOT / "config", folder)
    path = folder / "alerts.yaml"
    path.write_text(RULES)
    monkeypatch.setenv("CONFIG_DIR", str(folder))
    return path


@pytest.fixture
def settings(settings, inbox):
    """Evaluated only when a test says so."""
    monitoring = MonitoringSettings(alerts_every=300, notify=[f"json://{inbox.place}/people"])
    return settings.model_copy(update={"egress_allow": (inbox.place,), "monitoring": monitoring})


@pytest.fixture
async def parts(rules, parts):
    return parts


async def label(client, fake, count: int, *, right: bool) -> None:
    for _ in range(count):
        fake.script.append(answer("rose"))
        told = upload(expected="rose" if right else "daisy")
        assert (await client.post("/classify", files=told)).status_code == 200


async def alerts(client, **query) -> list[dict]:
    answered = await client.get("/alerts", params=query)
    assert answered.status_code == 200, answered.text
    return answered.json()["alerts"]


def people(inbox) -> list[tuple[str, str]]:
    """Title and type of what they got."""
    told = [each.event for each in inbox.posts if each.path == "/people"]
    return [(each["title"], each["type"]) for each in told]


def events(inbox) -> list[dict]:
    return [each.event for each in inbox.posts if each.path == "/hook"]


class TestFromResultsToPeople:
    async def test_wrong_answers_fire_and_right_ones_resolve(self, client, parts, fake, inbox):
        """As an event to an operator's webhook, in the log, to people, and in the list."""
        kinds = ["alert.fired", "alert.resolved"]
        await client.post("/webhooks", json={"url": inbox.url(), "event_types": kinds})
        await label(client, fake, LABELS, right=False)
        with capture_logs() as logs:
            await parts.alerting.look()
            await parts.alerting.look()
            (fired,) = await alerts(client, state="firing")
            await label(client, fake, 4 * LABELS, right=True)
            await parts.alerting.look()
        await until(lambda: len(events(inbox)) == 2)

        (resolved,) = await alerts(client)
        assert await alerts(client, state="firing") == []
        told = {each["data"]["state"]: each for each in events(inbox)}
        assert (told["firing"]["type"], told["resolved"]["type"]) == tuple(kinds)
        assert told["firing"]["data"] == fired
        assert told["resolved"]["data"] == resolved
        assert told["resolved"]["link"] == f"/alerts/{fired['id']}"
        assert (await client.get(told["firing"]["link"])).json() == resolved
        assert (fired["rule"], fired["subject"], fired["value"]) == ("accuracy", "flowers", 0)
        assert (fired["threshold"], fired["runbook"]) == (0.8, "docs/monitoring.md#accuracy")
        assert (resolved["value"], resolved["reason"]) == (0.8, None)
        assert people(inbox) == [
            ("[critical] accuracy of flowers", "failure"),
            ("[resolved] accuracy of flowers", "success"),
        ]
        lines = [(each["event"], each["log_level"]) for each in logs if each.get("rule")]
        assert lines == [("alert fires", "warning"), ("alert resolved", "info")]

    async def test_a_webhook_of_another_domain_is_told_nothing(self, client, parts, fake, inbox):
        wanted = {"event_types": ["alert.fired"], "domains": ["animals"]}
        await client.post("/webhooks", json={"url": inbox.url(), **wanted})
        await label(client, fake, LABELS, right=False)
        await parts.alerting.look()
        await inbox.got(1)

        assert await alerts(client, state="firing")
        assert [each.path for each in inbox.posts] == ["/people"]

    async def test_labels_that_come_later_count(self, client, parts, fake):
        for _ in range(LABELS):
            made = await client.post("/classify", files=upload())
            place = f"/results/{made.json()['id']}/expected"
            assert (await client.put(place, json={"label": "daisy"})).status_code < 300
        await parts.alerting.look()

        assert [each["state"] for each in await alerts(client)] == ["firing"]


class TestReading:
    async def test_rules_tell_how_near_they_are(self, client, fake):
        await label(client, fake, 2, right=True)
        await label(client, fake, 1, right=False)
        (rule,) = (await client.get("/alerts/rules")).json()["rules"]

        assert (rule["name"], rule["breaks"], rule["threshold"]) == ("accuracy", "below", 0.8)
        assert (rule["window"], rule["lasting"], rule["unit"]) == ("24h", "0s", "share")
        (reading,) = rule["readings"]
        assert reading == {
            "subject": "flowers",
            "value": pytest.approx(2 / 3),
            "samples": 3,
            "counts": False,
            "breaks": True,
        }

    async def test_rules_are_read_again(self, client, rules):
        """And a wrong file changes nothing."""
        rules.write_text(RULES.replace("24h", "7d"))
        reloaded = await client.post("/alerts/rules/reload")
        rules.write_text(RULES.replace("24h", "a week"))
        refused = await client.post("/alerts/rules/reload")
        (rule,) = (await client.get("/alerts/rules")).json()["rules"]

        assert reloaded.json()["rules"][0]["window"] == "7d"
        assert is_problem(refused, 422, "configuration-refused")
        assert "alerts.yaml:3: accuracy.window" in refused.json()["detail"]
        assert rule["window"] == "7d"

    async def test_an_alert_that_is_not_there(self, client):
        missing = await client.get("/alerts/alr_01J9ZK3Q8XWVQ5T2M4N6P7R8S9")

        assert is_problem(missing, 404, "alert-not-found")


class TestOperators:
    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"api_keys": api_keys(shop=False, boss=True)})

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/alerts"),
            ("GET", "/alerts/rules"),
            ("POST", "/alerts/rules/reload"),
            ("GET", "/alerts/alr_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"),
        ],
    )
    async def test_they_are_for_operators(self, client, method, path):
        """They tell of the whole service."""
        as_shop = await client.request(method, path, headers={"x-api-key": "shop"})
        as_boss = await client.request(method, path, headers={"x-api-key": "boss"})

        assert is_problem(as_shop, 403, "not-allowed")
        assert as_boss.status_code in (200, 404)

    async def test_only_operators_webhooks_hear_of_them(self, client, parts, fake, inbox):
        for name in ("shop", "boss"):
            hook = {"url": inbox.url(f"/{name}"), "event_types": ["alert.fired"]}
            made = await client.post("/webhooks", json=hook, headers={"x-api-key": name})
            assert made.status_code == 201
        for _ in range(LABELS):
            fake.script.append(answer("rose"))
            files = upload(expected="daisy")
            await client.post("/classify", files=files, headers={"x-api-key": "shop"})
        await parts.alerting.look()
        await inbox.got(2)

        assert sorted(each.path for each in inbox.posts) == ["/boss", "/people"]


class TestPeople:
    async def test_who_is_down_is_told_later(self, client, parts, fake, inbox):
        """Without its URL in the log."""
        inbox.answers.extend([BROKEN, BROKEN])
        await label(client, fake, LABELS, right=False)
        with capture_logs() as logs:
            for _ in range(4):
                await parts.alerting.look()

        assert len(people(inbox)) == 3
        warnings = [each for each in logs if "could not be told" in each["event"]]
        assert len(warnings) == 2
        assert inbox.place not in str(logs)


class TestSecrets:
    @pytest.fixture
    def settings(self, settings, inbox):
        url = f"json://boss:sesame@{inbox.place}/people/opensesame?+X-Token=treasure"
        monitoring = MonitoringSettings(alerts_every=300, notify=[url])
        return settings.model_copy(update={"monitoring": monitoring})

    async def test_none_is_ever_told(self, settings, caplog, client, parts, fake, inbox):
        """In no line at debug level, whether it was taken or not, and in no answer."""
        caplog.set_level(logging.DEBUG)
        caplog.set_level(logging.WARNING, "httpcore2")  # as config/logging.yaml has it
        inbox.answers.append(BROKEN)
        await label(client, fake, LABELS, right=False)
        await parts.alerting.look()
        await parts.alerting.look()
        asked = [await client.get(path) for path in ("/alerts", "/alerts/rules", "/metrics")]

        (post,) = [each for each in inbox.posts if each.path == "/people/opensesame"][1:]
        assert post.headers["x-token"] == "treasure"
        assert post.headers["authorization"].startswith("Basic ")
        shown = caplog.text + "".join(each.text for each in asked) + repr(settings.monitoring)
        assert not any(each in shown for each in ("sesame", "treasure", inbox.place))


def pending(since: datetime) -> AlertRow:
    return AlertRow(
        *(new_id(ALERT, since), "accuracy", "flowers", "accuracy", "pending", "critical", 0.5, 0.8),
        *("Too few answers of this domain are right.", "accuracy", since, since),
    )


class TestRows:
    async def test_two_processes_on_one_database(self, lasting_url, inbox):
        """Both look at the same time, again and again: people are told once."""
        async with AsyncExitStack() as stack:
            worlds = [World(Database(lasting_url)) for _ in range(2)]
            for each in worlds:
                stack.push_async_callback(each.database.close)
                each.clock = worlds[0].clock
            await migrate(worlds[0].database)
            targets = open_targets([SecretStr(f"json://{inbox.place}/people")])
            engines = [
                each.engine(f"prc_{name}", *targets)
                for name, each in zip("ab", worlds, strict=True)
            ]
            await worlds[0].results(30, predicted="rose", expected="daisy")
            for _ in range(5):
                worlds[0].clock.ahead(seconds=EVERY_S)
                await asyncio.gather(*(each.look() for each in engines))

            assert await worlds[1].alerts() == [("accuracy", "flowers", "firing")]
        assert people(inbox) == [("[critical] accuracy of flowers", "failure")]

    async def test_a_turn_that_was_taken_meanwhile_changes_nothing(self, parts):
        """Nor an older one of one's own: others have written since it was read for."""
        stored, began = parts.alerting.stored, datetime.now(UTC)
        after = timedelta(seconds=30)

        async def advance(turn) -> list[str] | None:
            changes = await stored.advance(turn, lambda _: [Change(None, pending(began))])
            return changes and [each.rule for each in await stored.standing()]

        first = await stored.take_turn("prc_a", began, free_after=after)
        await stored.leave_turn("prc_a")
        second = await stored.take_turn("prc_b", began, free_after=after)
        assert await advance(first) is None

        third = await stored.take_turn("prc_a", began + after, free_after=after)
        assert await advance(first) is await advance(second) is None
        assert await stored.standing() == []
        assert await advance(third) == ["accuracy"]

    async def test_retention(self, client, parts, fake):
        """Thirty days after it resolved; what stands stays."""
        await label(client, fake, LABELS, right=False)
        await parts.alerting.look()
        await label(client, fake, 4 * LABELS, right=True)
        await parts.alerting.look()
        await label(client, fake, 4 * LABELS, right=False)
        await parts.alerting.look()
        standing, resolved = await parts.alerting.stored.page(None, limit=9)
        month = resolved.resolved_at + timedelta(days=30)

        early = await parts.retention.sweep(now=month - timedelta(seconds=1))
        dry = await parts.retention.sweep(now=month + timedelta(seconds=1), dry_run=True)
        late = await parts.retention.sweep(now=month + timedelta(seconds=1))

        assert (early.alerts, dry.alerts, late.alerts) == (0, 1, 1)
        assert await parts.alerting.stored.page(None, limit=9) == [standing]
