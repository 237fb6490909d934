"""Answers whose true class is known, as they were before any calibration. All SQL for them is
here."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from app.identifiers import RESULT, lowest_id
from app.result import ANSWERED
from app.storage.calibrations import CalibrationKey
from app.storage.database import Database
from app.storage.tables import results, reviews

MOST = 20_000
"""Labels of a domain that are read: the newest ones."""

PAGE = 1_000


class LabelledAnswer(NamedTuple):
    """
    Attributes:
        probabilities: as the provider gave them, by label; None where they were not kept.
        picture: the same for the same picture: its SHA-256, where that is known.
        accepted: whether it was accepted, rather than queued for review.
        share: the fraction of such answers that was drawn for review; None if the label does not
            come from such a review.
        told_before: the label came with the picture, so that the answer could not be drawn.
    """

    expected: str
    predicted_class: str | None
    probabilities: Mapping[str, float] | None
    picture: str
    accepted: bool = True
    share: float | None = None
    told_before: bool = False


class LabelledRepository:
    """Raises StorageUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def counts(
        self,
        domain: str,
        version: str,
        *,
        caller: str | None = None,
        since: datetime | None = None,
    ) -> dict[CalibrationKey, int]:
        """Different labelled pictures by who answered, largest first. `caller` None: all callers;
        `since`: requested then or later."""
        key = [_C[name] for name in CalibrationKey._fields]
        pictures = sa.func.count(sa.distinct(_PICTURE)).label("pictures")
        query = (
            sa.select(*key, pictures)
            .where(_in_window(domain, version, caller))
            .where(*([] if since is None else [_C.id >= lowest_id(RESULT, since)]))
            .group_by(*key)
            .order_by(pictures.desc(), *key)
        )

        def unit(connection: sa.Connection) -> dict[CalibrationKey, int]:
            return {CalibrationKey(*key): found for *key, found in connection.execute(query)}

        return await self._database.read(unit)

    async def pages(
        self, key: CalibrationKey, *, caller: str | None = None
    ) -> AsyncIterator[list[LabelledAnswer]]:
        """Newest first. The same picture may occur more than once."""
        query = (
            sa.select(_C.id, _C.expected, _C.predicted_class, _SAID, _PICTURE, *_DRAWN)
            .outerjoin(reviews, _C.id == reviews.c.result_id)
            .where(
                _in_window(key.domain, key.domain_version, caller),
                *(_C[name] == value for name, value in key._asdict().items()),
            )
            .order_by(_C.id.desc())
            .limit(PAGE)
        )
        before: str | None = None
        while True:
            page = query if before is None else query.where(_C.id < before)
            rows = await self._database.read(lambda each: each.execute(page).all())  # noqa: B023
            yield [LabelledAnswer(*row[1:]) for row in rows]
            if len(rows) < PAGE:
                return
            before = rows[-1].id


def _in_window(domain: str, version: str, caller: str | None) -> sa.ColumnElement[bool]:
    """Bounds the read for a domain with millions of labels; other callers' labels do not displace
    the caller's own."""
    labelled = sa.select(_C.id).where(
        _C.domain == domain,
        _C.expected.is_not(None),
        _C.domain_version == version,
        _C.status.in_(ANSWERED),
        _C.revision.is_not(None),  # or it was stored before revisions were recorded
        *([] if caller is None else [_C.caller == caller]),
    )
    return _C.id.in_(sa.select(labelled.order_by(_C.id.desc()).limit(MOST).subquery().c.id))


_C = results.c
_PICTURE = sa.func.coalesce(_C.image["sha256"].as_string(), _C.id)
_DRAWN = (
    _C.status == "accepted",
    sa.case((_C.expected_source == "random_review", reviews.c.share)),
    sa.func.coalesce(_C.expected_source, "") == "request",
)
_SAID = sa.case((_C.calibration.is_(None), _C.probabilities), else_=_C.raw_probabilities)
