"""One dimension of a quota, with times that are passed in."""

import pytest

from app.traffic.window import Window

BURST_S = 60.0


def window(per_minute: float = 60, *, span_s: float = 10, fresh: bool = False) -> Window:
    """With nothing assumed of the time before, unless it is `fresh`."""
    made = Window(per_minute, span_s=span_s, guard_s=0.05, now=0)
    if not fresh:
        made.report(0, limit=per_minute, remaining=per_minute, own=0)
    return made


def taken_until(made: Window, until: float, *, start: float = 0, burst_s: float = BURST_S):
    """When ones were taken by somebody who wants as many as there are."""
    times, now = [], start
    while (now := max(now, made.free_at(now, 1, burst_s=burst_s))) < until:
        made.take(now, 1)
        times.append(now)
    return times


def test_a_window_holds_its_limit_and_no_more():
    """Ten at once, and the next when the first have left, as late as one may be counted late."""
    times = taken_until(window(), 25)

    assert times[:10] == [0] * 10
    assert times[10:20] == pytest.approx([10.05] * 10)
    assert len(times) == 30


def test_a_pace_spreads_them():
    """A second's worth at once, then evenly, and just as many in the end."""
    times = taken_until(window(600), 100, burst_s=1)

    assert sum(at < 0.05 for at in times) <= 11
    assert len(times) == pytest.approx(1000, rel=0.02)


def test_the_first_goes_at_once_and_the_rest_as_if_the_time_before_was_busy():
    made = window(600, fresh=True)

    times = taken_until(made, 10)

    assert times[0] == 0
    assert len([at for at in times if at < 5]) == pytest.approx(50, abs=6)
    assert len(times) <= 100


def test_what_is_more_than_the_limit_fits_into_an_empty_window():
    """Else it would wait for ever."""
    made = window()
    made.take(0, 1)

    assert made.free_at(1, 500, burst_s=BURST_S) == pytest.approx(10.05)


def test_what_was_given_back_was_never_taken():
    made = window()
    before = made.left(1)
    entry = made.take(1, 4)
    made.give_back(entry)

    assert made.left(1) == before
    assert made.own_in_minute(1) == 0
    assert made.free_at(1, 10, burst_s=BURST_S) <= 1


def test_what_left_the_window_can_not_be_given_back_to_it():
    made = window()
    entry = made.take(0, 4)
    made.take(20, 3)
    made.give_back(entry)

    assert made.left(20) == 7
    assert made.own_in_minute(20) == 3


def test_a_clock_that_is_set_back_stands_still():
    made = window()
    made.take(100, 10)

    assert made.left(50) == 0
    assert made.free_at(50, 1, burst_s=BURST_S) == pytest.approx(110.05)


@pytest.mark.parametrize(
    ("per_minute", "span_s", "amount", "minutes"),
    [(3, 10, 1, 4), (1, 10, 1, 8), (30, 1, 1, 2), (1_000, 60, 2_500, 20)],
)
def test_the_limit_holds_where_a_window_has_no_room_for_one(per_minute, span_s, amount, minutes):
    made, taken, now = window(per_minute, span_s=span_s), 0.0, 0.0
    while (now := max(now, made.free_at(now, amount, burst_s=1))) < minutes * 60:
        made.take(now, amount)
        taken += amount

    assert taken <= per_minute * minutes + amount
    assert taken >= 0.9 * per_minute * minutes


def test_a_large_amount_holds_up_small_ones_for_a_moment_only():
    """There is room for them."""
    made = window(10_000, span_s=60)
    made.take(0, 6_000)

    assert made.free_at(0, 100, burst_s=1) <= 6
    assert made.free_at(0, 5_000, burst_s=1) > 60


