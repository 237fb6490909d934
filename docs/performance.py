"""docs/performance.md and the README's figures, from what `make bench` and `make soak` measured."""

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby

from benchmarks.kept import STEADY, Kept, Measured
from benchmarks.report import Figure, percent, shown
from benchmarks.soak import Form, Soaked, Soaks, Waited
from benchmarks.suite import BENCHMARKS, Benchmark

HEAD = """# Performance

<!-- Made by `make docs` of figures.json and soak.json in benchmarks/. -->

Each figure was measured in the same run as what it is compared with: the least work possible, or
what others do. Values are of this machine; ratios carry over better to another one:

{machine}

Remote models are simulated throughout: their answers, how often they are right, and what they cost.
The load comes from the same machine. Servers run with compiled files beside their code, as they do
when installed. `spread` is how far a ratio differs between three processes that each measure a
short form of it. A ratio is *steady* if it is of processor time, memory or size, and its spread is
at most {steady}. `make bench-check` measures the short forms again, and reports a steady ratio that
is more than 15 % worse than the median of the three, and any other that is more than 15 % worse
than the worst of them.

- *saturated*: one core has as much to do as it can; *paced*: half as many requests a second as the
  bare route can answer.
- Quotas, two minutes each: *steady* load; *bursty*: 260 pictures at once; *tenant*: another
  tenant takes 30 % half-way; *faults*: one call in twenty fails; *people*: people ask beside a
  batch; *replicas*: four processes. Shares are of the quota that the case leaves in these two
  minutes and can exceed 100 % a little; one that takes from others exceeds it by more.

A figure that is worse than its goal is marked **missed**. Folders of photographs are `IMAGES`.
"""
COLUMNS = "| by | | measured | compared with | ratio | better | spread | goal |"
FOR_README = {
    ("start", "first start, until ready"): "first start until ready: no database, no compiled code",
    ("start", "later start, until ready"): "every later start until ready",
    (
        "five_minutes",
        "from a clone to a domain taught with ten photographs",
    ): "from a clone to a domain taught with ten photographs",
    ("memory", "memory after 200 classifications"): "memory after 200 classifications",
    ("size", "wheel"): "the wheel",
    (
        "size",
        "what the container image adds to Python's, without compiled files",
    ): "what the container image adds to Python's: packages, code, configuration",
    ("classify", "requests, 16 at once"): "classifications by the local model, 16 at once",
    ("classify", "CPU time of a request, 16 at once"): "CPU time of one of these",
    ("batch", "items, of 100,000"): "items of a batch, without decoding and the model",
    ("webhooks", "CPU time of a delivery"): "CPU time of a webhook's delivery",
    (
        "quota",
        "steady: quota spent on answers, beside the semaphore",
    ): "share of a provider's quota turned into answers",
    (
        "quota",
        "steady: calls refused, beside the semaphore",
    ): "calls that the provider refused (429) meanwhile",
}
"""The most informative figures, and their names in the README."""
RIGHT_FOR_README = {
    ("held_out", "flowers, held out: right"): "right: flowers, held out",
    (
        "taught",
        "flowers, 10 examples of each class: right",
    ): "right: flowers, 10 examples of each class",
    ("taught", "trees, 2 examples of each class: right"): "right: trees, 2 examples of each class",
    (
        "taught",
        "utensils, 2 examples of each class: right",
    ): "right: utensils, 2 examples of each class",
    (
        "taught",
        "tulips accepted as a flower after ten were taught as none",
    ): "wrong: tulips accepted as one of the flowers, after ten tulips were taught as `none`",
}

