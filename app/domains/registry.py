"""All domains the service knows: those of config/domains.yaml and those made through the API."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import structlog

from app.domains.file import read_domains
from app.domains.model import Domain
from app.errors import (
    ConfigurationError,
    ConfigurationRefused,
    DomainExists,
    DomainNotFound,
    DomainReadOnly,
)
from app.storage import DomainRepository
from app.storage.audit import By
from app.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger(__name__)


class DomainRegistry:
    """Answers from memory. The file's domains are read-only, and win over stored ones."""

    def __init__(self, path: Path, repository: DomainRepository, metrics: Metrics) -> None:
        """Raises ConfigurationError when the file is wrong."""
        self._path = path
        self._repository = repository
        self._metrics = metrics
        self._of_file = read_domains(path)
        _warn_of(self._of_file.values())
        self._stored: dict[str, Domain] = {}
        self._texts: dict[str, str] = {}
        """Texts of the stored domains, so that unchanged ones are not parsed again every time."""
        self._shadowed: set[str] = set()
        self._changing = asyncio.Lock()
        self._tell_metrics()

    async def load_stored(self) -> None:
        """Load the domains that were made through the API, by any process."""
        async with self._changing:
            await self._load()

    def reload_file(self) -> None:
        """Load the file as it is now. If it is wrong, the last good one stays in force, and this
        raises ConfigurationRefused."""
        try:
            self._of_file = read_domains(self._path)
        except ConfigurationError as error:
            self._metrics.config_reload(succeeded=False)
            log.error("domains not reloaded, the last good ones stay", reason=str(error))  # noqa: TRY400
            raise ConfigurationRefused(str(error)) from error
        self._metrics.config_reload(succeeded=True)
        self._tell_metrics()
        _warn_of(self._of_file.values())
        log.info("domains reloaded", domains=sorted(self._of_file))

    @property
    def configured(self) -> dict[str, dict[str, Any]]:
        """What the file says, by name, as in JSON."""
        return {name: each.model_dump(mode="json") for name, each in self._of_file.items()}

    def all(self) -> list[Domain]:
        """All domains, sorted by name."""
        return sorted((self._stored | self._of_file).values(), key=lambda domain: domain.name)

    def get(self, name: str) -> Domain:
        """Raises DomainNotFound, which names the known domains."""
        domain = self._of_file.get(name) or self._stored.get(name)
        if domain is None:
            known = ", ".join(each.name for each in self.all())
            raise DomainNotFound(f"There is no domain {name[:64]!r}. Known: {known}.")
        return domain

    async def find(self, name: str) -> Domain:
        """As `get`, but also finds a domain that another process has just made."""
        if name not in self._of_file and name not in self._stored:
            await self.load_stored()
        return self.get(name)

    def is_read_only(self, name: str) -> bool:
        return name in self._of_file

    async def create(self, domain: Domain, *, by: By) -> None:
        """Raises DomainExists."""
        async with self._changing:
            await self._load()
            if domain.name in self._of_file or domain.name in self._stored:
                raise _exists(domain)
            if not await self._repository.add(domain.name, domain.model_dump_json(), by=by):
                raise _exists(domain)  # another process was first
            _warn_of([domain])
            self._stored[domain.name] = domain
            self._texts.pop(domain.name, None)
            self._tell_metrics()

    async def replace(self, domain: Domain, *, by: By) -> None:
        """Raises DomainNotFound, DomainReadOnly."""
        async with self._changing:
            await self._load()
            self._check_changeable(domain.name)
            await self._repository.put(domain.name, domain.model_dump_json(), by=by)
            self._stored[domain.name] = domain
            self._texts.pop(domain.name, None)
            _warn_of([domain])

    async def delete(self, name: str, *, by: By) -> None:
        """Raises DomainNotFound, DomainReadOnly."""
        async with self._changing:
            await self._load()
            self._check_changeable(name)
            await self._repository.delete(name, by=by)
            del self._stored[name]
            self._texts.pop(name, None)
            self._tell_metrics()

    async def _load(self) -> None:
        rows = await self._repository.all()
        before, known = self._stored, self._texts
        self._texts, self._stored = (
            rows,
            {
                name: before[name] if known.get(name) == text else Domain.model_validate_json(text)
                for name, text in rows.items()
            },
        )
        if before.keys() != self._stored.keys():
            self._tell_metrics()
        shadowed = self._stored.keys() & self._of_file.keys()
        for name in shadowed - self._shadowed:
            log.warning("stored domain is shadowed", domain=name, by=str(self._path))
        self._shadowed = shadowed

    def _tell_metrics(self) -> None:
        self._metrics.domains_are(self._stored.keys() | self._of_file.keys())

    def _check_changeable(self, name: str) -> None:
        self.get(name)
        if name in self._of_file:
            raise DomainReadOnly(
                f"The domain {name!r} comes from {self._path.name}; change it there and reload."
            )


def _warn_of(domains: Iterable[Domain]) -> None:
    """Warn only: a calibration may show that votes are worth more than they seem."""
    for each in domains:
        sure = each.vote_share(each.votes, each.votes)
        if each.votes > 1 and sure < each.confidence_threshold:
            log.warning(
                "votes that all agree stay below the threshold",
                domain=each.name,
                votes=each.votes,
                confidence=round(sure, 3),
                confidence_threshold=each.confidence_threshold,
            )


def _exists(domain: Domain) -> DomainExists:
    return DomainExists(f"There is a domain {domain.name!r} already. PUT replaces it.")
