"""The review queue, and decisions about its items."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from random import Random

from app.classification import check_label
from app.domains import DomainRegistry
from app.errors import DomainNotFound, InvalidRequest
from app.result import MODEL, NONE, Result
from app.reviews.deciding import Decision, change_of
from app.reviews.item import (
    NextReviews,
    ReviewClass,
    ReviewHistory,
    ReviewItem,
    ReviewStepView,
    Waiting,
)
from app.reviews.statistics import ReviewStatistics
from app.storage import (
    ResultRepository,
    ReviewChanges,
    Reviewer,
    ReviewRepository,
    ReviewRow,
)
from app.storage.review_rows import Queue
from app.telemetry.metrics import Metrics

RANDOM_PLACES = 0.2
"""Share of the items given out that comes from the random queue, while it has any: if it had to
wait until everything unsure is done, the accuracy of the rest might never be known."""


class Reviews:
    """`caller` None means an operator, who sees all."""

    def __init__(
        self,
        rows: ReviewRepository,
        changes: ReviewChanges,
        results: ResultRepository,
        domains: DomainRegistry,
        metrics: Metrics,
        *,
        claim_s: float,
        clock: Callable[[], datetime],
        random: Random,
    ) -> None:
        """`claim_s`: how long an item given to a reviewer is given to no one else."""
        self._rows = rows
        self._changes = changes
        self._results = results
        self._domains = domains
        self._metrics = metrics
        self._claim = timedelta(seconds=claim_s)
        self._clock = clock
        self._random = random

    async def next(self, reviewer: Reviewer, limit: int, *, claim: bool = True) -> NextReviews:
        """Items the reviewer already holds, and more, up to `limit`. With `claim`, they are the
        reviewer's for a while. Raises DomainNotFound, InvalidRequest for a reserved name."""
        _check_name(reviewer.name)
        if reviewer.domain is not None:
            await self._domains.find(reviewer.domain)
        now = self._clock()
        places = self._places(limit)
        if claim:
            rows = await self._rows.claim(reviewer, places, until=now + self._claim, now=now)
        else:
            rows = await self._rows.look(reviewer, places, now=now)
        found = await self._results.of_ids([row.result_id for row in rows])
        waiting = await self._rows.waiting(caller=reviewer.caller, domain=reviewer.domain)
        return NextReviews(
            # One may just have been deleted.
            reviews=await self._items(
                [(found[row.result_id], row) for row in rows if row.result_id in found]
            ),
            waiting=Waiting(**waiting),
            claim_s=self._claim.total_seconds(),
        )

    async def decide(self, result_id: str, decision: Decision, *, caller: str | None) -> ReviewItem:
        """Raises ResultNotFound, LabelNotInDomain, DomainNotFound, and what `change_of` raises."""
        _check_name(decision.reviewer)
        if decision.label is not None:
            await self._check(decision.label, await self._results.get(result_id, caller=caller))
        judge = partial(change_of, decision, now=self._clock(), claim=self._claim)
        reviewed = await self._changes.change(result_id, judge, caller=caller)
        for each in reviewed.changed:
            self._metrics.reviewed(each.domain, decision.action)
            if decision.action in ("confirm", "correct"):
                self._metrics.label(each)
        (item,) = await self._items([(reviewed.result, reviewed.review)])
        return item

    async def history(self, result_id: str, *, caller: str | None) -> ReviewHistory:
        """Raises ResultNotFound."""
        result = await self._results.get(result_id, caller=caller)
        (item,) = await self._items([(result, await self._rows.get(result_id))])
        steps = await self._rows.steps(result_id)
        told = [ReviewStepView.model_validate(each, from_attributes=True) for each in steps]
        return ReviewHistory(**dict(item), steps=told)

    async def statistics(
        self,
        *,
        caller: str | None,
        domain: str | None,
        since: datetime | None,
        until: datetime | None,
    ) -> ReviewStatistics:
        """What is open now, and what was decided from `since` on, before `until`. Raises
        DomainNotFound."""
        if domain is not None:
            await self._domains.find(domain)
        counts = await self._rows.decided(caller=caller, domain=domain, since=since, until=until)
        waiting = await self._rows.waiting(caller=caller, domain=domain)
        return ReviewStatistics.of(counts, waiting)

    async def count_waiting(self) -> None:
        """Updates the metrics. Raises StorageUnavailable."""
        self._metrics.reviews_waiting(await self._rows.waiting_by_domain())

    def _places(self, limit: int) -> list[Queue]:
        return [
            "random" if self._random.random() < RANDOM_PLACES else "unsure" for _ in range(limit)
        ]

    async def _items(self, found: Sequence[tuple[Result, ReviewRow | None]]) -> list[ReviewItem]:
        bare = [result.id for result, row in found if row is None or row.picture is None]
        uploads = await self._rows.uploads(bare) if bare else {}
        classes = {result.domain: await self._classes(result) for result, _ in found}
        now = self._clock()
        return [
            _item(result, row, classes[result.domain], result.id in uploads, now)
            for result, row in found
        ]

    async def _check(self, label: str, result: Result) -> None:
        try:
            check_label(label, await self._domains.find(result.domain))
        except DomainNotFound:  # the classes that are shown may still be used
            if label not in (NONE, *(each.label for each in await self._classes(result))):
                raise

    async def _classes(self, result: Result) -> list[ReviewClass]:
        try:
            domain = await self._domains.find(result.domain)
        except DomainNotFound:  # the domain was deleted, but not its results
            return [ReviewClass(label=label) for label in result.probabilities or ()]
        return [
            ReviewClass(label=each.label, description=each.description) for each in domain.classes
        ]


def _item(
    result: Result,
    row: ReviewRow | None,
    classes: list[ReviewClass],
    is_uploaded: bool,
    now: datetime,
) -> ReviewItem:
    has_picture = is_uploaded or (row is not None and row.picture is not None)
    is_claimed = row is not None and row.is_claimed(now)
    return ReviewItem(
        result=result,
        image=f"/results/{result.id}/image" if has_picture else None,
        classes=classes,
        state=row and row.state,
        skips=row.skips if row else 0,
        claimed_by=row.claimed_by if row and is_claimed else None,
        claimed_until=row.claimed_until if row and is_claimed else None,
        action=row and row.action,
        reviewer=row and row.reviewer,
        decided_at=row and row.decided_at,
    )


def _check_name(reviewer: str) -> None:
    if reviewer.casefold() == MODEL:
        raise InvalidRequest(f"No reviewer may be called {reviewer!r}: tell a name as `reviewer`.")