FAULTS_HEAD = """
## An hour of faults

Everything that the service does, at once (people who ask, batches, webhooks, reviews, exports),
while its processes, PostgreSQL, Redis, Azure and a receiver are killed, stopped, slow or wrong at
random: `make soak`. A picture is paid for twice if its answer was lost before it was stored; each
cause shows how many calls were in progress, or not yet stored, when it struck. Whether memory grows
is seen in two of the four processes, which are never killed, and in the single process, which is
not killed after the first 40 % of the time.
"""
FORMS: dict[Form, str] = {
    "one": "one process, SQLite",
    "several": "four processes, PostgreSQL, Redis",
}
SOAKED: dict[str, Callable[[Soaked], str]] = {
    "commit": lambda each: f"{each.commit}, {each.at}",
    "minutes": lambda each: f"{each.minutes:g}",
    "questions": lambda each: f"{each.questions:,}",
    "batches": lambda each: f"{each.batches:,}",
    "results of questions and batches": lambda each: f"{each.results:,}",
    "outages": lambda each: f"{each.outages:,}",
    "lost": lambda each: f"{each.lost:,}",
    "pictures paid for twice": lambda each: f"{each.paid_twice:,}",
    "ledger compared with the bill": lambda each: f"{100 * each.ledger_above:+.3f} %",
    "memory of processes that lived through most of it, first and last third": lambda each: (
        "; ".join(
            f"{one.name}: {one.megabytes[0]:,.0f} MB, then {one.megabytes[1]:,.0f} MB"
            for one in each.processes
        )
    ),
    "their open files and sockets": lambda each: "; ".join(
        f"{one.name}: {one.handles[0]:.0f}, then {one.handles[1]:.0f}" for one in each.processes
    ),
    "requests answered at once, 50 % / 99 % within, while nothing failed": lambda each: _waited(
        each.calm
    ),
    "the same, faults included": lambda each: _waited(each.all),
    "from a question to its answer, however often asked, 99 % within": lambda each: (
        "" if each.answered_p99 is None else f"{each.answered_p99:,} ms"
    ),
}


def faults(soaks: Soaks) -> str:
    """Of docs/performance.md; nothing where nothing was measured."""
    forms = [each for each in FORMS if each in soaks.forms]
    if not forms:
        return ""
    found = [soaks.forms[each] for each in forms]
    causes = dict.fromkeys(cause for each in found for cause in each.causes)
    rows = [["", *(FORMS[each] for each in forms)], ["---"] * (1 + len(forms))]
    for name, tell in SOAKED.items():
        rows.append([name, *map(tell, found)])
        if name == "pictures paid for twice":
            rows += [
                [f"of these: {cause}", *(str(each.causes.get(cause, "")) for each in found)]
                for cause in causes
            ]
    return FAULTS_HEAD + "\n" + "".join(f"| {' | '.join(each)} |\n" for each in rows)


def _waited(waited: Waited) -> str:
    return f"{waited.p50:,} / {waited.p99:,} ms"


def performance(kept: Kept) -> str:
    machine = "\n".join(f"- {name}: {each}" for name, each in kept.machine.items())
    parts = [HEAD.format(machine=machine, steady=percent(STEADY))]
    measured = [each for each in BENCHMARKS if each.name in kept.measured]
    for area, benchmarks in groupby(measured, key=lambda each: each.area):
        parts.append(
            "\n".join(_section(area, {each: kept.measured[each.name] for each in benchmarks}))
        )
    return "\n".join(parts)


def for_readme(kept: Kept) -> dict[str, str]:
    """Figures by their names in the README."""
    return {
        "figures": _table(kept, FOR_README),
        "local model": _table(kept, RIGHT_FOR_README),
    }


def _table(kept: Kept, chosen: Mapping[tuple[str, str], str]) -> str:
    found = {
        (name, figure.name): figure
        for name, each in kept.measured.items()
        for figure in each.figures
    }
    rows = [
        f"| {told} | {shown(figure.value, figure.unit)} | {_beside(figure)} |"
        for each, told in chosen.items()
        if (figure := found.get(each))
    ]
    return "\n".join(["| | measured | compared with |", "| --- | --- | --- |", *rows]) + "\n"


def _section(area: str, measured: Mapping[Benchmark, Measured]) -> Iterator[str]:
    yield f"## {area}\n"
    for benchmark, found in measured.items():
        failed = f"; failed: {found.failed}" if found.failed else ""
        yield f"- `{benchmark.command}`, {found.at}, {found.seconds:.0f} s{failed}"
    yield f"\n{COLUMNS}\n| --- | --- | --- | --- | --- | --- | --- | --- |"
    for benchmark, found in measured.items():
        for each in found.figures:
            cells = (
                benchmark.name,
                each.name,
                shown(each.value, each.unit),
                _beside(each),
                "" if each.ratio is None else shown(each.ratio),
                each.better,
                _spread(found, each.name),
                _goal(each),
            )
            yield f"| {' | '.join(cells)} |"
    yield ""


def _beside(figure: Figure) -> str:
    if figure.beside_value is None:
        return ""
    return f"{shown(figure.beside_value, figure.unit)}: {figure.beside}"


def _spread(measured: Measured, name: str) -> str:
    ratio = measured.ratios.get(name)
    if ratio is None:
        return ""
    return f"{percent(ratio.spread)}{', steady' if ratio.is_steady else ''}"


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    return f"{shown(figure.goal, figure.unit)}{', **missed**' if figure.is_missed else ''}"
