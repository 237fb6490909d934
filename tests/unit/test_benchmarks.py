"""What benchmarks found out is kept, told and compared as it is."""

import re
import time
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import suite
from benchmarks.compare import changes
from benchmarks.kept import Kept, Measured, Ratio, ratios
from benchmarks.report import Figure
from benchmarks.soak import Grown, Soaked, Soaks, Twice, Waited
from benchmarks.suite import BENCHMARKS, IMAGES, ROOT, Benchmark, Failed, OutOfTime, Ran, run
from docs.performance import FOR_README, RIGHT_FOR_README, faults, performance

README, PERFORMANCE = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/performance.md")
)
NOT_BENCHMARKS = {"bare", "one_route", "instant"}
"""What is measured against, and with."""


def ratio(*rounds: float, better="lower", of_clock=False) -> Ratio:
    return Ratio(better=better, of_clock=of_clock, rounds=list(rounds))


def figure(value: float, name="CPU", **more) -> Figure:
    return Figure(name=name, value=value, beside="the least", beside_value=2.0, **more)


def test_what_is_as_it_was_is_not_told():
    was = {"CPU": ratio(1.0, 1.02, 0.99), "images": ratio(0.5, 0.51, better="higher")}

    assert list(changes(was, {"CPU": 1.1, "images": 0.45})) == []


@pytest.mark.parametrize(("better", "now"), [("lower", 1.16), ("higher", 0.86)])
def test_a_regression_is_told_in_the_direction_of_its_ratio(better, now):
    (found,) = changes({"CPU": ratio(1.0, 1.0, better=better)}, {"CPU": now})

    assert found.is_regression
    assert str(found).startswith("regression: CPU: ")


@pytest.mark.parametrize(("better", "now"), [("lower", 0.8), ("higher", 1.2)])
def test_an_improvement_is_told_and_is_no_regression(better, now):
    (found,) = changes({"CPU": ratio(1.0, 1.0, better=better)}, {"CPU": now})

    assert not found.is_regression
    assert str(found).startswith("improvement: CPU: ")


def test_a_name_that_vanished_is_told():
    (found,) = changes({"CPU": ratio(1.0)}, {"processor": 1.0})

    assert str(found) == "gone: CPU: nothing measures it any more"


@pytest.mark.parametrize(
    ("was", "worst_that_is_fine"),
    [
        (ratio(1.0, 1.05, 1.01), 1.01 * 1.14),
        (ratio(1.0, 1.2, 1.1), 1.2 * 1.14),
        (ratio(1.0, 1.0, 1.02, of_clock=True), 1.02 * 1.14),
        (ratio(0.5, 0.8, 0.7, better="higher"), 0.5 / 1.14),
    ],
)
def test_what_swings_has_to_be_worse_than_it_ever_was(was, worst_that_is_fine):
    """And so what other work on the machine delays. Only what hardly swings fails the check."""
    sign = 1 if was.better == "lower" else -1
    far = worst_that_is_fine * 1.6**sign

    assert list(changes({"it": was}, {"it": worst_that_is_fine})) == []
    (found,) = changes({"it": was}, {"it": far})
    assert found.is_regression
    assert found.fails == was.is_steady


def test_what_was_nothing_may_not_become_something():
    was = {"error": ratio(0.0, 0.0)}

    assert list(changes(was, {"error": 0.0})) == []
    (found,) = changes(was, {"error": 0.01})
    assert found.is_regression
    assert found.fails


def test_one_round_says_nothing_of_the_next():
    kept = Kept(measured={"http": Measured(at="2026-01-01", ratios={"CPU": ratio(1.0)})})

    assert kept.compared("http") == {}
    assert kept.compared("none of that name") == {}


def test_a_ratio_has_all_rounds_or_is_none():
    """A figure with nothing beside it has no ratio; one that a round lacks can't be compared."""
    found = ratios(
        [
            [figure(3.0), figure(1.0, "once"), Figure(name="alone", value=1.0)],
            [figure(4.0), Figure(name="alone", value=1.0)],
        ]
    )

    assert found == {"CPU": ratio(1.5, 2.0)}


