"""A panel of the Grafana dashboard, and the queries that panels commonly use."""

from dataclasses import dataclass
from typing import Literal

OF = 'instance=~"$instance"'
OF_DOMAIN = 'instance=~"$instance",domain=~"$domain"'
"""Selects what the viewer chose."""


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and the name of its series."""

    expression: str
    name: str


@dataclass(frozen=True, slots=True)
class Panel:
    """
    Attributes:
        unit: in Grafana's terms.
        bad: the value from which on it is wrong: a figure turns red, a chart shows a line.
        most: the end of the axis; None: determined by the data.
    """

    title: str
    about: str
    unit: str
    queries: tuple[Query, ...]
    kind: Literal["timeseries", "stat"] = "timeseries"
    stacked: bool = False
    bad: float | None = None
    most: float | None = None


def figure(title: str, about: str, unit: str, query: str, bad: float | None = None) -> Panel:
    """One number, with its history in the background."""
    return Panel(title, about, unit, (Query(query, title),), "stat", bad=bad)


def chart(title: str, about: str, unit: str, *queries: Query, bad: float | None = None) -> Panel:
    most = 1 if unit == "percentunit" else None
    return Panel(title, about, unit, queries, bad=bad, most=most)


def stack(title: str, about: str, unit: str, *queries: Query) -> Panel:
    return Panel(title, about, unit, queries, stacked=True)


def rate(metric: str, by: str, of: str = OF) -> Query:
    """Per second."""
    return named_by(f"sum by ({by}) (rate({metric}{{{of}}}[$__rate_interval]))", by)


def increase(metric: str, by: str, window: str, of: str = OF_DOMAIN) -> Query:
    return named_by(f"sum by ({by}) (increase({metric}{{{of}}}[{window}]))", by)


def gauge(how: str, metric: str, by: str, of: str = OF) -> Query:
    """Over all processes, aggregated by `how`."""
    return named_by(f"{how} by ({by}) ({metric}{{{of}}})", by)


def share(metric: str, of_these: str, window: str, *of: str) -> Query:
    """By domain, a share of all or of those that `of` matches. `of_these` may not exist yet."""
    all_these = ",".join((OF_DOMAIN, *of))
    some = increase(metric, "domain", window, f"{all_these},{of_these}").expression
    every = increase(metric, "domain", window, all_these).expression
    return named_by(f"({some} or {every} * 0) / {every}", "domain")


def quantile(
    share: float, metric: str, by: str = "", of: str = OF, window: str = "$__rate_interval"
) -> Query:
    buckets = f"rate({metric}_bucket{{{of}}}[{window}])"
    labels = f"le, {by}" if by else "le"
    name = f"p{share * 100:.0f}"
    query = f"histogram_quantile({share}, sum by ({labels}) ({buckets}))"
    return named_by(query, by) if by else Query(query, name)


def named_by(expression: str, labels: str) -> Query:
    return Query(expression, ", ".join(f"{{{{{each}}}}}" for each in labels.split(", ")))
