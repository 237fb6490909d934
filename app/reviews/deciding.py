"""How a reviewer's action changes a review. Pure functions, without side effects."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from app.errors import (
    InvalidRequest,
    NotAllowed,
    NothingToReview,
    ReviewDecided,
    ReviewTaken,
)
from app.identifiers import REVIEW_STEP, new_id
from app.result import ANSWERED, NONE, Result
from app.storage import ReviewChange, ReviewRow, ReviewStep
from app.storage.review_rows import STANDING, ReviewAction, source_of


@dataclass(frozen=True, slots=True)
class Decision:
    """A reviewer's decision about an answer.

    Attributes:
        label: the true class, where the answer is wrong; one of the domain's, or `none`.
        is_operator: may undo the decisions of others.
    """

    action: ReviewAction
    reviewer: str
    label: str | None = None
    note: str | None = None
    is_operator: bool = False


def change_of(
    decision: Decision,
    result: Result,
    review: ReviewRow | None,
    last: ReviewStep | None,
    *,
    now: datetime,
    claim: timedelta,
) -> ReviewChange | None:
    """`last`: the newest step of the review's history. None: nothing changes. Raises
    NothingToReview, ReviewTaken, ReviewDecided, NotAllowed, InvalidRequest."""
    if result.status not in ANSWERED:
        raise NothingToReview(f"{result.id} has no answer to look at: it is {result.status}.")
    if decision.action == "reopen":
        return _reopened(decision, result, review, last, now, claim)
    if decision.action == "skip":
        return _skipped(decision, result, review, last, now)
    return _decided(decision, result, review, now)


def _decided(
    decision: Decision, result: Result, review: ReviewRow | None, now: datetime
) -> ReviewChange | None:
    label = _label(decision, result)
    review = review or _asked(result, now)
    if review.state == "decided":
        said = (decision.action, label, decision.reviewer)
        if (review.action, review.label, review.reviewer) == said:
            return None
        raise ReviewDecided(f"{review.reviewer} decided it: {review.label or 'rejected'}.")
    _check_free(decision, review, now)
    standing: dict[str, Any] = {"final_class": label, "decided_by": decision.reviewer}
    if label is not None:
        source = source_of(review.kind, decision.action)
        standing |= {"expected": label, "expected_source": source}
    return ReviewChange(
        replace(
            review,
            state="decided",
            action=decision.action,
            label=label,
            reviewer=decision.reviewer,
            decided_at=now,
            claimed_by=None,
            claimed_until=None,
        ),
        standing,
        _step(decision, result, label, now),
        partial(_decided_with, decision, label, now),
    )


def _decided_with(
    decision: Decision,
    label: str | None,
    now: datetime,
    result: Result,
    review: ReviewRow | None,
    last: ReviewStep | None,
) -> ReviewChange | None:
    """For another result with the same picture, to which the same label applies."""
    if review is None or review.state == "decided":
        return None
    if review.is_claimed(now) and review.claimed_by != decision.reviewer:
        return None  # the reviewer who has it decides it
    action = decision.action
    if label is not None:
        action = "confirm" if label == (result.predicted_class or NONE) else "correct"
    said = replace(decision, action=action, label=label)
    change = _decided(said, result, review, now)
    return change and replace(change, copies=None)


def _skipped(
    decision: Decision,
    result: Result,
    review: ReviewRow | None,
    last: ReviewStep | None,
    now: datetime,
) -> ReviewChange | None:
    if review is None or review.state == "decided":
        raise ReviewDecided("It does not wait for anybody: there is nothing to skip.")
    _check_free(decision, review, now)
    if not review.is_claimed(now) and _is_by(last, decision):
        return None
    behind = replace(review, skips=review.skips + 1, claimed_by=None, claimed_until=None)
    return ReviewChange(behind, {}, _step(decision, result, None, now))


def _reopened(
    decision: Decision,
    result: Result,
    review: ReviewRow | None,
    last: ReviewStep | None,
    now: datetime,
    claim: timedelta,
) -> ReviewChange | None:
    if review is None:
        raise NothingToReview(f"{result.id} was never reviewed.")
    if review.state == "open":
        if review.is_claimed(now) and _is_by(last, decision):
            return None
        raise NothingToReview(f"{result.id} waits already.")
    if review.reviewer != decision.reviewer and not decision.is_operator:
        raise NotAllowed(
            f"{review.reviewer} decided it; so only {review.reviewer}, or an "
            "operator, takes that back."
        )
    change = _open_again(decision, now, result, review, last)
    # Claimed again by the reviewer, who can correct a slip at once.
    review = replace(change.review, claimed_by=decision.reviewer, claimed_until=now + claim)
    return replace(change, review=review, copies=partial(_opened_with, decision, now))


def _opened_with(
    decision: Decision,
    now: datetime,
    result: Result,
    review: ReviewRow | None,
    last: ReviewStep | None,
) -> ReviewChange | None:
    if review is None or review.state == "open":
        return None
    return _open_again(decision, now, result, review, last)


def _open_again(
    decision: Decision,
    now: datetime,
    result: Result,
    review: ReviewRow,
    last: ReviewStep | None,
) -> ReviewChange:
    again = replace(review, state="open", action=None, label=None, reviewer=None, decided_at=None)
    before = {} if last is None or last.before is None else dict(last.before)
    label_of_review = (review.label, source_of(review.kind, last.action if last else ""))
    if review.label is None or (result.expected, result.expected_source) != label_of_review:
        # The true class is not from this review, but was given elsewhere: it stays.
        before = {name: value for name, value in before.items() if "expected" not in name}
    return ReviewChange(again, before, _step(decision, result, None, now))


def _label(decision: Decision, result: Result) -> str | None:
    """The label that the reviewer gives to the picture; None: it can't be told."""
    answer = result.predicted_class or NONE
    match decision.action:
        case "confirm" if decision.label not in (None, answer):
            raise InvalidRequest(f"{answer!r} was answered: correct says {decision.label!r}.")
        case "reject" if decision.label is not None:
            raise InvalidRequest("reject takes no label: nothing can be said of the picture.")
        case "confirm":
            return answer
        case "correct" if decision.label is None:
            raise InvalidRequest("correct needs a label: what the picture shows.")
        case "correct" if decision.label == answer:
            raise InvalidRequest(f"{answer!r} is what was answered: confirm it instead.")
        case "correct":
            return decision.label
    return None


def _check_free(decision: Decision, review: ReviewRow, now: datetime) -> None:
    if review.is_claimed(now) and review.claimed_by != decision.reviewer:
        raise ReviewTaken(f"{review.claimed_by} is looking at it.")


def _is_by(last: ReviewStep | None, decision: Decision) -> bool:
    """Whether the newest step is this same action: a repeated request, or a key pressed twice."""
    return last is not None and (last.action, last.reviewer) == (decision.action, decision.reviewer)


def _asked(result: Result, now: datetime) -> ReviewRow:
    """For a result that was in no queue."""
    return ReviewRow(result.id, result.caller, result.domain, "asked", 1.0, 0.0, None, "open", now)


def _step(decision: Decision, result: Result, label: str | None, now: datetime) -> ReviewStep:
    return ReviewStep(
        id=new_id(REVIEW_STEP, now),
        result_id=result.id,
        reviewer=decision.reviewer,
        action=decision.action,
        label=label,
        note=decision.note,
        before={name: getattr(result, name) for name in STANDING},
        at=now,
    )
