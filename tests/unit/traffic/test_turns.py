"""Whose turn it is."""

from app.traffic.turns import Turns


def served(turns: Turns, times: int, cost=lambda key: 1.0) -> list:
    keys = []
    for _ in range(times):
        key = turns.next()
        turns.served(key, cost(key))
        keys.append(key)
    return keys


def test_turns_are_equal_by_what_was_served():
    """Who takes three times as much at a time has a third of the turns."""
    turns = Turns()
    turns.come("small")
    turns.come("large")

    keys = served(turns, 400, cost=lambda key: 3.0 if key == "large" else 1.0)

    assert keys.count("small") == 300


def test_weights_are_shares():
    turns = Turns({"nine": 0.9, "one": 0.1}.__getitem__)
    turns.come("nine")
    turns.come("one")

    assert 8 <= served(turns, 100).count("one") <= 12


def test_who_was_away_saves_nothing_up():
    """And does not fall behind either."""
    turns = Turns()
    turns.come("stays")
    served(turns, 1000)
    turns.come("comes")

    assert served(turns, 10).count("comes") == 5


def test_leaving_and_coming_back_does_not_win_a_turn():
    turns = Turns()
    turns.come("stays")
    turns.come("leaves")
    keys = []
    for _ in range(100):
        key = turns.next()
        turns.served(key, 1.0)
        keys.append(key)
        if key == "leaves":
            turns.go("leaves")
            turns.come("leaves")

    assert keys.count("leaves") == 50


def test_nobody_is_next_when_nobody_has_work():
    turns = Turns()
    turns.come("one")
    turns.go("one")

    assert turns.next() is None
    assert not len(turns)


def test_who_comes_and_goes_ten_thousand_times_leaves_nothing_behind():
    turns = Turns()
    turns.come("waits")
    for number in range(10_000):
        turns.come(f"caller {number % 7}")
        turns.go(f"caller {number % 7}")

    assert len(turns) == 1
    assert len(turns._heap) < 200
    assert len(turns._end) < 20