def test_figures_are_read_as_they_were_written(tmp_path):
    missed = Figure(name="books", value=0.2, unit="ms", goal=0.1)
    kept = Kept(
        machine={"processor": "a"},
        measured={
            "http": Measured(at="2026-01-01", figures=[missed], ratios={"CPU": ratio(1.0)}),
            "quota": Measured(at="2026-01-01", failed="no such file"),
        },
    )
    kept.write(tmp_path / "figures.json")

    assert Kept.read(tmp_path / "figures.json") == kept
    assert Kept.read(tmp_path / "none.json") == Kept()


def test_the_page_says_what_is_missed_what_failed_and_what_is_checked():
    kept = Kept(
        measured={
            "http": Measured(
                at="2026-01-01",
                figures=[
                    Figure(name="books", value=0.2, unit="ms", goal=0.1),
                    Figure(name="share", value=0.99, unit="%", better="higher", goal=0.97),
                    figure(3.0),
                ],
                ratios={"CPU": ratio(1.5, 1.5)},
            ),
            "quota": Measured(at="2026-01-01", failed="no such file"),
        }
    )
    page = performance(kept)

    assert "| http | books | 0.2 ms |  |  | lower |  | 0.1 ms, **missed** |" in page
    assert "| http | share | 99.0 % |  |  | higher |  | 97.0 % |" in page
    assert "| http | CPU | 3 | 2: the least | 1.5 | lower | 0.0 %, steady |  |" in page
    assert "failed: no such file" in page


def soaked(**more) -> Soaked:
    known = {
        "at": "2026-01-01",
        "commit": "abc1234",
        "minutes": 60,
        "questions": 18_000,
        "results": 60_000,
        "batches": 1_300,
        "outages": 260,
        "lost": 0,
        "paid_twice": 3,
        "ledger_above": 0.00521,
        "processes": [Grown(name="serve-0", megabytes=(434, 441), handles=(56, 55))],
        "calm": Waited(p50=293, p99=908),
        "all": Waited(p50=302, p99=4_822),
    }
    return Soaked(**known | more)


def test_an_hour_of_faults_is_told_by_form_and_cause(tmp_path):
    """As it was written to a file and read again."""
    killed = {"a process was killed": Twice(paid=3, at_most=40)}
    kept = Soaks(forms={"several": soaked(causes=killed), "one": soaked(paid_twice=0)})
    kept.write(tmp_path / "soak.json")

    page = faults(Soaks.read(tmp_path / "soak.json"))

    assert "|  | one process, SQLite | four processes, PostgreSQL, Redis |" in page
    assert "| pictures paid for twice | 0 | 3 |" in page
    assert "| of these: a process was killed |  | 3 of 40 |" in page
    assert "| ledger compared with the bill | +0.521 % | +0.521 % |" in page
    assert "first and last third | serve-0: 434 MB, then 441 MB | serve-0: 434 MB," in page
    assert "| their open files and sockets | serve-0: 56, then 55 |" in page
    assert "| the same, faults included | 302 / 4,822 ms |" in page


def test_where_no_hour_was_measured_none_is_told(tmp_path):
    assert faults(Soaks.read(tmp_path / "soak.json")) == ""


@pytest.fixture
def committed(monkeypatch):
    """One benchmark's CPU was 1.0 times what is beside it; returns what it is from now on."""
    now: list[float] = []
    kept = Kept(measured={"http": Measured(at="2026-01-01", ratios={"CPU": ratio(1.0, 1.0)})})
    monkeypatch.setattr(Kept, "read", classmethod(lambda _: kept))
    monkeypatch.setattr(command, "run", lambda *_, **__: Ran((figure(2 * now.pop(0)),), 1.0))
    return now


