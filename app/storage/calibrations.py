"""Calibrations of confidence, by version. All SQL for them is here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from app.errors import CalibrationNotFound
from app.storage.audit import By
from app.storage.database import Database
from app.storage.tables import calibrations
from app.storage.versions import Mark, Versions


class CalibrationKey(NamedTuple):
    """Whose answers, the source of their confidence, and the domain; `revision` as in
    ProviderAnswer."""

    domain: str
    domain_version: str
    provider: str
    model: str
    confidence_source: str
    revision: str


@dataclass(frozen=True, slots=True)
class CalibrationRow:
    """A version. For each key, the newest version not withdrawn is in force.

    Attributes:
        labels: number of pictures that it was fitted on.
        ece_before, ece_after: expected calibration error on these pictures, 0 to 1; after: each by
            a fit that had not seen it.
        fitted: JSON, opaque to this module.
    """

    id: str
    key: CalibrationKey
    method: str
    labels: int
    ece_before: float
    ece_after: float
    fitted: str
    created_at: datetime
    withdrawn_at: datetime | None = None


class CalibrationRepository:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._versions = Versions(database, calibrations, _KEY, withdrawn="calibration.withdrawn")

    async def mark(self) -> Mark:
        return await self._versions.mark()

    async def in_force(self) -> list[CalibrationRow]:
        """At most one of each key."""
        return await self._rows(self._versions.in_force())

    async def newest(self, domain: str) -> Mapping[CalibrationKey, tuple[int, datetime]]:
        """For each key, the number of labels that its newest version was fitted on, and when;
        withdrawn or not."""
        newest = sa.select(sa.func.max(_C.id)).where(_C.domain == domain).group_by(*_KEY)
        query = sa.select(*_KEY, _C.labels, _C.created_at).where(_C.id.in_(newest))

        def unit(connection: sa.Connection) -> dict[CalibrationKey, tuple[int, datetime]]:
            rows = connection.execute(query)
            return {CalibrationKey(*key): (labels, at) for *key, labels, at in rows}

        return await self._database.read(unit)

    async def of_domain(self, domain: str, *, limit: int) -> list[CalibrationRow]:
        """Newest first, at most `limit`."""
        query = sa.select(calibrations).where(_C.domain == domain).order_by(_C.id.desc())
        return await self._rows(query.limit(limit))

    async def get(self, calibration_id: str) -> CalibrationRow:
        """Raises CalibrationNotFound."""
        rows = await self._rows(sa.select(calibrations).where(_C.id == calibration_id))
        if not rows:
            raise CalibrationNotFound(f"There is no calibration {calibration_id}.")
        return rows[0]

    async def add(self, row: CalibrationRow) -> None:
        values = {name: getattr(row, name) for name in row.__slots__ if name != "key"}
        await self._database.change(sa.insert(calibrations), values | row.key._asdict())

    async def withdraw(self, domain: str, calibration_id: str, now: datetime, *, by: By) -> None:
        """Raises CalibrationNotFound where the domain has no calibration of this id that is not
        withdrawn."""
        if not await self._versions.withdraw(domain, calibration_id, now, by):
            raise CalibrationNotFound(
                f"The domain {domain!r} has no calibration {calibration_id} that is not withdrawn."
            )

    async def _rows(self, query: sa.Select[Any]) -> list[CalibrationRow]:
        return [_row_of(row) for row in await self._database.mappings(query)]


def _row_of(row: sa.RowMapping) -> CalibrationRow:
    values = dict(row)
    return CalibrationRow(
        key=CalibrationKey(*(values.pop(name) for name in CalibrationKey._fields)), **values
    )


_C = calibrations.c
_KEY: Sequence[sa.Column[str]] = [_C[name] for name in CalibrationKey._fields]
