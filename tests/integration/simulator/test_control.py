"""`/_sim`."""

import asyncio

import httpx2

from app.simulator import (
    Behaviour,
)
from app.simulator.config import Fault
from tests.integration.calls import until
from tests.integration.simulator.calls import ask


async def test_counters_go_to_zero(simulator):
    """What is under way stays under way."""
    simulator.order(
        latency={
            "mean_s": 0.3,
            "p95_s": 0.3,
            "floor_s": 0.3,
            "network_min_s": 0,
            "network_max_s": 0,
        }
    )

    under_way = asyncio.create_task(ask(simulator.sdk()))
    await until(lambda: simulator.look()["in_flight"])
    reset = httpx2.post(f"{simulator.url}/_sim/reset", timeout=30).json()["deployments"]["eyes"][
        "counts"
    ]
    raw = await under_way

    assert (reset["arrived"], reset["in_flight"], reset["in_flight_peak"]) == (0, 1, 1)
    assert simulator.look()["in_flight"] == 0
    assert int(raw.headers["x-envoy-upstream-service-time"]) >= 299


def test_orders_that_make_no_sense_change_nothing(simulator):
    """422 with the place that is wrong; 404 for a deployment that is not there."""
    url = f"{simulator.url}/_sim/deployments"
    before = httpx2.get(f"{simulator.url}/_sim", timeout=30).json()

    for wrong in ({"rpm": -1}, {"faults": [{"kind": "quake", "next": 1}]}, {"rmp": 5}):
        response = httpx2.post(f"{url}/eyes", json=wrong, timeout=30)
        assert response.status_code == 422
        assert response.json()["detail"][0]["loc"][1] == next(iter(wrong))
    assert httpx2.post(f"{url}/ears", json={"rpm": 5}, timeout=30).status_code == 404

    assert httpx2.get(f"{simulator.url}/_sim", timeout=30).json() == before


def test_what_can_be_ordered_is_described(simulator):
    """The OpenAPI document names every field of a deployment's behaviour."""
    document = httpx2.get(f"{simulator.url}/_sim/openapi.json", timeout=30).json()

    told = document["components"]["schemas"]["Behaviour"]["properties"]
    assert set(told) == set(Behaviour.model_fields)


def test_a_fault_left_out_stays(simulator):
    """Only what an order gives changes."""
    simulator.start(rpm=77, faults=(Fault(kind="reset", share=0),))

    config = simulator.order(tpm=5)["config"]

    assert (config["rpm"], config["tpm"], len(config["faults"])) == (77, 5, 1)
