"""The figures that a soak reports."""

import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.load import percentile
from benchmarks.soak import PATH, Grown, Twice
from tests.receiver_process import Arrival
from tests.service import ROOT
from tests.soak.caller import Attempt
from tests.soak.outages import Outages
from tests.soak.paid import CAUSES, Paid
from tests.soak.watch import Life


def told(arrivals: Mapping[str, Sequence[Arrival]]) -> dict[str, str]:
    return {
        name: f"{len(each):,}, {len(each) - len({one.event_id for one in each})} of them again"
        for name, each in arrivals.items()
    }


def outages(outages: Outages) -> dict[str, int]:
    return dict(sorted(Counter(f"{each.of} {each.how}" for each in outages.all).items()))


def refused(attempts: Iterable[Attempt]) -> dict[str, int]:
    return dict(
        Counter(
            f"{each.status or 'no answer'} {each.problem}".strip()
            for each in attempts
            if not 200 <= each.status < 300
        )
    )


def percentiles(what: str, attempts: Iterable[Attempt], outages: Outages) -> dict[str, list[int]]:
    """Of single answered attempts: in calm time, and over the whole time."""
    found: dict[str, list[float]] = {"calm": [], "all": []}
    for each in attempts:
        if each.what == what and each.status in (200, 202):
            took_s = each.ended - each.began
            found["all"].append(took_s)
            if not outages.any(each.began, each.ended):
                found["calm"].append(took_s)
    return {
        name: [round(1000 * percentile(each, share)) for share in (0.5, 0.99)]
        for name, each in found.items()
    }


def causes(paid: Paid) -> dict[str, Twice]:
    return {
        each: Twice(paid=paid.twice[each], at_most=paid.at_most[each])
        for each in CAUSES
        if paid.at_most[each]
    }


def kept(life: Life) -> Grown:
    first, last = life.thirds(life.megabytes)
    handles = life.thirds(life.handles)
    return Grown(name=life.name, megabytes=(round(first), round(last)), handles=handles)


def commit() -> str:
    """That is measured, `-dirty` with what is not committed (but for what the run itself writes);
    empty where there is no git."""
    commit = ("git", "rev-parse", "--short", "HEAD")
    changes = ("git", "status", "--porcelain", "-uno", "--", ".", f":!{PATH.relative_to(ROOT)}")
    try:
        told = [subprocess.check_output(each, cwd=ROOT, text=True) for each in (commit, changes)]
    except (OSError, subprocess.CalledProcessError):
        return ""
    return told[0].strip() + ("-dirty" if told[1] else "")
