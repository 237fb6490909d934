"""Evaluates answers whose truth is known."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import chain

import numpy as np

from app.calibration import Bin, calibration_error, reliability
from app.evaluation.comparison import compared
from app.evaluation.figures import Ranking, f1, interval, per_1000
from app.evaluation.judged import Judged
from app.evaluation.providers import by_provider, instead
from app.evaluation.report import (
    Alone,
    Calibrated,
    ClassScore,
    ConfidenceBin,
    Latency,
    MeasuredOn,
    Mistake,
    Outcomes,
    Report,
    Strangers,
    ThresholdScore,
    TokensPer1000,
)
from app.result import NONE

TARGETS = (0.9, 0.95, 0.97, 0.99)
"""Target accuracies for accepted answers that a report covers."""

MAX_MISTAKES, MAX_NEAR_MISSES = 12, 6


def report(
    judged: Sequence[Judged],
    labels: Sequence[str],
    threshold: float,
    *,
    what: str = "",
    domain: str = "",
    at: datetime | None = None,
    truncated: bool = False,
    earlier: tuple[str, Outcomes] | None = None,
) -> Report:
    """Summarize answers; there must be at least one. CPU work: a second for 50,000.

    `labels` are the domain's classes; others that occur count, too. `earlier`: a run to compare
    with, and its name.
    """
    known = [each for each in judged if each.expected != NONE]
    strangers = [each for each in judged if each.expected == NONE]
    answered = [each for each in known if each.predicted is not None]
    with_class = [each for each in known if each.is_class]
    ranking = Ranking([each.confidence for each in with_class], [each.right for each in with_class])
    right, n = sum(each.right for each in known), len(known)
    thresholds = [_threshold(ranking, n, threshold, None)]
    thresholds += [_lowest(ranking, n, target) for target in TARGETS]
    scores = _scores(known, labels)
    bins = _bins(answered, lambda each: each.confidence)
    asked = [each for each in judged if each.predicted is not None and not each.cached]
    briers = [each.brier for each in answered if each.brier is not None]
    none = _strangers(strangers, threshold)
    providers = by_provider(judged)
    return Report(
        measured_on=_measured_on(judged, what, domain, at, truncated=truncated),
        n=n,
        accuracy=right / n if n else 0.0,
        interval=interval(right, n),
        macro_f1=_mean([each.f1 for each in scores.values() if each.f1 is not None]),
        per_class=scores,
        confusion=_confusion(judged),
        unanswered=_counted(each.expected for each in judged if each.predicted is None),
        threshold=threshold,
        accepted_share=thresholds[0].share,
        accepted_accuracy=thresholds[0].accuracy,
        alone=_alone(known),
        none_n=none.n,
        none_accepted=none.above_threshold,
        none=none,
        failed=sum(each.predicted is None for each in judged),
        ece=calibration_error(bins) if bins else None,
        calibrated=_calibrated(answered),
        brier=_mean(briers),
        reliability=[ConfidenceBin(**asdict(each)) for each in bins],
        risk_coverage=ranking.risk_coverage(n),
        thresholds=thresholds,
        asked=len(asked),
        cost_per_1000=per_1000(each.cost_usd for each in asked),
        tokens_per_1000=_tokens(asked),
        latency_ms=_latency(asked),
        seconds_per_image=sum(each.seconds for each in judged) / len(judged),
        review_reasons=_counted(chain.from_iterable(each.reasons for each in judged)),
        mistakes=_surest([each for each in with_class if not each.right], MAX_MISTAKES),
        near_misses=_surest([each for each in strangers if each.is_class], MAX_NEAR_MISSES),
        by_provider=providers,
        instead=instead(judged, providers),
        comparison=None if earlier is None else compared(known, *earlier),
    )


def _measured_on(
    judged: Sequence[Judged], what: str, domain: str, at: datetime | None, *, truncated: bool
) -> MeasuredOn:
    moments = [each.at for each in judged if each.at is not None]
    return MeasuredOn(
        what=what,
        domain=domain,
        at=at,
        first_at=min(moments, default=None),
        last_at=max(moments, default=None),
        results=len(judged),
        pictures=len({each.key for each in judged}),
        cached=sum(each.cached for each in judged),
        truncated=truncated,
        providers=_different(each.provider for each in judged),
        models=_different(each.model for each in judged),
        confidence_sources=_different(each.confidence_source for each in judged),
        domain_versions=_different(each.domain_version for each in judged),
        calibrations=_different(each.calibration for each in judged),
    )


def _different(names: Iterable[str | None]) -> list[str]:
    return sorted({each for each in names if each is not None})


def _threshold(
    ranking: Ranking, total: int, threshold: float, target: float | None
) -> ThresholdScore:
    n, right = ranking.at(threshold)
    return ThresholdScore(
        target=target,
        threshold=threshold,
        n=n,
        share=n / total if total else 0.0,
        accuracy=right / n if n else None,
        interval=interval(right, n),
    )


def _lowest(ranking: Ranking, total: int, target: float) -> ThresholdScore:
    place = ranking.lowest(target)
    if place is not None:
        return _threshold(ranking, total, ranking.threshold(place), target)
    return ThresholdScore(
        target=target, threshold=None, n=0, share=0.0, accuracy=None, interval=interval(0, 0)
    )


def _alone(known: Sequence[Judged]) -> Alone:
    stood = [each for each in known if each.status == "accepted"]
    right = sum(each.right for each in stood)
    return Alone(
        n=len(stood),
        share=len(stood) / len(known) if known else 0.0,
        accuracy=right / len(stood) if stood else None,
        interval=interval(right, len(stood)),
    )


def _strangers(strangers: Sequence[Judged], threshold: float) -> Strangers:
    with_class = [each for each in strangers if each.is_class]
    others = (each.reasons for each in strangers if each.status != "accepted")
    return Strangers(
        n=len(strangers),
        above_threshold=sum(each.confidence >= threshold for each in with_class),
        accepted=sum(each.status == "accepted" for each in with_class),
        none_of_these=sum(each.predicted == NONE for each in strangers),
        review_reasons=_counted(chain.from_iterable(others)),
    )


def _scores(known: Sequence[Judged], labels: Sequence[str]) -> dict[str, ClassScore]:
    there = Counter(each.expected for each in known)
    answered = Counter(each.predicted for each in known if each.is_class)
    hits = Counter(each.expected for each in known if each.right)
    met = sorted({*there, *(each for each in answered if each is not None)} - {*labels})
    return {label: _score(hits[label], there[label], answered[label]) for label in (*labels, *met)}


def _score(hits: int, there: int, answered: int) -> ClassScore:
    precision = hits / answered if answered else None
    recall = hits / there if there else None
    return ClassScore(n=there, precision=precision, recall=recall, f1=f1(precision, recall))


def _confusion(judged: Sequence[Judged]) -> dict[str, dict[str, int]]:
    table: dict[str, Counter[str]] = {}
    for each in judged:
        row = table.setdefault(each.expected, Counter())
        if each.predicted is not None:
            row[each.predicted] += 1
    return {truth: dict(counts) for truth, counts in table.items()}


def _bins(answered: Sequence[Judged], confidence: Callable[[Judged], float]) -> list[Bin]:
    return reliability([confidence(each) for each in answered], [each.right for each in answered])


def _calibrated(answered: Sequence[Judged]) -> Calibrated | None:
    both = [each for each in answered if each.raw_confidence is not None]
    if not both:
        return None
    return Calibrated(
        n=len(both),
        ece_before=calibration_error(_bins(both, lambda each: each.raw_confidence or 0.0)),
        ece_after=calibration_error(_bins(both, lambda each: each.confidence)),
    )


def _tokens(asked: Sequence[Judged]) -> TokensPer1000 | None:
    prompt = per_1000(each.prompt_tokens for each in asked)
    completion = per_1000(each.completion_tokens for each in asked)
    if prompt is None or completion is None:
        return None
    return TokensPer1000(prompt=prompt, completion=completion)


def _latency(asked: Sequence[Judged]) -> Latency | None:
    if not asked:
        return None
    took = 1000 * np.array([each.seconds for each in asked])
    p50, p95, p99 = np.percentile(took, (50, 95, 99)).tolist()
    return Latency(mean=float(took.mean()), p50=p50, p95=p95, p99=p99)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _surest(judged: Sequence[Judged], most: int) -> list[Mistake]:
    """Each picture once."""
    found: dict[str, Mistake] = {}
    for each in sorted(judged, key=lambda each: (-each.confidence, each.name)):
        mistake = _mistake(each)
        found.setdefault(mistake.key, mistake)
        if len(found) == most:
            break
    return list(found.values())


def _mistake(each: Judged) -> Mistake:
    return Mistake(
        name=each.name,
        expected=each.expected,
        predicted=each.predicted or NONE,
        confidence=each.confidence,
        status=each.status,
        review_reasons=list(each.reasons),
        sha256=each.sha256,
        result_id=each.result_id,
    )


def outcomes(judged: Iterable[Judged]) -> dict[str, bool]:
    """For comparing a later run; of a picture that occurs more than once, the first answer."""
    found: dict[str, bool] = {}
    for each in judged:
        found.setdefault(each.key, each.right)
    return found
