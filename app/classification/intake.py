"""From a picture's source to all that is known about it before a provider is asked."""

import hashlib
import time
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from app.classification.asking import answer_of
from app.classification.cascade import Standing, answering
from app.classification.question import Question
from app.classification.showing import Showing
from app.classification.stopwatch import Stopwatch
from app.domains import Domain
from app.errors import ImageRejected, ProviderUnknown
from app.images import (
    PREPARATION_VERSION,
    Finding,
    HeavyPicture,
    ImageReader,
    ImageSource,
    ImageWorkers,
    Journal,
    Load,
    PreparedImage,
    Stored,
    Upload,
    findings,
    prepare,
    sha256,
)
from app.providers.base import Capabilities
from app.providers.registry import ProviderRegistry
from app.result import ImageFacts
from app.settings_groups import QualitySettings
from app.storage import AnswerRepository, KeptAnswer

T = TypeVar("T")

HASHED_AT_ONCE = 262_144
"""Up to this many bytes are hashed in less time than a switch of threads takes."""


@dataclass(frozen=True, slots=True)
class Picture:
    """
    Attributes:
        keys: by provider, for the providers whose answer will do, in the order in which they would
            be asked; equal for questions that the same answer of the provider serves.
        learned: by provider, an id of what it had learned when the keys were made.
        basis: what a provider looks at, or an earlier answer that still stands.
        findings: what is wrong with the quality of the picture.
        looked_at: when (time.monotonic) a kept answer was looked for and not found, else None.
        source: where a picture that was not prepared can be read again.
    """

    facts: ImageFacts
    keys: Mapping[str, str]
    learned: Mapping[str, str]
    basis: PreparedImage | KeptAnswer
    findings: list[Finding]
    looked_at: float | None = None
    source: ImageSource | None = None

    @property
    def key(self) -> str:
        """Equal for questions that one call can answer."""
        return next(iter(self.keys.values()))


