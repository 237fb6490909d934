"""Whether new examples make a head better, judged by the examples known before. No I/O.

New examples come from people who may be wrong, all at once for an hour, so they can't judge
themselves. The examples known before compare two heads that differ only in whether they were also
taught with the new ones; and the head in force tells how surprising the new labels are.
"""

from dataclasses import dataclass
from math import comb, sqrt
from typing import Final

import numpy as np

from app.providers.local.head import Head
from app.providers.local.teaching import Examples, cross_validated
from app.result import NONE
from app.teaching.report import shares_right

CHANCE: Final = 0.05
"""A p-value below this is not taken for chance."""
LOST: Final = 0.05
"""Nor is it chance if this share of the known pictures is lost and the new labels are a
surprise."""
SURPRISE: Final = 2.0
GREAT_SURPRISE: Final = 4.0
"""Standard deviations: `python -m benchmarks.taught` measures how many honest labels exceed it."""
FLOOR: Final = 1e-3
"""Least probability of a class, however sure the head is."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    Attributes:
        before, after: the share of known pictures classified correctly by heads that had not seen
            them, taught without and with the new ones; None where a class has only one.
        by_chance: the probability that so many are lost and so few gained although nothing became
            worse (McNemar's test, exact, one-sided).
        surprise: of the new labels, in standard deviations.
    """

    before: float | None
    after: float | None
    by_chance: float
    surprise: float

    @property
    def objection(self) -> str | None:
        """Why not to learn from the new examples; None: there is no reason."""
        if self.before is not None and self.after is not None:
            lost = self.before - self.after
            fell = f"of the examples known before {self.after:.1%} are told right instead of "
            fell += f"{self.before:.1%}"
            if lost > 0 and self.by_chance < CHANCE:
                return f"{fell}, which is no chance (p = {self.by_chance:.2g})"
            if lost > LOST and self.surprise > SURPRISE:
                return f"{fell}, and the new labels are a surprise ({self.surprise:.1f} sigma)"
        if self.surprise > GREAT_SURPRISE:
            return (
                "the new labels contradict what was sure and right before "
                f"({self.surprise:.1f} sigma)"
            )
        return None


def judge(known: Examples, new: Examples, head: Head) -> Verdict:
    """`head`: in force, taught without `new`. It takes as long as teaching does."""
    surprise = surprise_of(new, head)
    if known.fewest < 2 or len(np.unique(known.truth)) < 2:
        return Verdict(None, None, 1.0, surprise)
    count = len(known.truth)
    before = shares_right(cross_validated(known), count)
    after = shares_right(cross_validated(known, also=new), count)
    mine = known.truth < len(known.labels)
    was, now = before[mine] > 0.5, after[mine] > 0.5
    lost, gained = int((was & ~now).sum()), int((~was & now).sum())
    return Verdict(
        float(before[mine].mean()), float(after[mine].mean()), _sign_test(lost, gained), surprise
    )


def surprise_of(examples: Examples, head: Head) -> float:
    """By how many standard deviations the labels are less probable than labels drawn from the
    head's own probabilities would be. Labels that it was not taught are left out.

        z = (sum E[log p(y)] - sum log p(y)) / sqrt(sum Var[log p(y)] + 1)

    The added 1 allows for how little a few labels can tell.
    """
    labels = (*examples.labels, NONE)
    below, spread = 0.0, 1.0
    for embedding, truth in zip(examples.embeddings, examples.truth, strict=True):
        found = head.probabilities(embedding)
        rest = 1 - sum(found.values())
        if len(head.bias) > len(head.labels):
            found[NONE] = rest
        if (label := labels[truth]) not in found:
            continue
        shares = np.maximum(list(found.values()), FLOOR)
        shares /= shares.sum()
        logs = np.log(shares)
        mean = float(shares @ logs)
        below += mean - float(logs[list(found).index(label)])
        spread += float(shares @ logs**2) - mean**2
    return below / sqrt(spread)


def _sign_test(lost: int, gained: int) -> float:
    """P(at least `lost` of all changes are losses), if each is one with probability 1/2."""
    changes = lost + gained
    return float(sum(comb(changes, each) for each in range(lost, changes + 1)) / 2**changes)
