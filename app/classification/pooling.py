"""Pools several answers about the same picture into one distribution."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.domains import Domain
from app.providers.base import ProviderAnswer
from app.result import none_of_these

LEAST = 1e-6
"""The least value of a probability where its logarithm counts."""

Shares = Mapping[str | None, float]
"""The probability of each label, and under None that of "none of these" where it was offered."""


def both_orders(
    first: ProviderAnswer,
    second: ProviderAnswer,
    offered: Sequence[str | None],
    domain: Domain,
) -> ProviderAnswer:
    """The mean of two answers whose classes were `offered` in opposite orders; the second call may
    have offered only the most probable ones.

        p(class) ~ sqrt(p1(class) * p2(class))

    If a model multiplies the odds of a class by a factor that depends on its position, each of two
    classes gets both factors once, and they cancel exactly; with more classes, those in the middle
    keep theirs.
    Source: Zheng et al., "Large Language Models Are Not Robust Multiple Choice Selectors", ICLR
    2024 (cyclic and full permutations, averaged; here two, and in logarithms).

    Classes that were not offered again keep their probability, and the others share the rest.

    The tail is at most that of the first answer plus what the second adds. Let `z` be the sum of
    the roots of the classes that both answers reported. For a class that an answer did not report,
    that answer contributes at most its tail to the root, so that no probability is off by more than
    the sum of such roots over `z`.
    """
    before, after = _shares(first, domain), _shares(second, domain)
    roots = {each: math.sqrt(_least(before[each]) * _least(after[each])) for each in offered}
    open_ended = [each for each in offered if each in first.untold or each in second.untold]
    known = sum(root for each, root in roots.items() if each not in open_ended)
    most = sum(
        math.sqrt(
            (first.tail if each in first.untold else _least(before[each]))
            * (second.tail if each in second.untold else _least(after[each]))
        )
        for each in open_ended
    )
    kept = {each: p for each, p in before.items() if each not in roots}
    scale = (1 - sum(kept.values())) / sum(roots.values())
    pooled = kept | {each: root * scale for each, root in roots.items()}
    off = first.tail + (most / known if known else 1.0)
    return replace(
        first,
        label=max(pooled, key=lambda each: (pooled[each], each == first.label)),
        probabilities={label: pooled[label] for label in domain.labels},
        tail=min(1.0, off),
    )


def votes_wanted(ballots: Sequence[ProviderAnswer], domain: Domain, *, left: int) -> int:
    """How many more votes to cast at once, of those that are `left`: enough to decide if they all
    agree with the leading class, and to lift it to the domain's threshold if that is possible. 0
    when no class can draw level any more, and no vote lifts the leader to the threshold."""
    (leader, lead), *others = Counter(each.label for each in ballots).most_common(2)
    behind = others[0][1] if others else 0
    open_still = 0 if lead - behind > left else min(left, (left - lead + behind) // 2 + 1)
    # "None of these" goes to a person, however sure it is.
    lacking = 0 if leader is None else domain.votes_lacking(lead, len(ballots), left=left)
    return max(open_still, lacking)


def counted(ballots: Sequence[ProviderAnswer], domain: Domain) -> ProviderAnswer:
    """The answer with the most votes; in a tie, the class with the highest sum of probabilities.
    Each class gets the probability `Domain.vote_share`."""
    votes = Counter(each.label for each in ballots)
    sure: defaultdict[str | None, float] = defaultdict(float)
    for each in ballots:
        sure[each.label] += _shares(each, domain)[each.label]
    winner = max(votes, key=lambda each: (votes[each], sure[each]))
    voted_so = next(each for each in ballots if each.label == winner)
    return replace(
        voted_so,
        probabilities={
            label: domain.vote_share(votes[label], len(ballots)) for label in domain.labels
        },
        confidence_source="votes",
    )


def _shares(answer: ProviderAnswer, domain: Domain) -> Shares:
    """What the classes leave of 1 is "none of these", where that may be answered."""
    shares: dict[str | None, float] = {
        label: answer.probabilities.get(label, 0.0) for label in domain.labels
    }
    if domain.allow_none:
        shares[None] = none_of_these(shares)
    return shares


def _least(probability: float) -> float:
    return max(probability, LEAST)
