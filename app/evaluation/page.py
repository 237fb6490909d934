"""A report as one HTML file for people: no scripts, no external resources, and all names from
outside escaped."""

import base64
from collections.abc import Iterator, Mapping
from html import escape
from importlib.resources import files

from app.evaluation import charts, tables
from app.evaluation.report import Comparison, Mistake, Report, ThresholdScore
from app.evaluation.words import (
    about_confidence,
    between,
    count,
    cut,
    day,
    in_short,
    milliseconds,
    money,
    p_value,
    percent,
    reason,
)
from app.result import NONE

GLOSSARY = (
    (
        "95 % interval",
        "Where the true share lies in 19 of 20 such measurements: few pictures make it wide.",
    ),
    (
        "Confidence",
        "How probable the service says its answer is. Of those that say 90 %, 90 % should be "
        "right.",
    ),
    (
        "Calibration error (ECE)",
        "How far confidence and accuracy are apart, over 15 bins of equal width. 0 is best.",
    ),
    (
        "Brier score",
        "The squared error of all probabilities together, 0 to 2. 0 is best; it punishes what is "
        "wrong and sure.",
    ),
    (
        "Precision, recall, F1",
        "How many of a class's answers are right; how many of its pictures were found; and the "
        "two in one number.",
    ),
)


def page(report: Report, pictures: Mapping[str, bytes], *, name: str | None = None) -> str:
    """`pictures`: small JPEGs by `Mistake.key`; mistakes without one are described in words."""
    title = name or f"How good the answers are: {report.measured_on.domain}"
    style = files("app.evaluation").joinpath("page.css").read_text(encoding="utf-8")
    parts = "\n".join(_parts(report, pictures))
    sentences = "".join(f'<p class="lead">{escape(each)}</p>' for each in in_short(report))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<header><h1>{escape(title)}</h1><p class="soft">{escape(_subtitle(report))}</p>{sentences}</header>
