"""What the month will cost, and what groups are made of."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from app.analytics import CostGroup, as_csv, forecast
from app.storage import Pace, Sums

NOW = datetime(2026, 11, 10, 12, 30, tzinfo=UTC)
LEFT = 20 * 24 + 11.5
"""Hours of November."""


def pace(month: str, lately: str, first: datetime | None) -> Pace:
    return Pace(Decimal(month), Decimal(lately), first)


def sums(**given) -> Sums:
    none = {each.name: Decimal(0) if each.name.endswith("_usd") else 0 for each in fields(Sums)}
    return Sums(**none | given)


class TestForecast:
    @pytest.mark.parametrize(
        ("first", "hours"),
        [
            (datetime(2026, 10, 1, tzinfo=UTC), 7 * 24 + 0.5),
            (datetime(2026, 11, 3, 12, tzinfo=UTC), 7 * 24 + 0.5),
            (datetime(2026, 11, 3, 13, tzinfo=UTC), 7 * 24 - 0.5),
            (datetime(2026, 11, 10, 10, tzinfo=UTC), 2.5),
            (datetime(2026, 11, 10, 12, tzinfo=UTC), 1),
            (datetime(2026, 11, 10, 13, tzinfo=UTC), 1),
        ],
    )
    def test_the_mean_since_the_basis_began_goes_on(self, first, hours):
        """Which is never less than an hour: of a few minutes nothing follows."""
        found = forecast(pace("10", "6", first), NOW)

        assert float(found.expected_usd) == pytest.approx(10 + 6 / hours * LEFT)
        assert found.basis_days == round(min(hours / 24, 7), 2)

    @pytest.mark.parametrize(
        ("now", "month", "left"),
        [
            (datetime(2026, 12, 31, 23, 30, tzinfo=UTC), "2026-12", 0.5),
            (datetime(2026, 2, 28, tzinfo=UTC), "2026-02", 24),
            (datetime(2028, 2, 28, tzinfo=UTC), "2028-02", 48),
            (datetime(2026, 1, 31, 1, tzinfo=UTC), "2026-01", 23),
            (datetime(2026, 3, 1, tzinfo=UTC), "2026-03", 31 * 24),
        ],
    )
    def test_a_month_ends_when_it_ends(self, now, month, left):
        found = forecast(pace("1", "1", now - timedelta(hours=10)), now)

        assert found.month == month
        assert float(found.expected_usd) == pytest.approx(1 + 0.1 * left)

    def test_without_entries_there_is_none(self):
        assert forecast(pace("0", "0", None), NOW) is None


class TestGroups:
    def test_a_thousand_answers_cost_what_all_cost_together(self):
        """Also those that cost nothing, however they came about."""
        found = CostGroup.of(
            sums(cost_usd=Decimal(3), asked=1, kept=2, shared=1, duplicate=2), key="a", share=None
        )

        assert (found.answers, found.usd_per_1000_images) == (6, 500)

    def test_without_answers_nobody_knows_what_one_costs(self):
        assert CostGroup.of(sums(cost_usd=Decimal(3)), key="a", share=1).usd_per_1000_images is None

    def test_a_file_has_a_column_for_each_number(self):
        group = CostGroup.of(sums(calls=2, saved_kept_usd=Decimal("0.5")), key=None, share=None)
        head, row = as_csv([group]).decode().splitlines()
        cells = dict(zip(head.split(","), row.split(","), strict=True))

        assert (cells["key"], cells["calls"], cells["savings.cache.usd"]) == ("", "2", "0.5")
