"""The soak's judge: which calls may be paid twice, and what it says of others."""

import json
from itertools import count
from math import inf

import pytest

from tests.soak import calls as reading
from tests.soak import proof
from tests.soak.calls import Call
from tests.soak.outages import Outage, Outages
from tests.soak.paid import (
    CALL_S,
    ENDED,
    KILLED,
    LATE,
    NO_ANSWER,
    SLOW_S,
    TAKEN_OVER,
    UNSTORABLE,
    UNSTORED_S,
    Origin,
    paid,
)

AT = 1_000.0
"""When something dies."""

BACK = AT + 5
PROCESSES = {"a": "worker-0", "b": "worker-1"}
TOKENS = {"prompt": 100, "image": 85, "completion": 5, "reasoning": 0}
LONG_AGO = AT - 100
AGAIN = AT + 20


def call(began, ended, *, by="a", picture="p", outcome="answered", billed=TOKENS):
    return Call(by, picture, began, ended, outcome, billed)


def outages(*every):
    found = Outages()
    found.all += [Outage(of, how, began, ended) for of, how, began, ended in every]
    return found


def judged(*made, died=(), origin=None):
    pictures = {each.picture for each in made}
    origins = {each: origin or Origin(each, at_once=True) for each in pictures}
    return paid(made, outages(*died), PROCESSES, origins)


WORKER = ("worker-0", "SIGKILL", AT, BACK)
POSTGRES = ("postgres", "SIGKILL", AT, BACK)
REDIS = ("redis", "SIGKILL", AT, BACK)
BATCH = Origin("batch 1", later=True)


def test_what_is_paid_once_is_not_told():
    found = judged(call(LONG_AGO, AT - 99), call(AGAIN, AGAIN + 0.2, picture="q"), died=[WORKER])

    assert (found.calls, found.again, found.at_most.total()) == (2, 0, 0)
    assert list(proof.paid(found)) == []


def test_what_is_paid_twice_without_need_is_told():
    """Also what was answered long before the process died, or by one that did not."""
    found = judged(
        call(LONG_AGO, AT - 99),
        call(AGAIN, AGAIN + 0.2),
        call(AT - 1, AT + 1, by="b", picture="q"),
        call(AGAIN, AGAIN + 0.2, by="b", picture="q"),
        died=[WORKER],
    )

    assert found.again == len(found.unexplained) == 2
    (complaint,) = proof.paid(found)
    assert complaint.startswith("2 calls were paid again without need")


def test_a_call_explains_one_more_and_not_two():
    found = judged(
        call(AT - 0.2, AT + 0.2),
        call(AGAIN, AGAIN + 0.2),
        call(AGAIN + 9, AGAIN + 10),
        died=[WORKER],
    )

    assert found.twice == {KILLED: 1}
    assert len(found.unexplained) == 1


@pytest.mark.parametrize(
    ("ended", "is_lost"),
    [
        (AT + 0.3, True),
        (AT - UNSTORED_S + 0.1, True),
        (AT - UNSTORED_S - 0.1, False),
    ],
    ids=["under way", "not stored yet", "stored"],
)
def test_a_process_that_is_killed_takes_what_is_not_stored(ended, is_lost):
    found = judged(call(AT - 3, ended), call(AGAIN, AGAIN + 0.2), died=[WORKER])

    assert found.twice == ({KILLED: 1} if is_lost else {})
    assert found.at_most == found.twice
    assert bool(found.unexplained) is not is_lost


def test_what_waits_for_the_database_dies_with_its_process():
    """Of a batch: it is tried again until PostgreSQL is back, and a little longer."""
    postgres = ("postgres", "SIGKILL", AT - 8, AT - 3)
    made = call(AT - 9, AT - 7.5), call(AGAIN, AGAIN + 0.2)

    assert judged(*made, died=[WORKER, postgres], origin=BATCH).twice == {KILLED: 1}
    assert judged(*made, died=[postgres], origin=BATCH).unexplained


def test_a_call_without_an_answer_is_made_again():
    """A fault that is billed, and what Azure was at when it died: also what it had just sent."""
    found = judged(
        call(LONG_AGO, AT - 99, outcome="reset"),
        call(AGAIN, AGAIN + 0.2),
        call(AT - 0.3, inf, picture="q", outcome="lost"),
        call(AGAIN, AGAIN + 0.2, picture="q"),
        call(AT - 0.5, AT - 0.05, picture="r"),
        call(AGAIN, AGAIN + 0.2, picture="r"),
        died=[("azure", "SIGKILL", AT, BACK)],
    )

    assert found.twice == found.at_most == {NO_ANSWER: 3}
    assert not found.unexplained