@pytest.mark.parametrize(
    ("rounds", "status", "told"),
    [
        ([1.1], 0, ""),
        ([1.3, 1.0], 0, ""),
        ([1.6, 1.3], 0, "regression: CPU: 1.3 times"),
        ([1.6, 1.7], 1, "regression: CPU: 1.6 times"),
        ([0.5], 0, "improvement: CPU: 0.5 times"),
    ],
)
def test_what_is_worse_is_measured_again(committed, capsys, rounds, status, told):
    """The better of both counts, and only what is far worse twice is an error."""
    committed += rounds

    assert command.check([Benchmark("http", "Requests", quick=())]) == status
    assert committed == []
    lines = capsys.readouterr().out.splitlines()
    assert [line.startswith(told) for line in lines[:-1]] == [True] * bool(told)


@pytest.mark.parametrize(("error", "status"), [(Failed("no server"), 1), (OutOfTime("late"), 0)])
def test_one_that_fails_is_an_error_and_a_slow_one_is_not(
    committed, monkeypatch, capsys, error, status
):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(command, "run", fails)

    assert command.check([Benchmark("http", "Requests", quick=())]) == status
    assert f"not compared: http: {error}" in capsys.readouterr().out


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Makes a benchmark of this text, and returns its folder."""
    (tmp_path / "benchmarks").mkdir()
    monkeypatch.setattr(suite, "ROOT", tmp_path)

    def write(text: str) -> Path:
        (tmp_path / "benchmarks" / "one.py").write_text(text)
        return tmp_path

    return write


def test_a_benchmark_that_fails_says_why(written):
    written("print('much'); raise SystemExit('no such folder')")

    with pytest.raises(Failed, match="no such folder"):
        run("one", [], within_s=30)


def until_gone(state: Path) -> None:
    """A signal that was sent takes a moment to end a process. Fails after 5 s."""
    for _ in range(500):
        if not state.exists() or state.read_text().split()[2] in "ZX":
            return
        time.sleep(0.01)
    pytest.fail(f"{state} is still there")


def test_one_that_hangs_is_ended_with_all_that_it_started(written):
    """Servers and simulators that it had no time to stop."""
    folder = written(
        "import os, subprocess, sys, time\n"
        "started = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open('new', 'w').write(str(started.pid))\n"
        "os.rename('new', 'pid')\n"
        "time.sleep(60)\n"
    )

    with pytest.raises(OutOfTime, match="not over within 2 s"):
        run("one", [], within_s=2)
    until_gone(Path("/proc", (folder / "pid").read_text(), "stat"))


def test_every_benchmark_is_in_the_suite():
    """Else `make bench` would not run it."""
    runnable = {
        path.stem
        for path in (ROOT / "benchmarks").glob("*.py")
        if "parser(__doc__" in path.read_text() and not path.stem.startswith("__")
    }

    assert {each.name for each in BENCHMARKS} == runnable - NOT_BENCHMARKS


@pytest.mark.parametrize("benchmark_", BENCHMARKS, ids=lambda each: each.name)
def test_its_arguments_are_there(benchmark_):
    """Those of the short form, too."""
    text = (ROOT / "benchmarks" / f"{benchmark_.name}.py").read_text()
    given = {*benchmark_.full, *(benchmark_.quick or ())} - {IMAGES}

    wanted = {each for each in given if each.startswith("--") and each != "--rounds"}
    assert {each for each in wanted if f'"{each}"' not in text} == set()


def test_the_readme_quotes_no_figure_that_is_not_measured():
    """Of prose and tables."""
    prose = re.sub(r"```.*?```|^ {4}.*?$|`[^`]*`", "", README, flags=re.DOTALL | re.MULTILINE)
    quoted = re.findall(r"\d[\d.,]* ?(?:ms|s|MB|MiB|%|a second|times)(?![\w])|\b0\.\d+", prose)

    assert quoted
    assert [
        each for each in quoted if not re.search(rf"(?<![\d.]){re.escape(each)}", PERFORMANCE)
    ] == []


def test_the_readme_has_all_figures_that_it_chose():
    """Of benchmarks that were measured: a figure that got another name is missing in its table."""
    measured = {name: found for name, found in Kept.read().measured.items() if found.figures}
    there = {(name, each.name) for name, found in measured.items() for each in found.figures}

    shown = FOR_README | RIGHT_FOR_README
    assert {each for each in shown if each[0] in measured} - there == set()
    assert {name for name, _ in shown} <= {each.name for each in BENCHMARKS}
