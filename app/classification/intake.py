"""From a picture's source to all that is known of it before a provider is asked."""

import hashlib
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from app.classification.question import Question
from app.classification.stopwatch import Stopwatch
from app.domains import Domain
from app.errors import ImageRejected
from app.images import (
    HeavyPicture,
    ImageReader,
    ImageSource,
    ImageWorkers,
    Journal,
    Load,
    PreparedImage,
    Stored,
    prepare,
)
from app.images.decode import PREPARATION_VERSION
from app.images.fingerprint import sha256
from app.images.quality import Finding, findings
from app.providers.base import Capabilities
from app.providers.registry import ProviderRegistry
from app.result import ImageFacts
from app.settings_groups import QualitySettings
from app.storage import AnswerRepository, KeptAnswer

T = TypeVar("T")

HASHED_AT_ONCE = 262_144
"""Bytes that are hashed in less time than a change of thread takes."""


@dataclass(frozen=True, slots=True)
class Picture:
    """
    Attributes:
        key: equal for questions that one answer serves.
        provider: whose answer that is: the first that would be asked.
        basis: what a provider looks at, or an answer that was given before and still stands.
        findings: in what it is no good picture.
        looked_at: when (time.monotonic) an answer was looked for in vain; None: it was not.
    """

    facts: ImageFacts
    key: str
    provider: str
    basis: PreparedImage | KeptAnswer
    findings: list[Finding]
    looked_at: float | None = None


class Intake:
    """Reads, recognises and prepares. A picture with an answer costs no preparation, and one that
    is known by its digest is not even read then."""

    def __init__(
        self,
        reader: ImageReader,
        workers: ImageWorkers,
        journal: Journal,
        answers: AnswerRepository,
        providers: ProviderRegistry,
        limits: QualitySettings,
    ) -> None:
        self._reader = reader
        self._workers = workers
        self._journal = journal
        self._answers = answers
        self._providers = providers
        self._limits = limits

    async def read(self, source: ImageSource) -> bytes:
        """The picture as it came. Raises what reading it raises."""
        return await self._reader.read(source)

    async def take(
        self, question: Question, domain: Domain, provider: str, stopwatch: Stopwatch
    ) -> Picture:
        """`provider` is the first that would be asked.

        Raises what reading and preparing raise, ProviderUnknown, and ImageRejected when the domain
        wants only good pictures.
        """
        capabilities = await self._providers.capabilities(provider)
        source = question.source
        load: Load | None = None
        if isinstance(source, Stored) and source.is_digest:
            digest = source.name
        else:
            data = await self._fetch(self._reader.read(source), stopwatch)
            digest, load = await self._sha256(data), lambda: data
        key = _key(digest, domain, provider, capabilities)
        looked_at = None
        if self._answers.enabled and not question.fresh:
            looked_at = time.monotonic()
            with stopwatch.time("lookup"):
                kept = await self._answers.get(key)
            if kept is not None:
                return self._picture(kept.image, key, provider, kept, domain)
        if load is None:
            load = await self._fetch(self._reader.loader(source), stopwatch)
        with stopwatch.time("prepare"):
            prepared = await self._prepare(
                load,
                longest=domain.image_size,
                sha256=digest,
                encode=capabilities.sees == "jpeg",
            )
        picture = self._picture(_facts(prepared), key, provider, prepared, domain)
        return replace(picture, looked_at=looked_at)

    async def look_ahead(self, digests: Sequence[str], domain: Domain, provider: str) -> int:
        """See AnswerRepository.look_ahead; by the pictures' SHA-256. Raises ProviderUnknown."""
        if not (self._answers.enabled and digests):
            return 0
        capabilities = await self._providers.capabilities(provider)
        keys = [_key(each, domain, provider, capabilities) for each in digests]
        return await self._answers.look_ahead(keys)

    async def is_metered(self, provider: str) -> bool:
        """Whether calls to it wait for a quota. Raises ProviderUnknown."""
        return (await self._providers.capabilities(provider)).metered

    def _picture(
        self,
        facts: ImageFacts,
        key: str,
        provider: str,
        basis: PreparedImage | KeptAnswer,
        domain: Domain,
    ) -> Picture:
        found = findings(facts.quality, self._limits) if facts.quality else []
        if found and domain.quality == "reject":
            raise ImageRejected(" ".join(each.text for each in found))
        return Picture(facts, key, provider, basis, found)

    async def let_go(self, picture: Picture) -> None:
        """Before it waits: hold the small pixels only."""
        if isinstance(picture.basis, PreparedImage) and not picture.basis.is_small:
            await self._workers.run(picture.basis.let_go)

    async def _fetch(self, reading: Awaitable[T], stopwatch: Stopwatch) -> T:
        with stopwatch.time("fetch"):
            return await reading

    async def _prepare(self, load: Load, **how: Any) -> PreparedImage:
        try:
            return await self._workers.take(self._load_and_prepare, load, light=True, **how)
        except HeavyPicture:
            return await self._workers.take_heavy(self._load_and_prepare, load, **how)

    def _load_and_prepare(self, load: Load, *, sha256: str, **how: Any) -> PreparedImage:
        data = load()
        with self._journal.decoding(sha256):
            return prepare(data, sha256=sha256, **how)

    async def _sha256(self, data: bytes) -> str:
        if len(data) <= HASHED_AT_ONCE:
            return sha256(data)
        return await self._workers.run(sha256, data)


def _key(digest: str, domain: Domain, provider: str, capabilities: Capabilities) -> str:
    answers_as = capabilities.answers_as or capabilities.model
    asked = "\n".join((digest, str(PREPARATION_VERSION), domain.version, provider, answers_as))
    return hashlib.sha256(asked.encode()).hexdigest()


def _facts(image: PreparedImage) -> ImageFacts:
    width, height = image.size
    return ImageFacts(
        sha256=image.sha256,
        format=image.format,
        width=image.width,
        height=image.height,
        bytes=image.bytes,
        phash=None if image.phash is None else f"{image.phash:016x}",
        prepared_width=width,
        prepared_height=height,
        quality=image.measures,
        warnings=list(image.warnings),
    )
