"""The ledger's benchmark in short form. The bounds are for a machine under other load."""

from benchmarks.ledger import GOAL_MS, measure


async def test_books_and_budgets_cost_a_call_a_fraction_of_a_millisecond(tmp_path):
    """CPU time, including sums; the best of three. With sixteen at once: with one at a time the
    threads wake each other, and noise is as large as the bound."""
    found = [
        await measure(tmp_path / str(number), rounds=3, concurrencies=[16]) for number in range(3)
    ]

    more = [each["16"]["least_more_ms"] for each in found]
    assert min(each["on"] for each in more) < 3 * GOAL_MS
    assert min(each["budgets"] for each in more) < 5 * GOAL_MS
