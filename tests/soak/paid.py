"""What Azure was paid twice for, and why that could not be helped.

A picture is to be paid once. It is paid again where an answer was lost before it was stored, and
the service says when that may be; each call is looked at beside what died, and when.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import inf

from app.batches.shard import LINGER_S
from app.parts.background import LOOKED_THROUGH_EVERY_S
from app.storage.patience import LONGEST_WAIT_S
from tests.soak.calls import Call
from tests.soak.outages import Outages

UNSTORED_S = LINGER_S + 1.0
"""An answer waits for the others of its group, and is judged and committed."""

SIGNALLED_S = 0.2
"""Until a process is dead that is to be killed."""

ON_THE_WAY_S = 0.1
"""Of an answer that left Azure."""

CALL_S = 6.0
"""API_TIMEOUT: a request that began may call so much later, when Azure fails."""

TAKING_S = 2.0
"""From when a process takes over a batch until its first call: pictures are read and made ready."""

SLOW_S = 2 * 0.3
"""Two usual latencies: while it is not sure that Azure is well, or time runs out, a call is given
no more than about that."""

NO_ANSWER = "Azure gave no answer"
KILLED = "a process was killed"
ENDED = "a process ended while PostgreSQL or Azure was away"
UNSTORABLE = "PostgreSQL was away, and the caller was told so"
LATE = "Azure had been away, and an answer came later than was waited for"
TAKEN_OVER = "Redis had died, and two worked on the same"
CAUSES = (NO_ANSWER, KILLED, ENDED, UNSTORABLE, TAKEN_OVER, LATE)


@dataclass(slots=True)
class Origin:
    """Where a picture is from.

    Attributes:
        work: what is handed to one process as a whole: a batch, or one picture of a person.
        at_once: somebody waits for it, and is told when the answer can't be stored.
        later: whichever process is free works on it.
    """

    work: str
    at_once: bool = False
    later: bool = False


@dataclass(slots=True)
class Paid:
    """
    Attributes:
        calls: that Azure bills.
        twice: of these, how many more than there are pictures, by cause.
        at_most: calls that each cause could have made to be paid again.
        unexplained: what was paid again though nothing happened to the call before.
        unasked: pictures that nobody asked about.
    """

    calls: int
    twice: Counter[str] = field(default_factory=Counter)
    at_most: Counter[str] = field(default_factory=Counter)
    unexplained: list[Call] = field(default_factory=list)
    unasked: set[str] = field(default_factory=set)

    @property
    def again(self) -> int:
        """Calls more than pictures."""
        return self.twice.total() + len(self.unexplained)


def paid(
    calls: Iterable[Call],
    outages: Outages,
    processes: Mapping[str, str],
    origins: Mapping[str, Origin],
) -> Paid:
    """`processes`: their names, by the fingerprints of their keys; `origins`: of all pictures, by
    what is sent of them."""
    billed = sorted((each for each in calls if each.billed), key=lambda each: each.began)
    unasked = {each.picture for each in billed} - origins.keys()
    billed = [each for each in billed if each.picture not in unasked]
    causes = _causes(billed, outages, processes, origins)
    found = Paid(len(billed), at_most=Counter(causes.values()), unasked=unasked)
    by_picture: dict[str, list[int]] = defaultdict(list)
    for number, call in enumerate(billed):
        by_picture[call.picture].append(number)
    for numbers in by_picture.values():
        surplus = len(numbers) - 1
        known = [causes[each] for each in numbers if each in causes][:surplus]
        found.twice.update(known)
        if surplus > len(known):
            without = [each for each in numbers if each not in causes]
            found.unexplained += [billed[each] for each in without[1:]]
    return found


def _causes(
    calls: Sequence[Call],
    outages: Outages,
    processes: Mapping[str, str],
    origins: Mapping[str, Origin],
) -> dict[int, str]:
    """Why the answer of a call may have been lost, by its number. Of two causes the first holds."""
    causes: dict[int, str] = {}
    for cause, numbers in (
        (NO_ANSWER, _without_answer(calls, outages)),
        (KILLED, _killed(calls, outages, processes)),
        (ENDED, _ended(calls, outages, processes)),
        (UNSTORABLE, _unstorable(calls, outages, origins)),
        (TAKEN_OVER, _taken_over(calls, outages, origins)),
        (LATE, _late(calls, outages)),
    ):
        for each in numbers:
            causes.setdefault(each, cause)
    return causes


def _without_answer(calls: Sequence[Call], outages: Outages) -> Iterator[int]:
    yield from (number for number, each in enumerate(calls) if not each.is_answered)
    for death in outages.of("azure", "SIGKILL"):
        yield from _between(calls, death.began - ON_THE_WAY_S, death.began + SIGNALLED_S)


def _killed(calls: Sequence[Call], outages: Outages, processes: Mapping[str, str]) -> Iterator[int]:
    """What was under way or not stored when its process died."""
    for key, name in processes.items():
        for death in outages.of(name, "SIGKILL"):
            since = _unstored_since(death.began, outages)
            yield from _between(calls, since, death.began + SIGNALLED_S, by=key)


def _ended(calls: Sequence[Call], outages: Outages, processes: Mapping[str, str]) -> Iterator[int]:
    """A process that is asked to end answers and stores what it began, if it can."""
    for key, name in processes.items():
        for end in outages.of(name, "SIGTERM"):
            if outages.any(end.began, end.ended, "azure", "postgres", after_s=CALL_S):
                since = _unstored_since(end.began, outages)
                yield from _between(calls, since, end.ended, by=key)


def _unstorable(
    calls: Sequence[Call], outages: Outages, origins: Mapping[str, Origin]
) -> Iterator[int]:
    """Without a database no request gets as far as a call: it is those that were on their way."""
    for death in outages.of("postgres", "SIGKILL"):
        is_slow = outages.any(death.began, death.began, "azure", after_s=CALL_S)
        until = death.began + (CALL_S if is_slow else SIGNALLED_S)
        for number in _between(calls, death.began - UNSTORED_S, until):
            if origins[calls[number].picture].at_once:
                yield number


def _taken_over(
    calls: Sequence[Call], outages: Outages, origins: Mapping[str, Origin]
) -> Iterator[int]:
    """Redis knows no more who works on what: another process begins with it, too, and what the
    first one still brings is not stored."""
    by_work: dict[str, list[int]] = defaultdict(list)
    for number, call in enumerate(calls):
        origin = origins[call.picture]
        if origin.later:
            by_work[origin.work].append(number)
    for numbers in by_work.values():
        first = {calls[each].by: calls[each].began for each in reversed(numbers)}
        for number in _takings(calls, numbers):
            taker, at = calls[number].by, calls[number].began
            if not _redis_died_before(at, outages):
                continue
            since = _unstored_since(at - TAKING_S, outages)
            for each in numbers:
                call = calls[each]
                had_it = call.by != taker and first[call.by] < at
                if had_it and call.ended >= since and call.began <= at + UNSTORED_S:
                    yield each


def _takings(calls: Sequence[Call], numbers: Iterable[int]) -> Iterator[int]:
    """First calls of a process for work that it did not have, or not any more: what it is late to
    hear that another one has it is no such call."""
    last: dict[str, float] = {}
    for number in numbers:
        call = calls[number]
        if call.began - last.get(call.by, -inf) > UNSTORED_S:
            yield number
        last[call.by] = call.began


def _late(calls: Sequence[Call], outages: Outages) -> Iterator[int]:
    """A breaker, and who waited for it, are in a hurry for a while when Azure is back."""
    for number, call in enumerate(calls):
        waited = outages.any(call.began - CALL_S, call.began, "azure")
        if waited and call.ended - call.began >= SLOW_S:
            yield number


def _redis_died_before(at: float, outages: Outages) -> bool:
    """Whether work may have lost its task, and was found since."""
    return any(
        each.began <= at <= each.ended + LOOKED_THROUGH_EVERY_S + UNSTORED_S
        for each in outages.of("redis", "SIGKILL")
    )


def _unstored_since(at: float, outages: Outages) -> float:
    """What was answered before then is stored: unless the database is away, or was, and has not
    been tried again since."""
    away = (
        each.began
        for each in outages.of("postgres")
        if each.began <= at <= each.ended + LONGEST_WAIT_S + UNSTORED_S
    )
    return min(chain(away, [at])) - UNSTORED_S


def _between(
    calls: Sequence[Call], since: float, until: float, *, by: str | None = None
) -> Iterator[int]:
    """Numbers of calls that began until then, and did not end before `since`."""
    last = bisect_left(calls, until, key=lambda each: each.began)
    for number in range(last):
        call = calls[number]
        if call.ended >= since and by in (None, call.by):
            yield number
