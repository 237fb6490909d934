"""Counts of results: how many, how sure, how right, how fast. They can be added."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Literal, Self

from pydantic_core import from_json, to_json

from app.result import LabelSource, Result, Timings

STAGES = tuple(Timings.model_fields)

CONFIDENCE_EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
"""Where the bins of a confidence distribution begin: finer where most answers are."""

ACCURACY = 0.05
"""Relative accuracy of percentiles: DDSketch (Masson, Rim, Lee: VLDB 2019)."""
_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GAMMA = math.log(_GAMMA)
_PERCENTILES_FROM_MS = 0.01

_DOUBTED: LabelSource = "review"
_UNSEEN: LabelSource = "random_review"

_EDGE_NAMES = tuple(f"{edge:g}" for edge in CONFIDENCE_EDGES)


Counts = dict[str, dict[str, int]]
"""Counts by what is counted, then by name."""


class Tally:
    """Counts for the results of one period, domain and caller, or of several of these together."""

    __slots__ = ("_counts",)

    def __init__(self, counts: Counts | None = None) -> None:
        self._counts: Counts = {} if counts is None else counts

    @classmethod
    def of(cls, result: Result) -> Self:
        """The tally of one result that is not pending."""
        statuses: dict[str, int] = {result.status: 1}
        counts: Counts = {"results": statuses}
        if result.cached:
            statuses["cached"] = 1
        if result.error is not None:
            counts["errors"] = {result.error.kind: 1}
        elif result.confidence is not None:
            counts["classes"] = {result.predicted_class or "": 1}
            counts["confidence"] = {_edge(result.confidence): 1}
        if result.timings_ms is not None:
            for stage in STAGES:
                milliseconds = getattr(result.timings_ms, stage)
                if milliseconds > 0:  # else the stage did not take place
                    counts[stage] = {_bucket(milliseconds): 1}
        if result.usage is not None and result.usage.prompt_tokens:
            counts["tokens"] = {
                "prompt": result.usage.prompt_tokens,
                "completion": result.usage.completion_tokens,
            }
        return cls(counts | label_counts(result, 1))

    @classmethod
    def of_unanswered(cls, slug: str) -> Self:
        """The tally of a good picture that no provider could be asked about: it has no result."""
        return cls({"results": {"unanswered": 1}, "errors": {slug: 1}})

    def __bool__(self) -> bool:
        return bool(self._counts)

    @classmethod
    def parse(cls, text: str) -> Self:
        return cls(from_json(text))

    def text(self) -> str:
        """The form in which it is stored."""
        return to_json(self._counts).decode()

    def add(self, other: "Tally") -> None:
        mine = self._counts
        for what, counts in other._counts.items():
            known = mine.get(what)
            if known is None:
                mine[what] = counts.copy()
                continue
            for name, count in counts.items():
                known[name] = known.get(name, 0) + count

    @classmethod
    def total(cls, tallies: Iterable["Tally"]) -> Self:
        total = cls()
        for each in tallies:
            total.add(each)
        return total

    def named(self, what: str) -> dict[str, int]:
        """Counts without zeros: `errors` by kind, `classes` ("" for none of them), `confidence` by
        edge, `labelled` and `right` by source."""
        return {name: count for name, count in self._counts.get(what, {}).items() if count}

    def _count(self, what: str, name: str) -> int:
        return self._counts.get(what, {}).get(name, 0)

    @property
    def accepted(self) -> int:
        return self._count("results", "accepted")

    @property
    def needs_review(self) -> int:
        return self._count("results", "needs_review")

    @property
    def failed(self) -> int:
        return self._count("results", "failed")

    @property
    def cached(self) -> int:
        return self._count("results", "cached")

    @property
    def results(self) -> int:
        return self.accepted + self.needs_review + self.failed

    @property
    def unanswered(self) -> int:
        """Pictures without a result, because no provider could be asked about them."""
        return self._count("results", "unanswered")

    @property
    def failure_share(self) -> float | None:
        """The share of all pictures that got no answer, 0 to 1; None: there were no pictures."""
        pictures = self.results + self.unanswered
        return (self.failed + self.unanswered) / pictures if pictures else None

    @property
    def labelled(self) -> int:
        """Answers whose true class is known, without those that a person looked at because they
        were unsure: these are wrong more often than others."""
        return self._but_doubted("labelled")

    @property
    def right(self) -> int:
        """How many of these gave the true class."""
        return min(self._but_doubted("right"), self.labelled)

    def _but_doubted(self, what: str) -> int:
        counts = self._counts.get(what, {})
        return sum(counts.values()) - counts.get(_DOUBTED, 0)

    @property
    def unseen_labelled(self) -> int:
        """Accepted answers that a person looked at all the same, because they were drawn at
        random."""
        return self._count("labelled", _UNSEEN)

    @property
    def unseen_right(self) -> int:
        """How many of these the person agreed with."""
        return min(self._count("right", _UNSEEN), self.unseen_labelled)

    @property
    def prompt_tokens(self) -> int:
        return self._count("tokens", "prompt")

    @property
    def completion_tokens(self) -> int:
        return self._count("tokens", "completion")

    def percentiles(self, stage: str, *shares: float) -> list[float] | None:
        """Milliseconds within which these shares, 0 to 1 in ascending order, of the results that
        had the stage at all completed it; None: none had it."""
        counts = self._counts.get(stage)
        if not counts:
            return None
        found: list[float] = []
        last, seen = sum(counts.values()) - 1, 0
        for bucket in sorted(counts, key=int):
            seen += counts[bucket]
            while seen > shares[len(found)] * last:
                found.append(2 * _PERCENTILES_FROM_MS * _GAMMA ** int(bucket) / (_GAMMA + 1))
                if len(found) == len(shares):
                    return found
        return None

    def percentile(self, stage: str, share: float) -> float | None:
        """As `percentiles`, for one share."""
        found = self.percentiles(stage, share)
        return found[0] if found else None


def label_counts(result: Result, times: Literal[1, -1]) -> Counts:
    """The counts for an answer whose true class is known; -1: for one where it no longer is."""
    source, right = result.expected_source, result.is_right
    if source is None or right is None:  # labelled before labels were counted, or no answer
        return {}
    return {"labelled": {source: times}, "right": {source: times * right}}


def _edge(confidence: float) -> str:
    return _EDGE_NAMES[max(bisect_right(CONFIDENCE_EDGES, confidence) - 1, 0)]


def _bucket(milliseconds: float) -> str:
    ratio = max(milliseconds / _PERCENTILES_FROM_MS, 1.0)
    return str(math.ceil(math.log(ratio) / _LOG_GAMMA))


Z_95 = 1.959964
"""Standard deviations on either side of the mean that hold 95 % of a normal distribution."""


def wilson(right: float, labelled: float) -> tuple[float, float] | None:
    """The interval in which the true share lies with 95 % confidence (Wilson, 1927); None without
    labels."""
    if not labelled:
        return None
    share, spread = right / labelled, Z_95**2 / labelled
    middle = share + spread / 2
    half = Z_95 * math.sqrt(share * (1 - share) / labelled + spread / labelled / 4)
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def population_stability(
    now: Mapping[str, int], before: Mapping[str, int], names: Iterable[str]
) -> float:
    """How far two distributions over the same names are apart: the sum of (p - q) ln(p / q). Below
    0.1 is little, above 0.25 much (Siddiqi, Credit Risk Scorecards, 2006). Half a result is added
    to each name, because an empty one would make the sum infinite."""
    known = tuple(names)
    p, q = _shares(now, known), _shares(before, known)
    return sum((p[name] - q[name]) * math.log(p[name] / q[name]) for name in known)


def _shares(counts: Mapping[str, int], names: tuple[str, ...]) -> dict[str, float]:
    total = sum(counts.get(name, 0) for name in names) + 0.5 * len(names)
    return {name: (counts.get(name, 0) + 0.5) / total for name in names}
