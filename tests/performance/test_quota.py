"""The quota benchmark's steady case in short, against a simulator over HTTP."""

import asyncio

from benchmarks.quota import Spell, compare
from tests.service import ROOT


def test_the_quota_is_spent_in_full_and_nothing_is_refused(monkeypatch):
    """A window of ten seconds is let go by before it counts, as nobody knows what was in it."""
    monkeypatch.chdir(ROOT)

    found = asyncio.run(compare(["steady"], ["service"], Spell(13, 20), at_once=1))

    figures = found["steady"]["service"]
    assert figures["share"] >= 0.97
    assert figures["refused_share"] <= 0.001
    assert figures["failed"] == 0