class Intake:
    """Reads, recognises and prepares pictures. One that has an answer already is not prepared, and
    if its digest is known it is not even read."""

    def __init__(
        self,
        reader: ImageReader,
        workers: ImageWorkers,
        journal: Journal,
        answers: AnswerRepository,
        providers: ProviderRegistry,
        limits: QualitySettings,
        standing: Standing,
        showing: Showing,
    ) -> None:
        self._reader = reader
        self._workers = workers
        self._journal = journal
        self._answers = answers
        self._providers = providers
        self._limits = limits
        self._standing = standing
        self._showing = showing

    async def read(self, source: ImageSource) -> bytes:
        """The picture as it came. Raises what reading it raises."""
        return await self._reader.read(source)

    async def take(
        self, question: Question, domain: Domain, names: Sequence[str], stopwatch: Stopwatch
    ) -> Picture:
        """`names` are the providers that would be asked, in this order.

        Raises what reading and preparing raise, ProviderUnknown, and ImageRejected when the domain
        wants only good pictures.
        """
        source = question.source
        load: Load | None = None
        again: ImageSource = source
        if isinstance(source, Stored) and source.is_digest:
            digest = source.name
        else:
            data = await self._fetch(self._reader.read(source), stopwatch)
            digest, load, again = await self._sha256(data), lambda: data, Upload(data)
        every = await self._capabilities(names, domain)
        learned = {name: await self._learned(name, each, domain) for name, each in every.items()}
        keys = {
            name: _key(digest, domain, name, each, learned[name]) for name, each in every.items()
        }
        looked_at = None
        if self._answers.enabled and not question.fresh:
            looked_at = time.monotonic()
            with stopwatch.time("lookup"):
                kept = await self._kept(keys, answering(names, domain)[-1], domain)
            if kept is not None:
                picture = self._picture(kept.image, keys, learned, kept, domain)
                return replace(picture, source=again)
        if load is None:
            load = await self._fetch(self._reader.loader(source), stopwatch)
        with stopwatch.time("prepare"):
            prepared = await self._prepare(
                load,
                longest=domain.image_size,
                sha256=digest,
                encode=every[names[0]].sees == "jpeg",
            )
        picture = self._picture(_facts(prepared), keys, learned, prepared, domain)
        return replace(picture, looked_at=looked_at)

    async def jpeg(self, picture: Picture, domain: Domain) -> bytes:
        """The picture as a provider gets it, even if none had to look at it. Raises what reading
        and preparing raise."""
        if isinstance(picture.basis, PreparedImage):
            return await self._workers.run(lambda basis: basis.jpeg, picture.basis)
        assert picture.source is not None  # noqa: S101 - of a kept answer
        return await self.jpeg_of(picture.source, domain, sha256=picture.facts.sha256)

    async def jpeg_of(self, source: ImageSource, domain: Domain, *, sha256: str) -> bytes:
        """The same for a picture that `take` has not seen. Raises what reading and preparing
        raise."""
        load = await self._reader.loader(source)
        prepared = await self._prepare(load, longest=domain.image_size, sha256=sha256, encode=True)
        return await self._workers.run(lambda each: each.jpeg, prepared)

    async def prepare(self, source: ImageSource, domain: Domain) -> PreparedImage:
        """The picture with its pixels. Raises what reading and preparing raise."""
        data = await self._reader.read(source)
        digest = await self._sha256(data)
        return await self._prepare(
            lambda: data, longest=domain.image_size, sha256=digest, encode=False
        )

    async def look_ahead(self, digests: Sequence[str], domain: Domain, names: Sequence[str]) -> int:
        """See AnswerRepository.look_ahead; `digests` are the pictures' SHA-256. Returns the count
        of the provider with the most kept answers. Raises ProviderUnknown."""
        if not (self._answers.enabled and digests):
            return 0
        found = []
        for name, capabilities in (await self._capabilities(names, domain)).items():
            learned = await self._learned(name, capabilities, domain)
            keys = [_key(each, domain, name, capabilities, learned) for each in digests]
            found.append(await self._answers.look_ahead(keys))
        return max(found)

    async def is_metered(self, names: Sequence[str], domain: Domain) -> bool:
        """Whether calls wait for a quota. Raises ProviderUnknown."""
        every = await self._capabilities(names, domain)
        return any(each.metered for each in every.values())

    async def _capabilities(self, names: Sequence[str], domain: Domain) -> dict[str, Capabilities]:
        """By provider, for those whose answers will do; the first of them has to exist."""
        first, *others = answering(names, domain)
        found = {first: await self._providers.capabilities(first)}
        for name in others:
            with suppress(ProviderUnknown):
                found[name] = await self._providers.capabilities(name)
        return found

    async def _learned(self, name: str, capabilities: Capabilities, domain: Domain) -> str:
        """What answers depend on besides the domain's version."""
        learned = await self._providers.learned(name, domain)
        return learned or (self._showing.lesson(domain) if capabilities.takes_examples else "")

    async def _kept(self, keys: Mapping[str, str], last: str, domain: Domain) -> KeptAnswer | None:
        """The first kept answer that is sure enough by what is known now, else that of the `last`
        provider, which stands whatever the cascade's threshold: it may have been paid for."""
        for name, key in keys.items():
            kept = await self._answers.get(key)
            if kept is not None and (
                name == last or await self._standing.stands(answer_of(kept), name, domain)
            ):
                return kept
        return None

    def _picture(
        self,
        facts: ImageFacts,
        keys: Mapping[str, str],
        learned: Mapping[str, str],
        basis: PreparedImage | KeptAnswer,
        domain: Domain,
    ) -> Picture:
        found = findings(facts.quality, self._limits) if facts.quality else []
        if found and domain.quality == "reject":
            raise ImageRejected(" ".join(each.text for each in found))
        return Picture(facts, keys, learned, basis, found)

    async def let_go(self, picture: Picture) -> None:
        """Hold only the small pixels of a picture that has to wait."""
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


def _key(
    digest: str, domain: Domain, provider: str, capabilities: Capabilities, learned: str
) -> str:
    answers_as = capabilities.answers_as or capabilities.model
    asked = [digest, str(PREPARATION_VERSION), domain.version, provider, answers_as]
    if learned:
        asked += [domain.name, learned]
    return hashlib.sha256("\n".join(asked).encode()).hexdigest()


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
