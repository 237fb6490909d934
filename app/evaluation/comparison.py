"""Two runs over the same pictures."""

from collections.abc import Sequence

from app.evaluation.figures import mcnemar, paired_interval
from app.evaluation.judged import Judged
from app.evaluation.report import Comparison, Difference, Outcomes

MAX_NAMED = 50


def compared(judged: Sequence[Judged], name: str, earlier: Outcomes) -> Comparison:
    """What improved and what got worse since the run `earlier`, called `name`. A picture counts
    once, and only when it is in both."""
    first: dict[str, Judged] = {}
    for each in judged:
        if each.key in earlier:
            first.setdefault(each.key, each)
    both = [first[key] for key in sorted(first)]
    n = len(both)
    better = [each for each in both if each.right and not earlier[each.key]]
    worse = [each for each in both if earlier[each.key] and not each.right]
    now, then = sum(each.right for each in both), sum(earlier[each.key] for each in both)
    return Comparison(
        earlier=name,
        n=n,
        accuracy=now / n if n else None,
        earlier_accuracy=then / n if n else None,
        difference=(now - then) / n if n else None,
        interval=paired_interval(len(better), len(worse), n) if n else None,
        better=len(better),
        worse=len(worse),
        p_value=mcnemar(len(better), len(worse)) if n else None,
        only_now_right=[_difference(each) for each in better[:MAX_NAMED]],
        only_earlier_right=[_difference(each) for each in worse[:MAX_NAMED]],
    )


def _difference(each: Judged) -> Difference:
    return Difference(
        picture=each.key, name=each.name, expected=each.expected, predicted=each.predicted
    )