<main>
{parts}
</main>
</body>
</html>
"""


def _subtitle(report: Report) -> str:
    on = report.measured_on
    said = [f"Domain {on.domain}", on.what, ", ".join(on.models), day(on.at)]
    return " · ".join(each for each in said if each)


def _parts(report: Report, pictures: Mapping[str, bytes]) -> Iterator[str]:
    yield _figures(report)
    if report.n:
        yield f'<div class="two">{_confidence(report)}{_automation(report)}</div>'
        yield _section("Thresholds", tables.thresholds(report))
    if len(report.by_provider) > 1:
        yield _section("Who answered", _providers(report))
    if report.comparison is not None:
        yield _comparison(report.comparison)
    yield _section("What was taken for what", tables.confusion(report))
    if report.n:
        yield _section("Class by class", tables.per_class(report.per_class))
    if report.mistakes:
        yield _section(
            "The surest mistakes",
            "<p>Wrong answers, the most confident first. Some of them may be wrong labels.</p>"
            + _cards(report.mistakes, pictures),
        )
    if report.none.n:
        yield _strangers(report, pictures)
    if report.review_reasons:
        yield _section("Why people are asked to look", tables.reasons(report.review_reasons))
    yield _section("How it was measured", _measured(report))


def _section(title: str, inner: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{inner}</section>"


def _figures(report: Report) -> str:
    tokens, latency = report.tokens_per_1000, report.latency_ms
    shown = []
    if report.n:
        brier = "" if report.brier is None else f"Brier score {report.brier:.3f}"
        shown = [
            ("Accuracy", percent(report.accuracy), f"{between(report.interval)} (95\u00a0%)"),
            ("Answered alone", percent(report.alone.share), _right(report.alone.accuracy)),
            ("Calibration error", percent(report.ece), brier),
            ("Macro F1", percent(report.macro_f1), "mean of all classes"),
        ]
    if report.asked:
        spent = "" if tokens is None else f"{tokens.prompt:,.0f} + {tokens.completion:,.0f} tokens"
        shown.append(("Cost of 1,000", money(report.cost_per_1000), spent))
    if latency is not None:
        told = f"p95 {milliseconds(latency.p95)}, p99 {milliseconds(latency.p99)}"
        shown.append(("Time to an answer", milliseconds(latency.p50), f"median; {told}"))
    cells = "".join(
        f"<div><dt>{escape(what)}</dt><dd><b>{escape(value)}</b>{escape(more)}</dd></div>"
        for what, value, more in shown
    )
    return f'<dl class="figures">{cells}</dl>'


def _right(accuracy: float | None) -> str:
    return "" if accuracy is None else f"{percent(accuracy)} of these right"


def _confidence(report: Report) -> str:
    said = f"<p>{escape(about_confidence(report))}</p>"
    if report.calibrated is not None:
        before, after = report.calibrated.ece_before, report.calibrated.ece_after
        said += (
            f"<p>As the provider said it, the calibration error was {percent(before)}; calibrated "
            f"it is {percent(after)} ({count(report.calibrated.n, 'answer')}).</p>"
        )
    if report.reliability:
        said += charts.reliability(report.reliability)
        said += (
            '<p class="soft">Each dot is a group of answers; on the dashed line they are right as '
            "often as they say. Below it they are too sure. The grey bars show how many answers "
            "there are.</p>"
        )
    return _section("Can the confidence be believed?", said)


def _automation(report: Report) -> str:
    own, *targets = report.thresholds
    points = report.risk_coverage.points
    if not points:
        return _section(
            "How much can be automated?", "<p>No picture was answered with a class.</p>"
        )
    reached = [each for each in targets if each.threshold is not None and each.share > own.share]
    said = (
        f"<p>With the threshold {cut(report.threshold)} alone, {percent(own.share)} are accepted "
        f"and {percent(own.accuracy)} of these are right.{_hint(reached)}</p>"
    )
    legend = (
        '<p class="soft">The surest answers come first: the further right, the more is accepted, '
        "and the more mistakes with it. The dots are the thresholds of the table below.</p>"
    )
    return _section(
        "How much can be automated?", said + charts.risk_coverage(points, own, targets) + legend
    )


def _hint(reached: list[ThresholdScore]) -> str:
    best = reached[-1] if reached else None
    if best is None or best.threshold is None:
        return ""
    return (
        f" A threshold of {cut(best.threshold)} would accept {percent(best.share)} and be right in "
        f"{percent(best.accuracy)}."
    )


def _providers(report: Report) -> str:
    said = tables.providers(report)
    if (other := report.instead) is not None:
        said += (
            f"<p>{escape(other.provider)} was asked for {percent(other.calls_share)} of the "
            f"answers. Had it been asked for all, 1,000 would have cost about "
            f"{money(other.cost_per_1000)}, not {money(report.cost_per_1000)}.</p>"
        )
        if report.comparison is None:
            said += (
                '<p class="soft">How often it is right above is said of what it was asked about. '
                "How often it would have been right on all, a run tells that asks it alone: "
                "<code>evaluate --provider</code>, and then <code>--compare</code>.</p>"
            )
    return said


def _strangers(report: Report, pictures: Mapping[str, bytes]) -> str:
    none = report.none
    said = (
        f"<p>Of {count(none.n, 'picture')}, {none.none_of_these:,} were answered with “none of "
        f"these”, {none.above_threshold:,} pass the threshold {cut(report.threshold)} alone, and "
        f"{none.accepted:,} were accepted.</p>"
    )
    if none.review_reasons:
        said += tables.reasons(none.review_reasons)
    if report.near_misses:
        said += "<h3>The surest of them</h3>" + _cards(report.near_misses, pictures)
    return _section("Pictures of none of the classes", said)


def _cards(mistakes: list[Mistake], pictures: Mapping[str, bytes]) -> str:
    return f'<ul class="pictures">{"".join(_card(each, pictures) for each in mistakes)}</ul>'


def _card(mistake: Mistake, pictures: Mapping[str, bytes]) -> str:
    jpeg = pictures.get(mistake.key)
    shown = '<span class="nothing">no picture kept</span>'
    if jpeg is not None:
        data = base64.b64encode(jpeg).decode()
        shown = f'<img src="data:image/jpeg;base64,{data}" alt="">'
    truth = "none of them" if mistake.expected == NONE else mistake.expected
    why = ["accepted"] if mistake.status == "accepted" else map(reason, mistake.review_reasons)
    return (
        f"<li>{shown}<b>{escape(tables.short(mistake.predicted))}</b> {percent(mistake.confidence)}"
        f"<div>is {escape(tables.short(truth))}</div>"
        f'<small title="{escape(mistake.name)}">{escape(tables.end(mistake.name))}</small>'
        f"<small>{escape(', '.join(why))}</small></li>"
    )


def _comparison(found: Comparison) -> str:
    if not found.n or found.interval is None or found.p_value is None:
        return _section(
            "Beside the earlier run",
            f"<p>No picture is in both this run and {escape(found.earlier)}.</p>",
        )
    low, high = 100 * found.interval.low, 100 * found.interval.high
    likely = (
        "That is more than chance would make."
        if found.p_value < 0.05
        else "Chance alone may make as much."
    )
    said = (
        f"<p>{count(found.n, 'picture')} are in both. Now {percent(found.accuracy)} are right, in "
        f"{escape(found.earlier)} {percent(found.earlier_accuracy)} were: "
        f"{100 * (found.difference or 0):+.1f} points ({low:+.1f} to {high:+.1f}). {likely} "
        f"(McNemar's p: {p_value(found.p_value)})</p>"
    )
    if found.only_now_right:
        said += tables.differences(
            f"Right now only: {found.better:,}", found.only_now_right, now=False
        )
    if found.only_earlier_right:
        said += tables.differences(
            f"Right earlier only: {found.worse:,}", found.only_earlier_right, now=True
        )
    return _section("Beside the earlier run", said)


def _measured(report: Report) -> str:
    on = report.measured_on
    rows = [
        ("Measured on", on.what),
        (
            "Pictures",
            f"{count(on.results, 'answer')} about {count(on.pictures, 'different picture')}",
        ),
        ("Asked", day(on.first_at) if on.first_at == on.last_at else _span(report)),
        ("Providers", ", ".join(on.providers)),
        ("Models", ", ".join(on.models)),
        ("Confidence from", ", ".join(on.confidence_sources)),
        ("Versions of the domain", ", ".join(on.domain_versions)),
        ("Calibration", ", ".join(on.calibrations) or "none: confidence as the provider said it"),
        ("Reckoned", day(on.at)),
    ]
    if on.cached:
        rows.append(
            ("From earlier answers", f"{on.cached:,}: cost, tokens and time are of the others")
        )
    if on.truncated:
        rows.append(("Left out", "what is older: only the newest are judged"))
    terms = "".join(f"<dt>{escape(what)}</dt><dd>{escape(told)}</dd>" for what, told in GLOSSARY)
    return tables.facts(rows) + f'<dl class="glossary">{terms}</dl>'


def _span(report: Report) -> str:
    return f"{day(report.measured_on.first_at)} to {day(report.measured_on.last_at)}"
