"""The screen that `status` shows to people."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from app.analytics import DomainQuality, Quality, QualityReport
from app.api.deployments import ProviderReport
from app.cli.output import plain
from app.storage import BatchReport

if TYPE_CHECKING:
    from app.cli.status import Status

BLOCKS = " ▁▂▃▄▅▆▇█"
MOST_ROWS = 8
"""Of each table, so that all fits on one screen."""
MUCH_DRIFT = 0.25


def screen(url: str, found: "Status", *, gone: str | None = None) -> RenderableType:
    """`gone`: why there is no newer state."""
    parts = [_head(url, found), *_troubles(found, gone), Rule(style="dim"), _sums(found), Text()]
    parts += [_minutes(found), Text(), _domains(found.last_day.domains)]
    if found.deployments:
        parts += [Text(), _deployments(found.deployments)]
    if found.batches:
        parts += [Text(), _batches(found.batches)]
    return Group(*parts)


def _head(url: str, found: "Status") -> RenderableType:
    health = found.health
    model = health.model if health.deployment is None else f"{health.model} ({health.deployment})"
    is_well = health.status == "ok"
    return Text.assemble(
        (f"{plain(url)}  ", "bold"),
        (health.status, "bold green" if is_well else "bold red"),
        (f"  {plain(health.provider)} {plain(model)}  {health.version}", "dim"),
        (f"  up {_length(health.uptime_s)}  {datetime.now():%H:%M:%S}", "dim"),
    )


def _troubles(found: "Status", gone: str | None) -> Iterator[RenderableType]:
    if gone is not None:
        yield Text(f"no answer: {plain(gone)}", "bold red")
    for trouble in found.health.troubles:
        since = "" if trouble.since is None else f" since {_time(trouble.since)}"
        yield Text(f"{plain(trouble.what)}{since}: {plain(trouble.means)}", "red")
    for alert in found.alerts or ():
        what = plain(f"{alert.rule} {alert.subject}".strip())
        yield Text(
            f"{alert.state} since {_time(alert.since)}: {what} is {alert.value:.4g}, threshold "
            f"{alert.threshold:g}",
            "bold red" if alert.state == "firing" else "yellow",
        )
    if found.alerts == []:
        yield Text("no alerts", "green")


def _sums(found: "Status") -> Table:
    table = _table("", "results", "per min", *_HEADS)
    for name, report in (("last hour", found.last_hour), ("24 hours", found.last_day)):
        total = report.total
        table.add_row(name, f"{total.results:,}", _rate(total.per_minute), *_cells(total))
    return table


def _minutes(found: "Status") -> RenderableType:
    return Text.assemble(
        ("results by minute ", "bold"),
        (_spark(found.last_hour), "cyan"),
        ("  today ", "bold"),
        f"{found.cost_today.total_usd:,.4f} USD",
    )


def _spark(report: QualityReport) -> str:
    """One hour, one character per minute, scaled to the minute with the most results."""
    counts = {each.start: each.results for each in report.total.series}
    most = max(counts.values(), default=0)
    minutes = (report.since + timedelta(minutes=each) for each in range(61))
    return "".join(BLOCKS[-(-counts.get(each, 0) * 8 // max(most, 1))] for each in minutes)


def _domains(domains: Sequence[DomainQuality]) -> Table:
    table = _table("24 hours by domain", "results", "drift", *_HEADS)
    for each in domains[:MOST_ROWS]:
        table.add_row(plain(each.domain), f"{each.results:,}", _drift(each), *_cells(each))
    _more(table, domains)
    return table


_HEADS = ("review", "failed", "accuracy", "p50/95/99 ms")


def _cells(each: Quality) -> list[str]:
    total = each.latency_ms.get("total")
    times = () if total is None else (total.p50, total.p95, total.p99)
    return [
        _share(each.needs_review, each.results),
        _share(each.failed + each.unanswered, each.results + each.unanswered),
        _accuracy(each),
        "/".join(f"{time:,.0f}" for time in times),
    ]


def _rate(number: float) -> str:
    return f"{number:,.1f}" if number >= 10 else f"{number:.2g}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""


def _accuracy(each: Quality) -> str:
    if each.accuracy is None or each.interval is None:
        return ""
    low, high = each.interval
    return f"{each.accuracy:.1%} ({low * 100:.0f}-{high:.0%})"


def _drift(each: DomainQuality) -> Text:
    found = [value for value in (each.drift.classes, each.drift.confidence) if value is not None]
    if not found:
        return Text("")
    return Text(f"{max(found):.2f}", "red" if max(found) > MUCH_DRIFT else "")


def _deployments(providers: Sequence[ProviderReport]) -> Table:
    heads = ("breaker", "under way", "ms", "requests left", "tokens left", "waiting")
    table = _table("deployment", *heads)
    rows = [(provider, each) for provider in providers for each in provider.deployments]
    for provider, each in rows[:MOST_ROWS]:
        most = "" if each.max_in_flight is None else f"/{each.max_in_flight}"
        left = (each.quota.get(name) for name in ("requests", "tokens"))
        table.add_row(
            plain(f"{provider.provider}/{each.name}"),
            Text(each.breaker, "" if each.breaker == "closed" else "red"),
            f"{each.in_flight}{most}",
            f"{each.latency_ms:,.0f}",
            *("" if quota is None else f"{quota.share_left:.0%}" for quota in left),
            f"{sum(provider.waiting.values()):,}",
        )
    _more(table, rows)
    return table


def _batches(batches: Sequence[BatchReport]) -> Table:
    table = _table("batch", "status", "done", "", "per s", "left")
    for each in batches[:MOST_ROWS]:
        table.add_row(
            plain(each.name or each.id),
            each.status,
            f"{each.done:,}/{each.total:,}",
            ProgressBar(total=max(each.total, 1), completed=each.done, width=20),
            "" if each.per_second is None else _rate(each.per_second),
            "" if each.eta_s is None else _length(each.eta_s),
        )
    _more(table, batches)
    return table


def _table(first: str, *heads: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    return table


def _more(table: Table, rows: Sequence[object]) -> None:
    if len(rows) > MOST_ROWS:
        table.add_row(Text(f"and {len(rows) - MOST_ROWS} more", "dim"))


def _time(moment: datetime) -> str:
    """In local time; without the date if it is today."""
    here = moment.astimezone()
    return f"{here:%H:%M}" if here.date() == datetime.now().date() else f"{here:%Y-%m-%d %H:%M}"


def _length(seconds: float) -> str:
    """`3 h 12 min`"""
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (left, "s")]
    first = next((place for place, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2])
