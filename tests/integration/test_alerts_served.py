"""Real processes: from wrong answers to a webhook and to people, and back, whoever is killed."""

import signal

import httpx2
import pytest

from tests.conftest import PHOTOGRAPHS
from tests.integration.calls import until
from tests.receiver import BROKEN, said
from tests.service import ROOT

RULES = """\
accuracy:
  signal: accuracy
  window: 24h
  at_least: 3
  for: 1s
  severity: critical
  description: Too few answers of this domain are right.
  runbook: accuracy

unhealthy:
  signal: unhealthy
  above: 0
  severity: critical
  description: A health check fails.
  runbook: unhealthy
"""

ROSE = (PHOTOGRAPHS / "rose.jpg").read_bytes()


@pytest.fixture
def config(tmp_path):
    folder = tmp_path / "config"
    folder.mkdir()
    for each in (ROOT / "config").glob("*.yaml"):
        (folder / each.name).write_text(each.read_text())
    (folder / "alerts.yaml").write_text(RULES)
    return folder


@pytest.fixture
def variables(config, inbox):
    return {
        "CONFIG_DIR": str(config),
        "MONITORING_ALERTS_EVERY": "0.2",
        "MONITORING_NOTIFY": f"json://{inbox.place}/people",
        "EGRESS_ALLOW": inbox.place,
    }


async def classify(service, count: int, expected: str) -> None:
    async with httpx2.AsyncClient(base_url=service.url, timeout=30) as client:
        for _ in range(count):
            answered = await client.post(
                "/classify",
                data={"domain": "flowers", "expected": expected},
                files={"file": ROSE},
            )
            assert answered.json()["predicted_class"] == "rose"


def people(inbox) -> list[str]:
    return [each.event["title"] for each in inbox.posts if each.path == "/people"]


async def test_from_wrong_answers_to_a_webhook_and_back(start_service, variables, inbox):
    """The embedded model answers; what the truth is, is told."""
    service = start_service(**variables)
    hook = {"url": inbox.url(), "event_types": ["alert.fired", "alert.resolved"]}
    assert httpx2.post(f"{service.url}/webhooks", json=hook, timeout=30).status_code == 201

    await classify(service, 3, "daisy")
    fired = await inbox.told("alert.fired")
    await classify(service, 12, "rose")
    resolved = await inbox.told("alert.resolved")

    assert fired["data"]["value"] == 0
    assert resolved["data"]["value"] == 0.8
    assert resolved["data"]["id"] == fired["data"]["id"]
    listed = httpx2.get(f"{service.url}/alerts", timeout=30).json()["alerts"]
    assert listed == [resolved["data"]]
    await until(lambda: len(people(inbox)) == 2)
    assert inbox.place not in service.log.read_text().replace(hook["url"], "")
    assert service.stop() == 0


async def test_killed_before_anybody_took_the_message(start_service, variables, inbox):
    """The one that comes after it tells it, once."""
    inbox.always = BROKEN
    service = start_service(**variables)
    await classify(service, 3, "daisy")
    await until(lambda: people(inbox))
    service.stop(signal.SIGKILL)
    missed = len(people(inbox))
    inbox.always = said()
    service.start()
    await until(lambda: len(people(inbox)) > missed, seconds=30)  # its turn comes after 15
    await classify(service, 12, "rose")
    await until(lambda: "[resolved] accuracy of flowers" in people(inbox))

    assert people(inbox)[missed:] == [
        "[critical] accuracy of flowers",
        "[resolved] accuracy of flowers",
    ]


async def test_it_fires_while_redis_is_down(
    start_service, variables, inbox, redis, postgres_url, tmp_path
):
    """And says so: it is not by Redis that one hears of it."""
    shared = {
        "MONITORING_ALERTS_EVERY": "1",
        "DATABASE_URL": postgres_url,
        "REDIS_URL": redis.url,
        "BLOBS_URL": f"file://{tmp_path}/blobs",
    }
    service, other = (start_service(**variables | shared) for _ in range(2))
    redis.kill()

    await until(lambda: people(inbox), seconds=20)
    await classify(service, 3, "daisy")
    await until(lambda: len(people(inbox)) == 2, seconds=20)

    assert people(inbox) == ["[critical] unhealthy of quota", "[critical] accuracy of flowers"]
    assert other.process.poll() is None
