"""Exports beside a bare cursor and csv writer; `benchmarks/export.py` measures more."""

import pytest

from benchmarks.export import measure


@pytest.mark.parametrize("form", ["csv", "jsonl"])
async def test_no_slower_than_a_third_of_the_least(tmp_path, form):
    """The memory held does not grow with the rows, either."""
    found = await measure(20_000, [form], 3, tmp_path)

    assert found[form]["of_bare"] > 0.25
    assert found[form]["mib_over_idle"] < 50
