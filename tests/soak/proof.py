"""Checks at the end that nothing is missing, duplicated, or was paid without need."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from tests.bill import Bill, Booked
from tests.receiver_process import Arrival
from tests.soak.bulk import ITEMS, Batch
from tests.soak.caller import IN_USE, UNANSWERED, Attempt
from tests.soak.outages import Outages
from tests.soak.paid import Paid
from tests.soak.people import Question
from tests.soak.reviewers import Decision

REVIEWED = {"final_class", "decided_by", "expected", "expected_source"}
"""Fields of a result that reviewers may change."""

OF_STORAGE = {"storage-unavailable"}
OF_PROVIDERS = {
    "provider-unavailable",
    "provider-timeout",
    "provider-paused",
    "provider-rate-limited",
    "provider-error",
}
OF_PROCESSES = {"interrupted"}

HELD_S = 60.0
"""How long an Idempotency-Key is held for a request that nobody answers any more."""

Rows = Mapping[str, Mapping[str, Any]]
"""Results by their ids."""

Items = Mapping[str, Sequence[Mapping[str, Any]]]
"""Of batches by their ids."""


def some(ids: Collection[str]) -> str:
    return ", ".join(sorted(ids)[:3])


def questions(asked: Sequence[Question], rows: Rows) -> Iterator[str]:
    """One result for each key, as it was returned, and at least one where there was no key."""
    by_number: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows.values():
        if row["metadata"] and row["status"] != "failed":
            by_number[row["metadata"]["number"]].append(row)
    for each in asked:
        found = by_number.pop(each.number, [])
        if each.answer is None:
            yield f"question {each.number} got no answer"
        elif each.answer["id"] not in {row["id"] for row in found}:
            yield f"{each.answer['id']} is gone, which answered question {each.number}"
        elif changed := _changed(each.answer, rows[each.answer["id"]]):
            yield f"{each.answer['id']} is not what was answered: {', '.join(changed)}"
        if each.key and len(found) > 1:
            yield f"{each.key} has {len(found)} results: {some([row['id'] for row in found])}"
    if by_number:
        yield f"{len(by_number)} results are of questions that nobody asked"


def _changed(told: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    names = told.keys() - REVIEWED
    return sorted(name for name in names if told[name] != row.get(name))


def batch(batch: Batch, items: Sequence[Mapping[str, Any]], rows: Rows) -> Iterator[str]:
    ids = {each["result"]["id"] for each in items if each["result"]}
    if not batch.over:
        yield f"{batch.id} does not end"
    if len(items) != ITEMS or len(ids) != ITEMS:
        yield f"{batch.id} has {len(items)} items and {len(ids)} results instead of {ITEMS}"
    if lost := ids - rows.keys():
        yield f"{batch.id}: {len(lost)} results are not listed: {some(lost)}"
    if failed := [each for each in ids & rows.keys() if rows[each]["status"] == "failed"]:
        yield f"{batch.id}: {len(failed)} items failed: {some(failed)}"


def reviews(
    decisions: Mapping[str, Decision], histories: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Each acknowledged decision is stored, once."""
    for result_id, decision in decisions.items():
        history = histories[result_id]
        steps = [(each["reviewer"], each["action"], each["label"]) for each in history["steps"]]
        said = (decision.reviewer, decision.action, decision.label)
        if steps != [said]:
            yield f"{result_id} was reviewed as {said}, and has {steps}"
        if history["result"]["final_class"] != decision.label:
            yield f"{result_id} is no {decision.label}, as {decision.reviewer} said"


