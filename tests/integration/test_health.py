"""/health: what is wrong, and what that means."""

from datetime import UTC, datetime, timedelta

from app.errors import ProviderUnavailable, StorageUnavailable
from tests.integration.test_budgets import ask
from tests.integration.test_failures import domain


async def health(client) -> dict:
    answer = await client.get("/health")
    assert answer.status_code == 200
    return answer.json()


async def test_nothing_is_wrong(client):
    found = await health(client)

    assert (found["status"], found["failing"], found["troubles"]) == ("ok", [], [])


async def test_a_database_that_is_gone(client, parts, monkeypatch):
    async def gone(unit):
        raise StorageUnavailable("The database can't be read.")

    assert (await health(client))["status"] == "ok"
    monkeypatch.setattr(parts.database, "read", gone)
    found = await health(client)
    monkeypatch.undo()

    assert (found["status"], found["failing"]) == ("degraded", ["storage"])
    (trouble,) = found["troubles"]
    assert (trouble["what"], "can be taken" in trouble["means"]) == ("storage", True)
    assert datetime.now(UTC) - datetime.fromisoformat(trouble["since"]) < timedelta(seconds=10)
    assert (await health(client))["status"] == "ok"


async def test_a_deployment_that_is_left_alone(client, fake):
    """It keeps no work away, so it is no failing check."""
    await domain(client, "garden", ["fake"], ["rose", "daisy"], max_retries=0)
    fake.script.extend([ProviderUnavailable("down")] * 6)
    for number in range(6):
        await ask(client, number, domain="garden", provider="")

    found = await health(client)

    assert (found["status"], found["failing"]) == ("degraded", [])
    (trouble,) = found["troubles"]
    assert trouble["what"] == "fake/fake-deployment"
    assert "unavailable" in trouble["means"]
    assert trouble["since"] is not None
