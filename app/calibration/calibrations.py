"""The calibrations in force, and fitting new ones from labels, automatically or on demand."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

import structlog

from app.calibration.calibration import Calibration
from app.calibration.fitting import MIN_LABELS, fit, too_few
from app.calibration.labelled import read_labelled
from app.domains import Domain, DomainRegistry
from app.errors import CalibrationNotFound, CalibrationRefused, TooFewLabels
from app.identifiers import CALIBRATION, new_id
from app.providers.base import ProviderAnswer
from app.storage import CalibrationKey, CalibrationRepository, CalibrationRow, LabelledRepository
from app.storage.audit import By
from app.storage.turns import Turns
from app.storage.versions import Mark
from app.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger(__name__)

GROWN = 1.2
"""Growth factor of labels after which a new version is fitted automatically."""

LOOKED_EVERY_S = 300.0

MOST_LISTED = 1_000


@dataclass(frozen=True, slots=True)
class Version:
    """
    Attributes:
        in_force: it is the version that calibrates answers.
    """

    row: CalibrationRow
    in_force: bool


@dataclass(frozen=True, slots=True)
class NotFitted:
    """Why there is no new version for these answers."""

    key: CalibrationKey
    reason: TooFewLabels | CalibrationRefused


def key_of(answer: ProviderAnswer, provider: str, domain: Domain) -> CalibrationKey:
    return CalibrationKey(
        domain.name,
        domain.version,
        provider,
        answer.model,
        answer.confidence_source,
        answer.revision,
    )


class Calibrations:
    """Serves calibrations from memory; changes by other processes arrive with the next `load`."""

    def __init__(
        self,
        stored: CalibrationRepository,
        labelled: LabelledRepository,
        domains: DomainRegistry,
        metrics: Metrics,
        *,
        turns: Turns,
        clock: Callable[[], datetime],
    ) -> None:
        self._stored = stored
        self._labelled = labelled
        self._domains = domains
        self._metrics = metrics
        self._turns = turns
        self._clock = clock
        self._mark: tuple[Mark, dict[str, str]] | None = None
        self._in_force: dict[CalibrationKey, Calibration] = {}
        self._looked: dict[CalibrationKey, tuple[int, datetime]] = {}
        self._fitting = asyncio.Lock()

    def of(self, key: CalibrationKey) -> Calibration | None:
        """The calibration in force for these answers."""
        return self._in_force.get(key)

    async def find(self, calibration_id: str) -> Calibration | None:
        """Including versions no longer in force. None: it does not exist or can't be read. Raises
        StorageUnavailable."""
        for each in self._in_force.values():
            if each.id == calibration_id:
                return each
        try:
            return _readable(await self._stored.get(calibration_id))
        except CalibrationNotFound:
            return None

    async def load(self) -> None:
        """Read what is in force now, if anything changed. Raises StorageUnavailable."""
        versions = {each.name: each.version for each in self._domains.all()}
        mark = await self._stored.mark(), versions
        if mark == self._mark:
            return
        rows = [
            row
            for row in await self._stored.in_force()
            if versions.get(row.key.domain) == row.key.domain_version
        ]
        found = [each for each in map(_readable, rows) if each is not None]
        self._in_force = {each.key: each for each in found}
        self._mark = mark
        self._metrics.calibration_errors(_errors(found))

    async def versions(self, domain: str) -> list[Version]:
        """Newest first. Raises DomainNotFound, StorageUnavailable."""
        await self._domains.find(domain)
        await self.load()
        return [
            Version(row, self._is_in_force(row))
            for row in await self._stored.of_domain(domain, limit=MOST_LISTED)
        ]

    async def withdraw(self, domain: str, calibration_id: str, *, by: By) -> None:
        """The previous version is in force again, until there are more labels than it had. Raises
        CalibrationNotFound, StorageUnavailable."""
        await self._stored.withdraw(domain, calibration_id, self._clock(), by=by)
        await self.load()

    async def fit(
        self, domain: str, *, provider: str | None = None, model: str | None = None
    ) -> tuple[list[Calibration], list[NotFitted]]:
        """Fit new versions for all kinds of answers that have labels. Raises DomainNotFound,
        StorageUnavailable; and, if none can be fitted, TooFewLabels or CalibrationRefused."""
        known = await self._domains.find(domain)
        fitted, refused = [], []
        for key in await self._labelled.counts(known.name, known.version):
            if provider in (None, key.provider) and model in (None, key.model):
                try:
                    fitted.append(await self._fit(key))
                except (TooFewLabels, CalibrationRefused) as error:
                    refused.append(NotFitted(key, error))
        if not fitted:
            raise refused[0].reason if refused else too_few(0, MIN_LABELS)
        return fitted, refused

    async def look(self) -> None:
        """Fit anew where labels have grown enough, if it is this process's turn. Raises
        StorageUnavailable."""
        if not await self._turns.is_mine():
            return
        for domain in self._domains.all():
            before = await self._stored.newest(domain.name)
            for key, count in (await self._labelled.counts(domain.name, domain.version)).items():
                known = [each for each in (before.get(key), self._looked.get(key)) if each]
                most = max((labels for labels, _ in known), default=0)
                if count >= max(most * GROWN, MIN_LABELS) or (
                    known and await self._are_others(key, most, max(at for _, at in known))
                ):
                    await self._try(key, count)

    async def _are_others(self, key: CalibrationKey, labels: int, since: datetime) -> bool:
        """Whether enough labels are new although their number did not grow: old ones leave the
        window."""
        found = await self._labelled.counts(key.domain, key.domain_version, since=since)
        return found.get(key, 0) >= max(labels, MIN_LABELS) * (GROWN - 1)

    async def _try(self, key: CalibrationKey, count: int) -> None:
        self._looked[key] = (count, self._clock())
        try:
            await self._fit(key)
        except (TooFewLabels, CalibrationRefused) as error:
            log.warning("no new calibration", reason=str(error), **key._asdict())

    async def _fit(self, key: CalibrationKey) -> Calibration:
        async with self._fitting:  # a fit takes a core and some memory
            labelled = await read_labelled(self._labelled, key)
            found = await asyncio.to_thread(fit, labelled)
        row = CalibrationRow(
            id=new_id(CALIBRATION),
            key=key,
            method=found.method,
            labels=found.labels,
            ece_before=found.ece_before,
            ece_after=found.ece_after,
            fitted=found.fitted.model_dump_json(exclude_none=True),
            created_at=self._clock(),
        )
        await self._stored.add(row)
        await self.load()
        log.info(
            "calibrated",
            id=row.id,
            method=row.method,
            labels=row.labels,
            ece_before=row.ece_before,
            ece_after=row.ece_after,
            **key._asdict(),
        )
        return Calibration.of(row)

    def _is_in_force(self, row: CalibrationRow) -> bool:
        found = self._in_force.get(row.key)
        return found is not None and found.id == row.id


def _readable(row: CalibrationRow) -> Calibration | None:
    try:
        return Calibration.of(row)
    except ValueError as error:
        log.error("a calibration can't be read, and is left out", id=row.id, reason=str(error))  # noqa: TRY400
        return None


def _errors(found: Iterable[Calibration]) -> dict[tuple[str, str], float]:
    """By domain and provider, of the newest."""
    newest = sorted(found, key=lambda each: each.id)
    return {(each.key.domain, each.key.provider): each.ece_after for each in newest}
