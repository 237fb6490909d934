"""How `batch --dry-run` shows the estimated cost of a batch."""

from datetime import timedelta

from rich.console import Console
from rich.table import Table

from app.batches import BatchEstimate, TokenRange
from app.cli.output import plain

BASES = {
    "measured": "estimated: text and answers as billed before",
    "rule": "estimated: text and answers by a rule, as too few were billed before",
}


def show(estimate: BatchEstimate) -> None:
    """Print it for people."""
    console = Console(highlight=False)
    for bad in estimate.errors:
        console.print(plain(f"{bad.place}: {bad.reason}"), style="red", markup=False)
    if (more := estimate.bad_rows - len(estimate.errors)) > 0:
        console.print(f"and {more:,} more", style="red")
    console.print(_counts(estimate))
    if estimate.basis is not None:
        console.print(_amounts(estimate))
    if estimate.budgets:
        console.print(_budgets(estimate))
    if estimate.prompt is not None:
        console.print("The prompt:", style="bold")
        console.print(estimate.prompt.system, markup=False)
    console.print("Nothing was stored, and no provider was called.")


def _counts(estimate: BatchEstimate) -> Table:
    table = Table(show_header=False, box=None)
    rows = {
        "items": f"{estimate.items:,}",
        "duplicates": f"{estimate.duplicates:,}",
        "unusable": f"{estimate.bad_rows:,}",
        "sampled": f"{estimate.sampled:,}: {estimate.unreadable:,} unreadable, "
        f"{estimate.kept:,} answered before"
        + (
            ""
            if estimate.settled is None
            else f", {estimate.settled:,} settled by the first provider"
        ),
        "answered by": f"{estimate.provider}, {estimate.model}",
        "duration": _duration(estimate.duration_s),
    }
    rows["cost"] = "nothing" if estimate.basis is None else BASES[estimate.basis]
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _amounts(estimate: BatchEstimate) -> Table:
    table = Table("", "low", "expected", "high")
    for column in table.columns[1:]:
        column.justify = "right"
    parts: dict[str, TokenRange] = {
        "prompt tokens": estimate.prompt_tokens,
        "completion tokens": estimate.completion_tokens,
    }
    for name, each in parts.items():
        table.add_row(name, f"{each.low:,}", f"{each.expected:,}", f"{each.high:,}")
    if (cost := estimate.cost_usd) is None:
        table.add_row("US dollars", "", "price not known", "")
    else:
        table.add_row(
            "US dollars", f"{cost.low:,.4f}", f"{cost.expected:,.4f}", f"{cost.high:,.4f}"
        )
    return table


def _budgets(estimate: BatchEstimate) -> Table:
    table = Table("budget", "left, USD", "takes", "")
    for column in table.columns[1:3]:
        column.justify = "right"
    for each in estimate.budgets:
        takes = "" if each.share is None else f"{each.share:.1%}"
        verdict = {True: "", False: "does not fit", None: "price not known"}[each.fits]
        left = "" if each.left_usd is None else f"{each.left_usd:,.4f}"
        table.add_row(f"{each.name}, {each.action}", left, takes, verdict)
    return table


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))
