"""Evaluations of stored answers: created, stored, read."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from pydantic import BaseModel, Field
from pydantic_core import from_json, to_json

from app.domains import DomainRegistry
from app.errors import BlobNotFound, InvalidRequest, Overloaded
from app.evaluation.judging import outcomes, report
from app.evaluation.page import page
from app.evaluation.report import Mistake, Outcomes, Report
from app.evaluation.stored import Labelled, Wanted
from app.evaluation.thumbnails import thumbnails
from app.identifiers import EVALUATION, new_id
from app.storage import BlobStore, EvaluationRepository, EvaluationRow

TRIES = 3
"""Attempts, as answers may be erased while they are judged."""


class Summary(BaseModel):
    """An evaluation in short."""

    id: str = Field(examples=["evl_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])
    name: str | None = Field(examples=["after the new prompt"])
    domain: str = Field(examples=["flowers"])
    caller: str = Field(description="Name of the API key.", examples=["anonymous"])
    created_at: datetime = Field(examples=["2026-01-02T03:04:05.678Z"])


class ShortEvaluation(Summary):
    """An evaluation, with its main figures."""

    n: int = Field(description="Pictures of the domain's classes.", examples=[412])
    accuracy: float = Field(examples=[0.973])
    ece: float | None = Field(description="Expected calibration error.", examples=[0.021])


class Evaluation(Summary):
    """An evaluation of labelled answers, with its report."""

    report: Report


class _Compared(NamedTuple):
    """An earlier evaluation, whose outcomes (megabytes) are only read when it is this one's
    turn."""

    id: str
    called: str


class Evaluations:
    def __init__(
        self,
        rows: EvaluationRepository,
        labelled: Labelled,
        domains: DomainRegistry,
        blobs: BlobStore,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self.labelled = labelled
        self._rows = rows
        self._domains = domains
        self._blobs = blobs
        self._clock = clock
        # One at a time: each may take tens of megabytes.
        self._turn = asyncio.Lock()

    async def judge(
        self,
        wanted: Wanted,
        *,
        caller: str,
        name: str | None = None,
        compare_with: str | None = None,
    ) -> Evaluation:
        """Judge and store. Raises what `Labelled.read` raises, EvaluationNotFound if
        `wanted.caller` sees no evaluation `compare_with`, InvalidRequest if that is of another
        domain, and Overloaded while a caller is erased."""
        compared = None if compare_with is None else await self._compared(compare_with, wanted)
        async with self._turn:
            for _ in range(TRIES):
                if (judged := await self._judge(wanted, caller, name, compared)) is not None:
                    return judged
        raise Overloaded("What is judged may just be erased: ask again in a minute.")

    async def _judge(
        self, wanted: Wanted, caller: str, name: str | None, compared: _Compared | None
    ) -> Evaluation | None:
        erased = await self._rows.erased()
        judged, truncated = await self.labelled.read(wanted)
        earlier = None if compared is None else await self._outcomes(compared, wanted.caller)
        domain = await self._domains.find(wanted.domain)
        now = self._clock()

        def work() -> tuple[Report, str, str]:
            found = report(
                judged,
                domain.labels,
                domain.confidence_threshold,
                what=wanted.words,
                domain=domain.name,
                at=now,
                truncated=truncated,
                earlier=earlier,
            )
            return found, found.model_dump_json(), to_json(outcomes(judged)).decode()

        found, as_json, kept = await asyncio.to_thread(work)
        row = EvaluationRow(new_id(EVALUATION), caller, domain.name, name, as_json, now)
        is_kept = await self._rows.insert(row, kept, erased=erased)
        return Evaluation(**_summary(row), report=found) if is_kept else None

    async def get(self, evaluation_id: str, *, caller: str | None) -> Evaluation:
        """Raises EvaluationNotFound."""
        row = await self._rows.get(evaluation_id, caller=caller)
        return await asyncio.to_thread(_whole, row)

    async def page(
        self, domain: str | None, *, caller: str | None, before: str | None, limit: int
    ) -> list[ShortEvaluation]:
        """Newest first, at most `limit`, older than the id `before`."""
        rows = await self._rows.page(domain, caller=caller, before=before, limit=limit)
        return await asyncio.to_thread(lambda: [_short(row) for row in rows])

    async def delete(self, evaluation_id: str, *, caller: str | None) -> None:
        """Raises EvaluationNotFound."""
        await self._rows.delete(evaluation_id, caller=caller)

    async def as_page(self, evaluation_id: str, *, caller: str | None) -> str:
        """For people: HTML, with those of its pictures that are still stored. Raises
        EvaluationNotFound."""
        found = await self.get(evaluation_id, caller=caller)
        small = await thumbnails(found.report, self.picture)
        return await asyncio.to_thread(page, found.report, small, name=found.name)

    async def picture(self, mistake: Mistake) -> bytes:
        """As received. Raises BlobNotFound, StorageUnavailable."""
        if mistake.sha256 is None:
            raise BlobNotFound("The picture is not kept any more.")
        return await self._blobs.get(mistake.sha256)

    async def _compared(self, evaluation_id: str, wanted: Wanted) -> _Compared:
        row = await self._rows.get(evaluation_id, caller=wanted.caller)
        if row.domain != wanted.domain:
            raise InvalidRequest(f"{row.id} is an evaluation of the domain {row.domain!r}.")
        return _Compared(row.id, row.name or row.id)

    async def _outcomes(self, compared: _Compared, caller: str | None) -> tuple[str, Outcomes]:
        kept = await self._rows.outcomes(compared.id, caller=caller)
        return compared.called, await asyncio.to_thread(from_json, kept)


def _summary(row: EvaluationRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in Summary.model_fields}


def _whole(row: EvaluationRow) -> Evaluation:
    return Evaluation(**_summary(row), report=Report.model_validate_json(row.report))


def _short(row: EvaluationRow) -> ShortEvaluation:
    told = from_json(row.report)
    return ShortEvaluation(
        **_summary(row), **{name: told[name] for name in ("n", "accuracy", "ece")}
    )
