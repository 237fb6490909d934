"""Tables of a report, as HTML."""

from collections.abc import Mapping, Sequence
from html import escape

from app.evaluation.report import ClassScore, Difference, Report
from app.evaluation.words import between, count, cut, money, percent, reason
from app.result import NONE

MATRIX = 20
"""Truths, or answers, above which a matrix is unreadable: then the most frequent confusions are
listed."""

LISTED = 20
LONGEST = 48
"""Characters of a name that are shown."""


def short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def end(path: str) -> str:
    """The part that distinguishes a path from others."""
    return path if len(path) <= LONGEST else f"…{path[1 - LONGEST :]}"


def thresholds(report: Report) -> str:
    rows = []
    for each in report.thresholds:
        own = each.target is None
        named = "the domain's own" if each.target is None else f"{percent(each.target)} right"
        numbers = (
            "<td>none reaches it</td>" + "<td></td>" * 3
            if each.threshold is None
            else f"<td>{cut(each.threshold)}</td>"
            f"<td>{percent(each.share)}</td><td>{percent(each.accuracy)}</td>"
            f"<td>{between(each.interval) if each.n else ''}</td>"
        )
        rows.append(f"<tr{' class=own' if own else ''}><th scope=row>{named}</th>{numbers}</tr>")
    head = _head("Wanted", "Threshold", "Accepted", "Right", "95 % interval")
    told = (
        '<p class="soft">Each is the lowest threshold that reaches what is wanted on these '
        "pictures; on others it will be somewhere in the interval. Failed pictures, and “none of "
        "these”, go to people whatever the threshold.</p>"
    )
    return _scroll("Thresholds", f"<table>{head}<tbody>{''.join(rows)}</tbody></table>") + told


Answers = Mapping[str | None, int]
"""How often each was given; None: no answer, a key that can't be a class's name."""


def confusion(report: Report) -> str:
    table = {truth: _answers(report, truth) for truth in report.confusion}
    truths = sorted(table, key=lambda each: (each == NONE, each))
    found = {answer for row in table.values() for answer in row}
    answers: list[str | None] = [each for each in truths if each in found]
    answers += sorted(found - {*truths}, key=lambda each: (each is None, each == NONE, each or ""))
    if len(truths) > MATRIX or len(answers) > MATRIX:
        return _confused_most(table)
    rows = []
    for truth in truths:
        total = sum(table[truth].values())
        cells = "".join(
            _cell(table[truth].get(each, 0), total, truth=truth, answer=each) for each in answers
        )
        rows.append(f"<tr><th scope=row>{escape(short(truth))}</th>{cells}</tr>")
    head = _head("Truth ↓ Answer →", *map(_answer, answers))
    matrix = f'<table class="heat">{head}<tbody>{"".join(rows)}</tbody></table>'
    return _scroll("What was taken for what", matrix)


def _answers(report: Report, truth: str) -> Answers:
    found: list[tuple[str | None, int]] = [*report.confusion[truth].items()]
    found.append((None, report.unanswered.get(truth, 0)))
    return {answer: n for answer, n in found if n}


def _answer(answer: str | None) -> str:
    return "no answer" if answer is None else short(answer)


def _cell(n: int, total: int, *, truth: str, answer: str | None) -> str:
    if not n:
        return '<td class="zero">·</td>'
    kind = "right" if truth == answer else "wrong"
    got = "got no answer" if answer is None else f"answered with {answer}"
    told = f"{count(n, 'picture')} of {truth} {got}: {percent(n / total)}"
    much = 15 + round(85 * n / total)
    return f'<td class="{kind}" style="--much: {much}%" title="{escape(told)}">{n:,}</td>'


def _confused_most(table: Mapping[str, Answers]) -> str:
    pairs = [
        (n, truth, answer)
        for truth, row in table.items()
        for answer, n in row.items()
        if truth != answer
    ]
    pairs.sort(key=lambda each: (-each[0], each[1], each[2] or ""))
    if not pairs:
        return "<p>Nothing: every answer was right.</p>"
    rows = "".join(
        f"<tr><th scope=row>{escape(short(truth))}</th><td>{escape(_answer(answer))}</td>"
        f"<td>{n:,}</td>"
        f"<td>{percent(n / sum(table[truth].values()))}</td></tr>"
        for n, truth, answer in pairs[:LISTED]
    )
    head = _head("Truth", "Answer", "Pictures", "Of its pictures")
    more = len(pairs) - LISTED
    told = f'<p class="soft">And {count(more, "more pair")}.</p>' if more > 0 else ""
    shown = f'<table class="words numbers">{head}<tbody>{rows}</tbody></table>'
    return _scroll("What was confused most", shown) + told


