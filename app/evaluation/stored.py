"""Stored answers, judged by their labels."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.domains import DomainRegistry
from app.errors import InvalidRequest, NothingLabelled
from app.evaluation.judged import READ, Judged
from app.evaluation.words import day
from app.result import FIELDS
from app.storage import BatchRepository, ExportRepository, ResultFilter
from app.storage.exporting import Values

MOST = 50_000
"""Answers judged at once: the newest ones."""

_EXPECTED, _STATUS = FIELDS.index("expected"), FIELDS.index("status")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which labelled results: of a batch, or of a period and a provider; None: any.

    Attributes:
        caller: the owner; None: all callers.
    """

    domain: str
    caller: str | None = None
    batch_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    provider: str | None = None

    @property
    def words(self) -> str:
        if self.batch_id is not None:
            return f"batch {self.batch_id}"
        said = ["stored results"]
        if self.provider is not None:
            said.append(f"of {self.provider}")
        if self.since is not None:
            said.append(f"since {day(self.since)}")
        if self.until is not None:
            said.append(f"until {day(self.until)}")
        return " ".join(said)


class Labelled:
    """Reads stored results that have a label."""

    def __init__(
        self, exports: ExportRepository, batches: BatchRepository, domains: DomainRegistry
    ) -> None:
        self._exports = exports
        self._batches = batches
        self._domains = domains

    async def read(self, wanted: Wanted) -> tuple[list[Judged], bool]:
        """Newest first, at most MOST of them, and whether there are more. Raises DomainNotFound,
        BatchNotFound, InvalidRequest for a batch of another domain, and NothingLabelled."""
        await self._domains.find(wanted.domain)
        if wanted.batch_id is not None:
            batch = await self._batches.get(wanted.batch_id, caller=wanted.caller)
            if batch.domain != wanted.domain:
                raise InvalidRequest(f"{batch.id} is a batch of the domain {batch.domain!r}.")
        found: list[Judged] = []
        async for page in self._pages(wanted):
            # In a thread: building them takes milliseconds.
            found += await asyncio.to_thread(_judged, page)
            if wanted.batch_id is not None:
                del found[: -MOST - 1]  # a batch's last items are the newest
            elif len(found) > MOST:
                break
        if wanted.batch_id is not None:
            found.reverse()
        if not found:
            raise NothingLabelled(
                f"No answer among {wanted.words} of the domain {wanted.domain!r} has a true class "
                "to judge it by: send `expected` with pictures, or PUT /results/{id}/expected."
            )
        return found[:MOST], len(found) > MOST

    def _pages(self, wanted: Wanted) -> AsyncIterator[list[Values]]:
        if wanted.batch_id is not None:
            return self._exports.items(wanted.batch_id, READ)
        matching = ResultFilter(
            domain=wanted.domain,
            provider=wanted.provider,
            caller=wanted.caller,
            since=wanted.since,
            until=wanted.until,
            labelled=True,
        )
        return self._exports.results(matching, READ)


def _judged(page: list[Values]) -> list[Judged]:
    return [Judged.of(values) for values in page if _is_labelled(values)]


def _is_labelled(values: list[Any]) -> bool:
    return values[_EXPECTED] is not None and values[_STATUS] not in ("pending", "deleted")
