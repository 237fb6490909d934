"""What Azure was paid twice for, and why that could not be helped.

A picture is to be paid once. It is paid again where an answer was lost before it was stored, and
the service says when that may be; each call is looked at beside what died, and when.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

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

NO_ANSWER = "Azure gave no answer"
KILLED = "a process was killed"
ENDED = "a process ended while PostgreSQL or Azure was away"
UNSTORABLE = "PostgreSQL was away, and the caller was told so"
TAKEN_OVER = "Redis had died, and two worked on the same"
CAUSES = (NO_ANSWER, KILLED, ENDED, UNSTORABLE, TAKEN_OVER)


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
        began: dict[str, float] = {}
        for each in numbers:
            began.setdefault(calls[each].by, calls[each].began)
        for taker, at in began.items():
            if not _redis_died_before(at, outages):
                continue
            since = _unstored_since(at, outages)
            for each in numbers:
                call = calls[each]
                if (
                    began[call.by] < at
                    and call.by != taker
                    and call.ended >= since
                    and call.began <= at + UNSTORED_S
                ):
                    yield each


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