class TestReports:
    """What the service says of its quota."""

    def test_a_lowered_limit_holds_until_it_is_raised_again(self):
        made = window(600)

        made.report(1, limit=300, remaining=300, own=0)
        lowered = made.belief.per_minute(1)
        made.report(2, limit=4500, remaining=4500, own=0)

        assert (lowered, made.belief.per_minute(2)) == (300, 600)

    @pytest.mark.parametrize(
        ("limit", "remaining"),
        [
            (-1, -1),
            (0, 0),
            (None, None),
            (600, 86_400),
            (600, -1),
            (None, 601),
            (None, -5),
            (1e-320, 0),
        ],
    )
    def test_what_makes_no_sense_changes_nothing(self, limit, remaining):
        made = window(600)

        made.report(1, limit=limit, remaining=remaining, own=0)

        assert made.left(1) == 100

    def test_what_others_spend_is_left_to_them(self):
        """Of 600 a minute 180 are gone that are not ours: 70 of 100 are left, about."""
        made = window(600)

        made.report(1, limit=600, remaining=420, own=0)

        assert made.left(1) == pytest.approx(70, abs=4)

    def test_what_was_told_long_ago_is_forgotten(self):
        """The limit as well as the others; a minute later it still holds."""
        made = window(600)
        made.report(0, limit=300, remaining=0, own=0)

        assert made.cap(59) < 10
        assert made.cap(121) == 100

    def test_others_may_spend_what_is_theirs(self):
        """Of 4,500 a minute this service was granted 600."""
        made = window(600)

        made.report(1, limit=4500, remaining=3000, own=0)

        assert made.left(1) == 100

    def test_when_the_others_leave_all_is_ours_again(self):
        made = window(600)
        made.report(1, limit=600, remaining=100, own=0)

        made.report(30, limit=600, remaining=590, own=10)

        assert made.left(30) == 100

    def test_a_large_amount_in_hard_times_does_not_hold_up_good_ones(self):
        """Taken while a tenth was left: a window later all is as before."""
        made = window(6_000, span_s=60)
        made.report(0, limit=6_000, remaining=0, own=0)
        made.take(0, 5_000)
        made.report(1, limit=6_000, remaining=6_000, own=0)

        assert made.free_at(1, 500, burst_s=1) <= 61

    def test_calls_that_overtake_each_other_are_no_others(self):
        made = window(600)

        made.report(1, limit=600, remaining=590, own=5)

        assert made.left(1) == 100


class TestEstimates:
    """What is taken is an estimate, of which the service counts `unit`."""

    LIMIT = 60_000

    def spent(self, *, unit: float, others: float = 0.0, minutes: int = 4) -> list[float]:
        """What the service counted in each of its minutes, when all wants to be spent; `others` is
        their share of its limit, taken evenly."""
        made = Window(self.LIMIT, span_s=60, estimated=True, now=13.0)
        counted, now = [0.0] * (minutes + 1), 13.0
        while (now := max(now, made.free_at(now, 300, burst_s=1))) < minutes * 60:
            made.take(now, 300)
            minute, elapsed_s = divmod(now, 60)
            taken_by_others = others * self.LIMIT * elapsed_s / 60
            if counted[int(minute)] + 300 * unit + taken_by_others > self.LIMIT:
                made.refused(now, retry_after_s=60 - elapsed_s)
                now += 60 - elapsed_s
                continue
            counted[int(minute)] += 300 * unit
            left = self.LIMIT - counted[int(minute)] - taken_by_others
            made.report(now, limit=self.LIMIT, remaining=left, own=made.own_in_minute(now))
        return counted[:minutes]

    @pytest.mark.parametrize("unit", [0.4, 0.75, 0.98, 1.0])
    def test_what_the_service_counts_is_learned_within_two_minutes(self, unit):
        assert self.spent(unit=unit)[2:] == pytest.approx([self.LIMIT] * 2, rel=0.02)

    @pytest.mark.parametrize("unit", [0.6, 1.0])
    def test_others_are_left_what_they_take(self, unit):
        counted = self.spent(unit=unit, others=0.3, minutes=6)[3:]

        assert sum(counted) == pytest.approx(3 * 0.7 * self.LIMIT, rel=0.05)

    def test_a_service_that_counts_more_is_not_overrun(self):
        counted = self.spent(unit=1.3, minutes=6)[2:]

        assert counted == pytest.approx([self.LIMIT] * 4, rel=0.15)

    def test_a_refusal_makes_it_careful_again(self):
        made = Window(self.LIMIT, span_s=60, estimated=True, now=0)
        for second in range(0, 120, 2):
            made.take(second, 1_000)
            made.report(second, limit=self.LIMIT, remaining=self.LIMIT - 500 * 30, own=30_000)
        learned = made.belief.unit

        made.refused(120, retry_after_s=20)

        assert learned == pytest.approx(0.5, rel=0.02)
        assert made.belief.unit == 1

    def test_what_is_no_count_is_not_taken_for_one(self):
        """A gateway that always says that nearly all is left."""
        made = Window(self.LIMIT, span_s=60, estimated=True, now=0)
        for second in range(0, 200, 2):
            made.take(second, 1_000)
            made.report(second, limit=self.LIMIT, remaining=self.LIMIT - 1, own=30_000)

        assert made.belief.unit == 1

    def test_calls_are_counted_as_they_are(self):
        made = window(600, span_s=60)
        for second in range(100):
            made.take(second, 5)
            made.report(second, limit=600, remaining=500, own=300)

        assert made.belief.unit == 1


