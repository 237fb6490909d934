"""The quota benchmark's steady case in short form, against a simulator over HTTP."""

import asyncio

from benchmarks.quota import Spell, compare
from tests.service import ROOT


def test_the_quota_is_spent_in_full_and_nothing_is_refused(monkeypatch):
    """A window of ten seconds passes before counting starts, since its earlier use is unknown."""
    monkeypatch.chdir(ROOT)

    found = asyncio.run(compare(["steady"], ["service"], Spell(13, 20), at_once=1))

    figures = found["steady"]["service"]
    assert figures["share"] >= 0.97
    assert figures["refused_share"] <= 0.001
    assert figures["failed"] == 0