def test_what_costs_nothing_is_not_paid():
    found = judged(call(LONG_AGO, AT, outcome="error_500", billed={}), call(AGAIN, AGAIN + 0.2))

    assert (found.calls, found.again) == (1, 0)


def test_a_process_that_is_asked_to_end_loses_nothing_unless_others_are_away():
    ended = ("worker-0", "SIGTERM", AT, BACK)
    made = call(AT - 0.2, AT + 3), call(AGAIN, AGAIN + 0.2)

    assert judged(*made, died=[ended]).unexplained
    assert judged(*made, died=[ended, POSTGRES]).twice == {ENDED: 1}
    down = ("azure", "down", AT - CALL_S - 2, AT - CALL_S + 1)
    assert judged(*made, died=[ended, down]).twice == {ENDED: 1}


def test_without_a_database_only_who_waits_is_told_to_ask_again():
    """It was under way: a request that comes later does not get as far as a call."""
    made = call(AT - 0.2, AT + 0.3), call(AGAIN, AGAIN + 0.2)
    later = call(AT + 1, AT + 2), call(AGAIN, AGAIN + 0.2)

    assert judged(*made, died=[POSTGRES]).twice == {UNSTORABLE: 1}
    assert judged(*made, died=[POSTGRES], origin=BATCH).unexplained
    assert judged(*later, died=[POSTGRES]).unexplained


def shard():
    """Two processes at one batch: `a` had it, `b` begins with what `a` is at."""
    numbers = count()
    first = [call(AT + 10, AT + 10.5, picture=f"{next(numbers)}") for _ in range(3)]
    under_way = [call(AT + 19.8, AT + 20.3, picture=f"{next(numbers)}") for _ in range(2)]
    taken = [call(AT + 20, AT + 20.6, by="b", picture=each.picture) for each in under_way]
    return [*first, *under_way, *taken]


def test_without_redis_two_may_work_on_the_same():
    """What the first one had under way when the second began, and nothing before."""
    found = judged(*shard(), died=[REDIS], origin=BATCH)

    assert found.twice == found.at_most == {TAKEN_OVER: 2}
    assert not found.unexplained


def test_a_batch_may_go_to_another_and_back():
    """Each time what the other one is at is lost."""
    before = [call(AT - 50, AT - 49.5, by="b", picture="early")]
    found = judged(*before, *shard(), died=[REDIS], origin=BATCH)

    assert found.twice == {TAKEN_OVER: 2}


@pytest.mark.parametrize(("took_s", "is_late"), [(SLOW_S + 0.1, True), (SLOW_S - 0.1, False)])
def test_what_waited_for_azure_may_be_given_too_little_time(took_s, is_late):
    made = call(AT, AT + took_s), call(AGAIN, AGAIN + 0.2)

    found = judged(*made, died=[("azure", "limited", AT - 9, AT - 4)])

    assert found.twice == ({LATE: 1} if is_late else {})
    assert bool(found.unexplained) is not is_late
    assert judged(*made).unexplained


@pytest.mark.parametrize(
    "died", [[], [("redis", "SIGKILL", AT - 200, AT - 195)]], ids=["never", "long before"]
)
def test_while_redis_lives_nobody_takes_what_another_has(died):
    assert len(judged(*shard(), died=died, origin=BATCH).unexplained) == 2


def test_whoever_waits_is_answered_by_one_process():
    """Redis gives out no work for people who wait."""
    assert judged(*shard(), died=[REDIS], origin=Origin("p", at_once=True)).unexplained


def test_what_nobody_asked_about_is_told():
    found = paid([call(AT, AT + 1)], outages(), PROCESSES, {})

    assert list(proof.paid(found)) == ["1 pictures were paid that nobody asked about"]


def test_the_bill_counts_what_azure_was_at_when_it_died(tmp_path):
    """An answer, a fault that is billed and one that is not, and a call without an end."""
    path = tmp_path / "calls.jsonl"
    began = [
        {"call": f"{number}", "at": AT, "deployment": "east", "key": "a", "picture": "p"}
        for number in range(4)
    ]
    ends = [("0", "answered", TOKENS), ("1", "reset", TOKENS), ("2", "error_500", None)]
    lines = [each | {"expected": TOKENS} for each in began]
    lines += [
        {"call": each, "at": AT + 1, "outcome": outcome, "billed": billed}
        for each, outcome, billed in ends
    ]
    path.write_text("".join(f"{json.dumps(each)}\n" for each in lines))

    made = reading.read(path)
    bill = reading.bill(made)

    assert [each.outcome for each in made] == ["answered", "reset", "error_500", "lost"]
    assert made[3].ended == inf
    assert bill.calls == 3
    assert (bill.told["prompt"], bill.untold["prompt"]) == (100, 200)
    assert float(bill.usd) == pytest.approx(3 * (100 * 2.5e-6 + 5 * 1e-5))
