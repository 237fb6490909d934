"""Sentences and formatted numbers of a report."""

import math
from datetime import UTC, datetime

from app.evaluation.report import Interval, Report

REASONS = {
    "below_threshold": "not sure enough",
    "close_second": "two classes are nearly as likely",
    "none_of_the_classes": "shows none of the classes",
    "provider_disagreement": "two models say different classes",
    "image_quality": "a poor picture",
    "degraded": "answered by a fallback",
    "ood": "unlike what the model knows",
}

ROUNDING = 1e-9
"""Tolerance for a share that was computed as exactly 0 or 1."""


def percent(share: float | None, digits: int = 1) -> str:
    """`97.3 %`; 0 % and 100 % only for exactly that."""
    if share is None:
        return "\N{EN DASH}"
    text = f"{100 * share:.{digits}f}"
    if float(text) >= 100 and share < 1 - ROUNDING:
        text = f"{100 - 10**-digits:.{digits}f}"
    elif float(text) == 0 and share > ROUNDING:
        text = f"{10**-digits:.{digits}f}"
    return f"{text.removesuffix('.0')}\N{NO-BREAK SPACE}%"


def between(interval: Interval) -> str:
    """`95.2 to 98.5 %`."""
    return f"{percent(interval.low)[:-2]} to {percent(interval.high)}"


def count(n: int, what: str) -> str:
    """`1 picture`, `1,200 pictures`."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def money(usd: float | None) -> str:
    """With at least two significant digits."""
    if usd is None:
        return "not known"
    if usd == 0:
        return "$0"
    digits = max(2, 1 - math.floor(math.log10(usd)))
    return f"${usd:,.{digits}f}"


def milliseconds(value: float) -> str:
    return f"{value / 1000:,.1f} s" if value >= 10_000 else f"{value:,.0f} ms"


def cut(threshold: float) -> str:
    """As it may be set: with all its digits, as a rounded one would accept other answers."""
    return repr(float(threshold)).removesuffix(".0")


def day(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def reason(name: str) -> str:
    return REASONS.get(name, name)


def p_value(p: float) -> str:
    return "below 0.001" if p < 0.001 else f"{p:.3f}"


def in_short(report: Report) -> list[str]:
    """A summary for those who read nothing else."""
    said = []
    if report.n:
        said.append(
            f"{percent(report.accuracy)} of {count(report.n, 'picture')} were answered right "
            f"({between(report.interval)})."
        )
        said.append(_alone(report))
    if report.none.n:
        verb = "was" if report.none.accepted == 1 else "were"
        said.append(
            f"{report.none.accepted:,} of {count(report.none.n, 'picture')} of none of the classes "
            f"{verb} accepted all the same."
        )
    if report.failed:
        said.append(f"{count(report.failed, 'picture')} got no answer.")
    return said


def _alone(report: Report) -> str:
    alone = report.alone
    threshold = f"At the threshold {cut(report.threshold)} the service"
    if alone.accuracy is None:
        return f"{threshold} answers none of them on its own: all go to a person."
    rest = (
        f"the other {percent(1 - alone.share)} go to a person"
        if alone.share < 1
        else "nobody else has to look"
    )
    return (
        f"{threshold} answers {percent(alone.share)} on its own and is right in "
        f"{percent(alone.accuracy)} of these; {rest}."
    )


def about_confidence(report: Report) -> str:
    """Whether confidence can be trusted."""
    bins = report.reliability
    n = sum(each.n for each in bins)
    if not n:
        return "There is no answer whose confidence could be looked at."
    said = sum(each.n * each.confidence for each in bins) / n
    right = sum(each.n * each.accuracy for each in bins) / n
    gap = said - right
    if abs(gap) < 0.02:
        lean = "On the whole it says what it should"
    elif gap > 0:
        lean = "On the whole it is surer than it should be"
    else:
        lean = "On the whole it is more careful than it need be"
    return (
        f"{lean}: on average it says {percent(said)} and is right in {percent(right)}. Bin by bin "
        f"the two are {percent(report.ece)} apart (the calibration error)."
    )
