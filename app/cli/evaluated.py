"""An evaluation report on one screen."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from app.cli.output import plain
from app.evaluation import Judged, Report, cut, milliseconds, money
from app.result import NONE

WIDEST = 10
"""Answers; with more, their table appears only in the other forms of the report."""

LISTED = 10


def print_report(console: Console, found: Report, judged: Sequence[Judged]) -> None:
    for name, told in _lines(found):
        console.print(f"{name:<10} {plain(told)}", markup=False, soft_wrap=True)
    console.print(_threshold_table(found))
    if len(found.by_provider) > 1:
        console.print(_provider_table(found))
    console.print(_class_table(found))
    failed = [each for each in judged if each.error is not None]
    wrong = [each for each in judged if each.is_class and not each.right and each.expected != NONE]
    wrong.sort(key=lambda each: -each.confidence)
    _print_some(console, "failed", [f"{each.name}: {each.error}" for each in failed])
    _print_some(
        console,
        "wrong",
        [f"{each.name}: {each.predicted} {each.confidence:.0%}" for each in wrong],
    )


def _lines(found: Report) -> list[tuple[str, str]]:
    interval = f"{found.interval.low:.1%} to {found.interval.high:.1%}"
    lines = [
        ("accuracy", f"{found.accuracy:.1%} of {found.n}  (95 %: {interval})"),
        ("accepted", _accepted(found)),
        (
            "verdict",
            f"{found.alone.share:.1%} accepted at request time{_right(found.alone.accuracy)}",
        ),
    ]
    brier = "" if found.brier is None else f", Brier score {found.brier:.3f}"
    if found.ece is not None:
        lines.append(("confidence", f"off by {found.ece:.1%} (ECE){brier}{_calibrated(found)}"))
    if found.none_n:
        lines.append(
            (
                "none",
                f"{found.none_accepted} of {found.none_n} pictures of none of the classes pass the "
                f"threshold, {found.none.accepted} were accepted",
            )
        )
    latency = found.latency_ms
    told = "" if latency is None else f", median {milliseconds(latency.p50)}, p95 "
    told += "" if latency is None else milliseconds(latency.p95)
    lines.append(("time", f"{found.seconds_per_image * 1000:.1f} ms per image{told}"))
    lines.append(("cost", _cost(found)))
    if found.instead is not None:
        lines.append(
            (
                "instead",
                f"{money(found.instead.cost_per_1000)} per 1,000 if {found.instead.provider} had "
                f"answered all; it was asked for {found.instead.calls_share:.1%}",
            )
        )
    if found.comparison is not None:
        lines.append(("compared", _compared(found)))
    return lines


def _accepted(found: Report) -> str:
    right = _right(found.accepted_accuracy)
    return f"{found.accepted_share:.1%} at {cut(found.threshold)} or more{right}"


def _right(accuracy: float | None) -> str:
    return "" if accuracy is None else f", {accuracy:.1%} of these right"


def _calibrated(found: Report) -> str:
    return "" if found.calibrated is None else f"; uncalibrated {found.calibrated.ece_before:.1%}"


def _cost(found: Report) -> str:
    cached = f"; {found.measured_on.cached} answered before" if found.measured_on.cached else ""
    if not found.asked:
        return f"no provider was asked{cached}"
    tokens = found.tokens_per_1000
    told = "" if tokens is None else f", {tokens.prompt:,.0f} + {tokens.completion:,.0f} tokens"
    return f"{money(found.cost_per_1000)} per 1,000{told}{cached}"


def _compared(found: Report) -> str:
    comparison = found.comparison
    if comparison is None or comparison.interval is None or comparison.difference is None:
        return "no picture is in both"
    low, high = 100 * comparison.interval.low, 100 * comparison.interval.high
    return (
        f"{100 * comparison.difference:+.1f} points on {comparison.n} pictures "
        f"({low:+.1f} to {high:+.1f}); {comparison.better} right only now, {comparison.worse} only "
        f"in {comparison.earlier}; McNemar p = {comparison.p_value:.3g}"
    )


def _threshold_table(found: Report) -> Table:
    table = Table("wanted", "threshold", "accepted", "right", "95 %", title="thresholds")
    for column in table.columns[1:]:
        column.justify = "right"
    for each in found.thresholds:
        wanted = "current" if each.target is None else f"{each.target:.0%}"
        if each.threshold is None:
            table.add_row(wanted, "-", "", "", "")
            continue
        interval = f"{each.interval.low:.1%} to {each.interval.high:.1%}" if each.n else ""
        shares = (f"{each.share:.1%}", _percent(each.accuracy))
        table.add_row(wanted, cut(each.threshold), *shares, interval)
    return table


def _provider_table(found: Report) -> Table:
    table = Table("provider", "answers", "share", "right", "95 %", "per 1,000", title="providers")
    for column in table.columns[1:]:
        column.justify = "right"
    for each in found.by_provider:
        interval = f"{each.interval.low:.1%} to {each.interval.high:.1%}" if each.n else ""
        shares = (f"{each.share:.1%}", _percent(each.accuracy))
        cost = money(each.cost_per_1000)
        table.add_row(Text(plain(each.provider)), f"{each.answers:,}", *shares, interval, cost)
    return table


def _class_table(found: Report) -> Table:
    answers = sorted({answer for row in found.confusion.values() for answer in row})
    truths = sorted(found.confusion, key=lambda truth: (truth == NONE, truth))
    title, unanswered = "answers by truth", ["no answer"] if found.unanswered else []
    if max(len(answers), len(truths)) > WIDEST:
        truths = sorted(found.per_class, key=lambda label: found.per_class[label].f1 or 0.0)
        truths = [label for label in truths if found.per_class[label].n][:LISTED]
        answers, unanswered, title = [], [], f"the {len(truths)} weakest classes"
    heads = (escape(plain(each)) for each in answers)
    table = Table("truth", "n", "precision", "recall", *heads, *unanswered, title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    for truth in truths:
        counts = found.confusion[truth]
        score = found.per_class.get(truth)
        shares = (_percent(score.precision), _percent(score.recall)) if score else ("", "")
        cells = [str(counts.get(answer, "")) for answer in answers]
        cells += [str(found.unanswered.get(truth, "")) for _ in unanswered]
        n = sum(counts.values()) + found.unanswered.get(truth, 0)
        table.add_row(Text(plain(truth)), str(n), *shares, *cells)
    return table


def _print_some(console: Console, what: str, lines: Sequence[str]) -> None:
    for line in lines[:LISTED]:
        console.print(f"{what:<7} {plain(line)}", markup=False, soft_wrap=True)
    if len(lines) > LISTED:
        console.print(f"{what:<7} and {len(lines) - LISTED:,} more")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
