"""The ledger's benchmark in short. The bounds are for a machine that has other things to do."""

from benchmarks.ledger import GOAL_MS, measure


async def test_books_and_budgets_cost_a_call_a_fraction_of_a_millisecond(tmp_path):
    """Of CPU time, sums included; the best of three. At sixteen at once: one at a time the threads
    wake each other, and noise is as large as the bound."""
    found = [
        await measure(tmp_path / str(number), rounds=3, concurrencies=[16]) for number in range(3)
    ]

    more = [each["16"]["least_more_ms"] for each in found]
    assert min(each["on"] for each in more) < 3 * GOAL_MS
    assert min(each["budgets"] for each in more) < 5 * GOAL_MS