def per_class(scores: Mapping[str, ClassScore]) -> str:
    """Worst first."""
    there = [
        (label, each) for label, each in scores.items() if each.n or each.precision is not None
    ]
    there.sort(key=lambda each: (each[1].f1 is None, each[1].f1 or 0.0, each[0]))
    shown = _scores(there[:LISTED])
    if len(there) > LISTED:
        more = count(len(there) - LISTED, "more class").replace("classs", "classes")
        shown += f"<details><summary>{more}</summary>{_scores(there[LISTED:])}</details>"
    if missing := len(scores) - len(there):
        classes = "1 class has" if missing == 1 else f"{missing:,} classes have"
        shown += f'<p class="soft">{classes} no pictures here.</p>'
    return shown


def _scores(scores: Sequence[tuple[str, ClassScore]]) -> str:
    rows = "".join(
        f"<tr><th scope=row>{escape(short(label))}</th><td>{each.n:,}</td>"
        f"<td>{percent(each.precision)}</td><td>{percent(each.recall)}</td>"
        f"<td>{percent(each.f1)}</td></tr>"
        for label, each in scores
    )
    head = _head("Class", "Pictures", "Precision", "Recall", "F1")
    return _scroll("Class by class", f"<table>{head}<tbody>{rows}</tbody></table>")


def providers(report: Report) -> str:
    rows = "".join(
        f"<tr><th scope=row>{escape(short(each.provider))}</th><td>{each.answers:,}</td>"
        f"<td>{percent(each.share)}</td><td>{percent(each.accuracy)}</td>"
        f"<td>{between(each.interval) if each.n else ''}</td>"
        f"<td>{money(each.cost_per_1000)}</td></tr>"
        for each in report.by_provider
    )
    answers = sum(each.answers for each in report.by_provider)
    total = (
        f"<tr><th scope=row>together</th><td>{answers:,}</td><td>{percent(1.0)}</td>"
        f"<td>{percent(report.accuracy if report.n else None)}</td>"
        f"<td>{between(report.interval) if report.n else ''}</td>"
        f"<td>{money(report.cost_per_1000)}</td></tr>"
    )
    head = _head("Provider", "Answers", "Share", "Right", "95 % interval", "Cost of 1,000")
    return _scroll("Who answered", f"<table>{head}<tbody>{rows}{total}</tbody></table>")


def reasons(found: Mapping[str, int]) -> str:
    rows = "".join(
        f"<tr><th scope=row>{escape(reason(name))}</th><td>{n:,}</td></tr>"
        for name, n in found.items()
    )
    return f'<table class="words count">{_head("Reason", "Pictures")}<tbody>{rows}</tbody></table>'


def differences(title: str, found: Sequence[Difference], *, now: bool) -> str:
    """`now`: with the current answers, which are wrong."""
    rows = "".join(
        f"<tr><th scope=row>{escape(end(each.name))}</th><td>{escape(short(each.expected))}</td>"
        + (f"<td>{escape(short(each.predicted or 'no answer'))}</td>" if now else "")
        + "</tr>"
        for each in found
    )
    head = _head("Picture", "Truth", *(["Answer now"] if now else []))
    shown = f'<table class="words">{head}<tbody>{rows}</tbody></table>'
    return f"<details><summary>{escape(title)}</summary>{_scroll(title, shown)}</details>"


def facts(rows: Sequence[tuple[str, str]]) -> str:
    cells = "".join(
        f"<tr><th scope=row>{escape(what)}</th><td>{escape(told)}</td></tr>"
        for what, told in rows
        if told
    )
    return f'<table class="words"><tbody>{cells}</tbody></table>'


def _head(*names: str) -> str:
    cells = "".join(f"<th scope=col>{escape(each)}</th>" for each in names)
    return f"<thead><tr>{cells}</tr></thead>"


def _scroll(name: str, table: str) -> str:
    """A wide table scrolls within the page, also by keyboard."""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(name)}">{table}</div>'
    )
