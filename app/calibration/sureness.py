"""The confidence from which an answer in a cascade goes no further."""

import asyncio
from dataclasses import dataclass
from typing import Literal

import structlog

from app.calibration.calibrations import Calibrations
from app.calibration.fitting import as_in_force
from app.calibration.labelled import read_labelled
from app.calibration.threshold import MIN_LABELS, Threshold, threshold_for
from app.domains import Domain, DomainRegistry
from app.providers.base import Examined
from app.providers.registry import ProviderRegistry
from app.storage import CalibrationKey, LabelledRepository

log = structlog.stdlib.get_logger(__name__)

Basis = Literal["given", "labels", "taught", "nothing"]

SURE_AFTER_S = 60.0
"""Between two looks at labels."""

GROWN = 1.05
"""Growth factor of labels after which they are read again."""


@dataclass(frozen=True, slots=True)
class Sureness:
    """For the answers of one provider about one domain.

    Attributes:
        threshold: None: no answer is sure enough, all go on.
        basis: where it comes from: the domain's settings, labelled answers, what the model was
            taught with, or nothing.
        found: what the labels gave.
    """

    threshold: float | None
    basis: Basis
    found: Threshold | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """A threshold from labels, and what it depends on."""

    threshold: Threshold
    labels: int
    accuracy: float
    calibration: str | None


class Surenesses:
    """Serves thresholds from memory; labels are read now and then, outside of requests."""

    def __init__(
        self,
        labelled: LabelledRepository,
        calibrations: Calibrations,
        domains: DomainRegistry,
        providers: ProviderRegistry,
    ) -> None:
        self._labelled = labelled
        self._calibrations = calibrations
        self._domains = domains
        self._providers = providers
        self._found: dict[CalibrationKey, _Found] = {}
        self._answered: dict[tuple[str, str], CalibrationKey] = {}
        self._warned: set[CalibrationKey] = set()

    async def of(self, key: CalibrationKey, domain: Domain) -> Sureness:
        """In force for these answers, of a domain that has a cascade. Raises ProviderUnknown."""
        self._answered[key.domain, key.provider] = key
        sureness = await self._of(key, domain)
        if sureness.basis == "nothing" and key not in self._warned:
            self._warned.add(key)
            log.warning(
                "nothing says when the first of a cascade is sure enough: all goes on",
                domain=key.domain,
                provider=key.provider,
            )
        return sureness

    async def now(self, provider: str, domain: Domain) -> Sureness:
        """In force for the provider's latest answers, or else for those with most labels. Raises
        ProviderUnknown."""
        key = self._answered.get((domain.name, provider))
        if key is None or key.domain_version != domain.version:
            of_it = [
                each for each in self._found if each[:3] == (domain.name, domain.version, provider)
            ]
            key = max(of_it, key=lambda each: self._found[each].labels, default=None)
        if key is None:
            key = CalibrationKey(domain.name, domain.version, provider, "", "", "")
        return await self._of(key, domain)

    async def look(self) -> None:
        """Read the labels of all domains that have a cascade. Raises StorageUnavailable."""
        found: dict[CalibrationKey, _Found] = {}
        for domain in self._domains.all():
            cascade = domain.cascade
            if cascade is None or cascade.threshold is not None:
                continue
            for key, labels in (await self._labelled.counts(domain.name, domain.version)).items():
                if key.provider in domain.providers[:-1] and labels >= MIN_LABELS:
                    known = self._found.get(key)
                    if known is None or self._is_old(known, key, labels, cascade.accuracy):
                        known = await self._find(key, cascade.accuracy)
                    found[key] = known
        self._found = found

    async def _of(self, key: CalibrationKey, domain: Domain) -> Sureness:
        if domain.cascade is None:
            return Sureness(None, "nothing")
        if domain.cascade.threshold is not None:
            return Sureness(domain.cascade.threshold, "given")
        accuracy = domain.cascade.accuracy
        # Labels take precedence, even if they show that no answer is sure enough.
        known = self._found.get(key)
        if known is not None and known.accuracy == accuracy:
            return Sureness(known.threshold.threshold, "labels", known.threshold)
        provider, *_ = await self._providers.get(key.provider)
        taught = None
        if isinstance(provider, Examined):
            taught = await provider.sure_from(domain, accuracy)
        return Sureness(taught, "nothing" if taught is None else "taught")

    def _is_old(self, known: _Found, key: CalibrationKey, labels: int, accuracy: float) -> bool:
        return (
            known.accuracy != accuracy
            or known.calibration != self._calibration_of(key)
            or not known.labels <= labels < max(known.labels * GROWN, known.labels + 1)
        )

    async def _find(self, key: CalibrationKey, accuracy: float) -> _Found:
        labelled = await read_labelled(self._labelled, key)
        calibration = self._calibrations.of(key)
        fitted = None if calibration is None else calibration.fitted

        def work() -> Threshold:
            return threshold_for(as_in_force(labelled, fitted), accuracy)

        threshold = await asyncio.to_thread(work)
        log.info(
            "a cascade's threshold was found",
            threshold=threshold.threshold,
            reason=threshold.reason,
            labels=threshold.labels,
            **key._asdict(),
        )
        used = None if calibration is None else calibration.id
        return _Found(threshold, len(labelled), accuracy, used)

    def _calibration_of(self, key: CalibrationKey) -> str | None:
        found = self._calibrations.of(key)
        return None if found is None else found.id
