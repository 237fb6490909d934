"""What operators see of deployments, and a quota that is kept in Redis."""

import re

import pytest

from app.settings import Settings
from tests.integration.calls import upload
from tests.integration.simulator.calls import KEY


@pytest.fixture
def settings(simulator, request):
    redis = {}
    if "redis" in request.fixturenames:
        redis = {"redis_url": request.getfixturevalue("redis").url}
    return Settings(
        database_url="sqlite://",
        drain_delay=0,
        image_workers=2,
        azure_openai={"endpoint": simulator.url, "api_key": KEY},
        deployments=[
            {"name": "west", "deployment": "eyes", "model": "gpt-4o", "rpm": 600, "tpm": 60_000},
            {"name": "east", "deployment": "none", "model": "gpt-4o", "rpm": 60, "priority": 1},
        ],
        cache={"ttl": 0},
        **redis,
    )


async def ask(client) -> dict:
    response = await client.post("/classify", files=upload(provider="azure_openai"))
    assert response.status_code == 200, response.text
    return response.json()


async def test_operators_see_what_is_left_and_who_waits(client):
    """The one that answered, under its name here, with what the call took."""
    result = await ask(client)
    (provider,) = (await client.get("/deployments")).json()

    west, east = provider["deployments"]
    assert result["deployment"] == west["name"] == "west"
    assert not result["degraded"]
    assert provider["provider"] == "azure_openai"
    assert provider["waiting"] == {"interactive": 0, "batch": 0}
    assert (west["breaker"], west["in_flight"], west["priority"]) == ("closed", 0, 0)
    assert west["quota"]["requests"]["per_minute"] == 600
    assert west["quota"]["requests"]["left"] == 99
    assert 59_000 < west["quota"]["tokens"]["left"] < 60_000
    assert west["latency_ms"] > 0
    assert "tokens" not in east["quota"]


async def test_a_deployment_that_is_not_there_costs_no_answer(client, simulator):
    """Its call moves on, and its last error is told."""
    simulator.order(down=True)
    response = await client.post("/classify", files=upload(provider="azure_openai"))
    (provider,) = (await client.get("/deployments")).json()

    west, east = (each["last_error"]["kind"] for each in provider["deployments"])
    assert response.status_code == 502
    assert (west, east) == ("unavailable", "denied")


async def test_metrics_tell_the_same(client):
    await ask(client)
    told = (await client.get("/metrics")).text

    closed = 'deployment="west",provider="azure_openai",state="closed"'
    assert f"classifier_deployment_breaker{{{closed}}} 1.0" in told
    west = 'deployment="west",dimension="requests",provider="azure_openai"'
    assert f"classifier_deployment_quota_limit{{{west}}} 600.0" in told
    left = re.search(rf"quota_left_ratio\{{{west}\}} (\S+)", told)
    assert float(left[1]) == pytest.approx(0.99)
    assert 'classifier_admission_wait_seconds_count{lane="interactive"} 1.0' in told
    assert 'classifier_waiting_calls{lane="interactive",provider="azure_openai"} 0.0' in told


async def test_without_redis_answers_go_on_and_health_says_so(client, redis):
    """It is not taken out of service for that; and when Redis is back all is well."""
    await ask(client)
    shared = (await client.get("/metrics")).text
    redis.kill()
    await ask(client)
    alone = (await client.get("/metrics")).text
    health, ready = [(await client.get(path)) for path in ("/health", "/health/ready")]
    redis.start()
    recovered = (await client.get("/health")).json()

    assert "classifier_quota_shared 1.0" in shared
    assert "classifier_quota_shared 0.0" in alone
    assert health.json()["status"] == "degraded"
    assert health.json()["failing"] == ["quota"]
    assert ready.status_code == 200
    assert recovered["failing"] == []