class TestShorterWindows:
    """Azure enforces calls over ten seconds, or over one: a refusal tells which."""

    @staticmethod
    def burst() -> Window:
        """40 of 600 a minute in half a second: too many for a second, few for ten."""
        made = Window(600, span_s=10, shortest_s=1, guard_s=0.05, now=0)
        made.report(0, limit=600, remaining=600, own=0)
        for number in range(40):
            made.take(100 + number / 80, 1)
        return made

    def test_one_that_a_burst_explains_shortens_the_window(self):
        """And is not put down to others."""
        made = self.burst()

        made.refused(100.5, retry_after_s=0.5)

        times = taken_until(made, 110, start=100.5)
        assert made.left(120) == 10
        assert len([at for at in times if at >= 102]) == pytest.approx(8 * 10 / 1.05, abs=10)
        assert all(sum(start <= at < start + 1 for at in times) <= 10 for start in times)

    def test_one_that_lasts_longer_was_not_for_a_burst(self):
        made = self.burst()

        made.refused(100.5, retry_after_s=3)

        assert made.left(150) < 100
        assert made.span_s == 10

    def test_it_is_widened_again_when_a_refusal_lasts_longer_than_it(self):
        made = self.burst()
        made.refused(100.5, retry_after_s=0.5)

        made.refused(110, retry_after_s=7)

        assert made.span_s == 10


class TestRefusals:
    """A refusal tells how fast the service's window filled: so, how much others take."""

    def test_others_are_told_from_one_refusal(self):
        """Full after 7.7 of 10 seconds, of which we took 77: others take 30 in ten seconds."""
        made = window(600)
        for tenth in range(77):
            made.take(100 + tenth / 10, 1)

        made.refused(107.7, retry_after_s=2.3)

        assert 100 - made.left(150) == pytest.approx(30, abs=2)

    def test_it_is_forgotten_where_nobody_confirms_it(self):
        made = window(600)
        made.refused(100, retry_after_s=5)

        assert made.left(130) < made.left(190) < made.left(240) == 100

    @pytest.mark.parametrize("retry_after_s", [None, -1, 86_400, 9.9])
    def test_one_that_tells_nothing_leaves_the_limit(self, retry_after_s):
        made = window(600)

        made.refused(1, retry_after_s=retry_after_s)

        assert made.left(1) == 100

    def test_a_tenth_is_always_tried(self):
        """Whatever is believed of others."""
        made = window(600)

        made.report(1, limit=600, remaining=0, own=0)

        assert made.left(1) == pytest.approx(10)
