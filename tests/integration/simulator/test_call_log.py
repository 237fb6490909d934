"""The file of calls: what was asked, by whom, and what of it is billed."""

import json
from contextlib import closing

import httpx2
import pytest

from app.simulator import CallLog
from tests.integration.simulator.calls import KEY, question


def ask(simulator, **more):
    return httpx2.post(
        f"{simulator.url}/openai/v1/chat/completions",
        json=question(**more),
        headers={"api-key": KEY},
        timeout=30,
    )


@pytest.mark.parametrize(
    ("kind", "is_billed"), [("timeout_408", True), ("error_500", False), ("capacity_429", False)]
)
def test_a_call_that_fails_ends_with_what_it_is_billed(simulator, tmp_path, kind, is_billed):
    with closing(CallLog(tmp_path / "calls")) as log:
        simulator.start(log=log, faults=[{"kind": kind, "next": 1}])
        ask(simulator)

    began, ended = map(json.loads, (tmp_path / "calls").read_text().splitlines())
    assert ended["call"] == began["call"]
    assert ended["outcome"] == kind
    assert ended["billed"] == (began["expected"] if is_billed else None)
    counted = simulator.look()["untold"]
    assert counted["prompt"] == (began["expected"]["prompt"] if is_billed else 0)


def test_what_does_not_get_in_is_no_call(simulator, tmp_path):
    """Turned away, refused by the quota, or not understood."""
    with closing(CallLog(tmp_path / "calls")) as log:
        simulator.start(log=log, down=True)
        ask(simulator)
        simulator.start(log=log, rpm=0)
        ask(simulator)
        simulator.start(log=log)
        ask(simulator, temperature=9)

    assert (tmp_path / "calls").read_text() == ""