def told(
    name: str,
    arrived: Sequence[Arrival],
    *,
    results: Collection[str],
    reviewed: Collection[str],
    batches: Collection[str],
) -> Iterator[str]:
    """Each event arrives at least once, under one id, with a valid signature."""
    kinds = {"result.created": results, "result.reviewed": reviewed, "batch.completed": batches}
    about = {
        kind: Counter(subject for subject, _ in pairs)
        for kind, pairs in _pairs(arrived, kinds).items()
    }
    for kind, wanted in kinds.items():
        if untold := set(wanted) - about[kind].keys():
            yield f"{name} was not told {kind} of {len(untold)}: {some(untold)}"
        if unknown := about[kind].keys() - set(wanted):
            yield f"{name} was told {kind} of {len(unknown)} that are not: {some(unknown)}"
        if anew := [each for each, count in about[kind].items() if count > 1]:
            yield f"{name} was told {kind} of {len(anew)} under two ids: {some(anew)}"
    if refused := {each.refused for each in arrived if each.refused}:
        yield f"{name} refused signatures: {', '.join(sorted(refused))}"


def _pairs(arrived: Sequence[Arrival], kinds: Collection[str]) -> dict[str, set[tuple[str, str]]]:
    """Subjects and ids of events, by kind."""
    pairs: dict[str, set[tuple[str, str]]] = {kind: set() for kind in kinds}
    for each in arrived:
        if each.type in pairs:
            pairs[each.type].add((each.subject, each.event_id))
    return pairs


def exported(form: str, ids: Sequence[str], listed: Collection[str]) -> Iterator[str]:
    if len(ids) != len(set(ids)):
        yield f"{form} has {len(ids) - len(set(ids))} results twice"
    if set(ids) != set(listed):
        missing, surplus = set(listed) - set(ids), set(ids) - set(listed)
        yield f"{form} lacks {len(missing)} and has {len(surplus)} too many: {some(missing)}"


def refusals(attempts: Sequence[Attempt], outages: Outages) -> Iterator[str]:
    """While something that a request needs is out of order, the request may be refused for that, or
    get no answer from a process that dies. Nothing else is refused, and a 503 says when to
    retry."""
    wrong = Counter(
        f"{each.what}: {each.status or 'no answer'} {each.problem}".strip()
        for each in attempts
        if not _is_fine(each, outages)
    )
    for what, count in wrong.items():
        yield f"without need {what}, {count} times"


def _is_fine(attempt: Attempt, outages: Outages) -> bool:
    out_of_order = partial(outages.any, attempt.began, attempt.ended)
    if attempt.status == 503 and not attempt.says_when:
        return False
    if attempt.status == UNANSWERED and attempt.what == "export":
        # An export in progress can only break off when the process or the database is gone.
        return out_of_order(attempt.where, "postgres")
    if attempt.status == UNANSWERED or attempt.problem in OF_PROCESSES:
        return out_of_order(attempt.where)
    if attempt.problem in OF_STORAGE:
        return out_of_order("postgres")
    if attempt.problem in OF_PROVIDERS:
        return out_of_order("azure")
    if attempt.problem == IN_USE:
        return out_of_order(after_s=HELD_S)
    return attempt.status < 400 or (attempt.what == "decision" and attempt.status == 409)


def lost(asked: Sequence[Question], items: Items, rows: Rows) -> int:
    """Questions and items that have no result, or not the one that was told."""
    answers = [each.answer and each.answer["id"] for each in asked]
    answers += [each["result"] and each["result"]["id"] for of in items.values() for each in of]
    missing = sum(max(0, ITEMS - len(each)) for each in items.values())
    return missing + sum(each not in rows for each in answers)


def paid(paid: Paid) -> Iterator[str]:
    """Nothing twice, but for what something died of, or under."""
    if paid.unasked:
        yield f"{len(paid.unasked)} pictures were paid that nobody asked about"
    if paid.unexplained:
        first = paid.unexplained[0]
        yield (
            f"{len(paid.unexplained)} calls were paid again without need, one by {first.by} about "
            f"{first.picture[:12]} at {first.began:.2f}"
        )


def ledger(booked: Booked, bill: Bill, *, at_most_above: float) -> Iterator[str]:
    yield from booked.complaints()
    if booked.calls < bill.calls:
        yield f"{bill.calls - booked.calls} calls are in no ledger"
    above = float(booked.usd / bill.usd - 1)
    if not 0 <= above <= at_most_above:
        yield f"{booked.usd} USD are booked, {above:+.3%}, and {bill.usd} billed"
