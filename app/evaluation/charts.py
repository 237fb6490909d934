"""Charts of a report, as SVG without scripts."""

import math
from collections.abc import Callable, Sequence
from html import escape

from app.evaluation.report import ConfidenceBin, CurvePoint, ThresholdScore
from app.evaluation.words import count, cut, percent

WIDTH, HEIGHT = 480, 320
LEFT, RIGHT, TOP, BOTTOM = 60, 12, 28, 50
"""Margins around the plot, for labels."""

BARS = 34
"""Height of the bars that show how many answers a bin has."""

Scale = Callable[[float], float]


def scale(low: float, high: float, start: float, end: float) -> Scale:
    """Maps values to pixels."""
    return lambda value: start + (value - low) / (high - low) * (end - start)


def reliability(bins: Sequence[ConfidenceBin]) -> str:
    """Accuracy at each level of confidence, compared with what it should be."""
    x = scale(0, 1, LEFT, WIDTH - RIGHT)
    floor = HEIGHT - BOTTOM - BARS - 6
    y = scale(0, 1, floor, TOP)
    most = max(each.n for each in bins)
    drawn = [_grid(y, (0, 0.25, 0.5, 0.75, 1), x(0), x(1)), _ticks(x, (0, 0.25, 0.5, 0.75, 1))]
    for each in bins:
        left, width = x(each.low) + 1, x(each.high) - x(each.low) - 2
        tall = max(1.5, BARS * each.n / most)
        told = (
            f"{count(each.n, 'answer')} with {percent(each.low, 0)} to {percent(each.high, 0)}: "
            f"{percent(each.confidence)} sure on average, {percent(each.accuracy)} right"
        )
        drawn.append(
            f"<g><title>{escape(told)}</title>"
            f'<rect class="bar" x="{left:.1f}" y="{y(each.accuracy):.1f}" width="{width:.1f}" '
            f'height="{max(0.0, floor - y(each.accuracy)):.1f}"/>'
            f'<path class="gap" d="M{x(each.confidence):.1f} {y(each.confidence):.1f}'
            f'V{y(each.accuracy):.1f}"/>'
            f'<circle class="dot" cx="{x(each.confidence):.1f}" '
            f'cy="{y(each.accuracy):.1f}" r="3.5"/>'
            f'<rect class="count" x="{left:.1f}" y="{HEIGHT - BOTTOM - tall:.1f}" '
            f'width="{width:.1f}" height="{tall:.1f}"/></g>'
        )
    drawn.append(f'<path class="ideal" d="M{x(0)} {y(0):.1f}L{x(1)} {y(1):.1f}"/>')
    drawn.append(_axes("How sure the answers were", "Share that is right"))
    return _svg("How often answers of each confidence are right", drawn)


def risk_coverage(
    points: Sequence[CurvePoint], own: ThresholdScore, targets: Sequence[ThresholdScore]
) -> str:
    """Accuracy of the accepted answers, by the share that is accepted."""
    shown = [1 - each.risk for each in points]
    steps = _steps(min(0.95, *shown, 1.0 if own.accuracy is None else own.accuracy))
    low = steps[0]
    x = scale(0, 1, LEFT, WIDTH - RIGHT)
    y = scale(low, 1, HEIGHT - BOTTOM, TOP)
    line = "L".join(f"{x(each.coverage):.1f} {y(1 - each.risk):.1f}" for each in points)
    drawn = [
        _grid(y, steps, x(0), x(1)),
        _ticks(x, (0, 0.25, 0.5, 0.75, 1)),
        f'<path class="line" d="M{line}"/>',
    ]
    for each in points:
        told = (
            f"accepting {percent(each.coverage)} (threshold {cut(each.threshold)}): "
            f"{percent(1 - each.risk)} right"
        )
        drawn.append(
            f'<circle class="hover" cx="{x(each.coverage):.1f}" cy="{y(1 - each.risk):.1f}" r="6">'
            f"<title>{escape(told)}</title></circle>"
        )
    for row in targets:
        if row.accuracy is not None and row.target is not None:
            drawn.append(
                f'<circle class="dot" cx="{x(row.share):.1f}" cy="{y(row.accuracy):.1f}" r="4">'
                f"<title>{escape(_told(row))}</title></circle>"
            )
    if own.accuracy is not None:
        at, height = x(own.share), y(own.accuracy)
        anchor = "end" if own.share > 0.5 else "start"
        beside = at - 8 if own.share > 0.5 else at + 8
        drawn.append(
            f'<g><title>{escape(_told(own))}</title><path class="own" '
            f'd="M{at:.1f} {HEIGHT - BOTTOM}V{height:.1f}"/>'
            f'<circle class="own" cx="{at:.1f}" cy="{height:.1f}" r="5"/>'
            f'<text class="own" x="{beside:.1f}" y="{HEIGHT - BOTTOM - 8}" text-anchor="{anchor}">'
            f"threshold {'' if own.threshold is None else cut(own.threshold)}</text></g>"
        )
    drawn.append(_axes("Share that is accepted", "Share of it that is right"))
    return _svg("Accuracy of what is accepted, by how much is accepted", drawn)


def _steps(least: float) -> list[float]:
    """Evenly spaced, up to 1, with `least` above the first."""
    step = next(each for each in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25) if 1 - 5 * each < least)
    room = min(math.ceil((1 - least) / step + 1e-9), round(1 / step))
    return [1 - step * each for each in range(room, -1, -1)]


def _told(row: ThresholdScore) -> str:
    return (
        f"threshold {'' if row.threshold is None else cut(row.threshold)}: "
        f"{percent(row.share)} accepted, {percent(row.accuracy)} of these right"
    )


def _grid(y: Scale, steps: Sequence[float], left: float, right: float) -> str:
    digits = 0 if all(abs(100 * each - round(100 * each)) < 1e-6 for each in steps) else 1
    return "".join(
        f'<path class="grid" d="M{left} {y(each):.1f}H{right}"/>'
        f'<text x="{left - 6}" y="{y(each) + 3.5:.1f}" text-anchor="end">'
        f"{percent(each, digits)}</text>"
        for each in steps
    )


def _ticks(x: Scale, steps: Sequence[float]) -> str:
    return "".join(
        f'<text x="{x(each):.1f}" y="{HEIGHT - BOTTOM + 18}" '
        f'text-anchor="{"end" if each == 1 else "middle"}">{percent(each, 0)}</text>'
        for each in steps
    )


def _axes(across: str, up: str) -> str:
    return (
        f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" '
        f'text-anchor="middle">{escape(across)}</text>'
        f'<text class="axis" x="0" y="13">{escape(up)}</text>'
    )


def _svg(told: str, drawn: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(told)}">'
        f"{''.join(drawn)}</svg>"
    )
