"""`alerts`: what is wrong, told at a shell."""

import asyncio
import json

import pytest
import yaml

from app.storage import Database, migrate
from tests.alerting import EVERY_S, World
from tests.service import ROOT
from tests.shell import Shell, without_escapes


async def _fill(url: str) -> None:
    """One that fires, one that is pending, and one that resolved."""
    database = Database(url)
    await migrate(database)
    world = World(database)
    engine = world.engine()
    for right, count in ((False, 30), (True, 200), (False, 600)):
        await world.results(count, predicted="rose", expected="rose" if right else "daisy")
        await world.pass_time(engine, seconds=EVERY_S)
    world.board.breaker = "open"
    await world.pass_time(engine, seconds=EVERY_S)
    await database.close()


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    shell = Shell(tmp_path_factory.mktemp("shell"))
    asyncio.run(_fill(f"sqlite:///{shell.folder}/app.db"))
    return shell


def test_what_fires_is_first(shell):
    """In lines with tabs, for programs."""
    done = shell.run("alerts")
    rows = [line.split("\t") for line in done.stdout.splitlines()]

    assert (done.returncode, done.stderr) == (0, "")
    assert [row[:4] for row in rows] == [
        ["accuracy", "flowers", "firing", "critical"],
        ["breaker_open", "azure_openai/west", "pending", "critical"],
        ["accuracy", "flowers", "resolved", "critical"],
    ]


def test_one_state_as_json(shell):
    done = shell.run("alerts", "--state", "resolved", "--json")
    (alert,) = map(json.loads, done.stdout.splitlines())

    assert (alert["rule"], alert["state"]) == ("accuracy", "resolved")
    assert alert["value"] >= alert["threshold"] == 0.8


def test_a_table_for_people(shell):
    status, told = shell.look("alerts", "--limit", "1")
    head, row = without_escapes(told).splitlines()

    assert status == 0
    assert head.split() == [
        *("rule", "subject", "state", "severity", "value", "threshold", "age"),
    ]
    assert row.split()[:4] == ["accuracy", "flowers", "firing", "critical"]


def test_rules_with_the_thresholds_of_the_settings(shell):
    """Nothing else is needed, no database."""
    done = shell.run(
        "alerts", "rules", MONITORING_ALERT_THRESHOLDS_ACCURACY="0.9", DATABASE_URL="sqlite:///no/a"
    )
    rules = [line.split("\t") for line in done.stdout.splitlines()]

    assert rules[0][:5] == ["accuracy", "critical", "accuracy below 0.9", "24h", "0s"]


def test_rules_for_prometheus(shell):
    """As they are shipped, but for what the settings say."""
    told = [
        yaml.safe_load(shell.run("alerts", "rules", "--prometheus", **variables).stdout)
        for variables in ({}, {"MONITORING_ALERT_THRESHOLDS_RESPONSE_TIME": "1.5"})
    ]
    shipped, own = ([each["expr"] for each in one["groups"][0]["rules"]] for one in told)
    file = yaml.safe_load((ROOT / "config" / "prometheus" / "alerts.rules.yml").read_text())

    assert told[0] == file
    changed = [(a, b) for a, b in zip(shipped, own, strict=True) if a != b]
    assert [a.replace(" > 5)", " > 1.5)") for a, _ in changed] == [b for _, b in changed]
    assert len(changed) == 1
