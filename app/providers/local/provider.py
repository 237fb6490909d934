"""The embedded provider: answers without a key and without a network."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from app.domains import ACCURACY, Domain
from app.errors import ProviderCannotServeDomain
from app.images import ImageWorkers, PreparedImage
from app.providers.base import Capabilities, Example, ProviderAnswer, ProviderContext
from app.providers.local.head import Head
from app.providers.local.model import CROP, SIDE, EfficientNetLite, Prediction
from app.providers.local.recognise import (
    FromHead,
    Knowledge,
    Recogniser,
    Recognition,
    ZeroShot,
    from_head,
)
from app.providers.taught import Taught, TaughtHead

log = structlog.stdlib.get_logger(__name__)

MODEL = "efficientnet-lite0-int8"
DATA_VERSION = 2
"""Increased with every change of the files in data/ or of how they are used: both affect
answers."""


class Known(NamedTuple):
    """
    Attributes:
        lesson: the one in force when this was made; None: there was none.
        revision: of its answers.
    """

    lesson: str | None
    recognise: Recogniser
    revision: str


class LocalProvider:
    """EfficientNet-Lite0: WordNet maps class names to what the model knows, heads recognise what
    was taught. Heads taught while the service runs take precedence over the shipped ones."""

    name = "local"

    def __init__(self, workers: ImageWorkers, taught: Taught) -> None:
        self._workers = workers
        self._taught = taught
        self._model = EfficientNetLite()
        self._knowledge = Knowledge()
        self._known: dict[tuple[str, str], Known] = {}
        self._getting_to_know = asyncio.Lock()

    @property
    def model_sha256(self) -> str:
        """Of the model file that makes the embeddings."""
        return self._model.sha256

    def capabilities(self) -> Capabilities:
        return Capabilities(
            MODEL,
            deployment=None,
            metered=False,
            confidence_source="local",
            answers_as=f"{MODEL} {DATA_VERSION}",
            sees="pixels",
            embedded=True,
        )

    def estimate_tokens(self, image: PreparedImage, domain: Domain) -> int:
        return 0

    async def classify(
        self,
        image: PreparedImage,
        domain: Domain,
        *,
        timeout: float,
        code_order: Sequence[int] | None = None,
        examples: Sequence[Example] = (),
    ) -> ProviderAnswer:
        """Raises ProviderCannotServeDomain. Takes milliseconds, so `timeout` is not used."""
        known = await self._knows(domain)
        seen = await self._workers.run(self._look, image, known.recognise)
        label, probabilities = seen.answer(allow_none=domain.allow_none)
        return ProviderAnswer(
            label,
            probabilities,
            "local",
            MODEL,
            out_of_domain=seen.out_of_domain,
            revision=known.revision,
            learned=known.lesson or "",
        )

    def learned(self, domain: Domain) -> str:
        """The revision of the lesson in force; empty: none."""
        taught = self._taught.of(domain.name)
        return "" if taught is None else taught.revision

    def embed(self, image: PreparedImage) -> NDArray[np.float32]:
        """(1280,), of length 1: what heads are taught with. Takes milliseconds of CPU: call it
        outside the event loop."""
        embedding = self._see(image).embedding
        return np.asarray(embedding / np.linalg.norm(embedding))

    async def sure_from(self, domain: Domain, accuracy: float) -> float | None:
        """The threshold of the domain's head, if it was chosen for at least this accuracy."""
        taught = self._taught.of(domain.name)
        try:
            known = await self._knows(domain)
        except ProviderCannotServeDomain:
            return None
        from_lesson = taught is not None and known.revision == taught.revision
        sought_for = taught.accuracy if taught and from_lesson else ACCURACY
        if accuracy > sought_for or not isinstance(known.recognise, FromHead):
            return None
        return known.recognise.threshold

    async def aclose(self) -> None:
        self._known.clear()

    def _look(self, image: PreparedImage, recognise: Recogniser) -> Recognition:
        return recognise(self._see(image))

    def _see(self, image: PreparedImage) -> Prediction:
        return self._model.run(np.asarray(image.square(SIDE, CROP)))

    async def _knows(self, domain: Domain) -> Known:
        key, taught = (domain.name, domain.version), self._taught.of(domain.name)
        lesson = taught and taught.revision
        known = self._known.get(key)
        if known is None or known.lesson != lesson:
            async with self._getting_to_know:  # a new head is read once, not for every request
                known = self._known.get(key)
                if known is None or known.lesson != lesson:
                    known = await self._workers.run(self._get_to_know, domain, taught)
                    self._known[key] = known
        return known

    def _get_to_know(self, domain: Domain, taught: TaughtHead | None) -> Known:
        classes = {each.label: [each.label, *each.aliases] for each in domain.classes}
        if taught is None:
            return Known(None, self._came_with_it(classes), str(DATA_VERSION))
        if (head := self._readable(taught)) and (found := from_head(head, classes)):
            return Known(taught.revision, found, taught.revision)
        return Known(taught.revision, self._came_with_it(classes), str(DATA_VERSION))

    def _readable(self, taught: TaughtHead) -> Head | None:
        """None if it can't be read, or was taught with the embeddings of another model file."""
        try:
            head = Head.parse(taught.content)
        except (ValueError, LookupError, TypeError) as error:
            reason = str(error)
            log.error("a lesson can't be read, and is left out", id=taught.revision, reason=reason)  # noqa: TRY400
            return None
        if head.model_sha256 != self.model_sha256:
            log.warning("a lesson is about another model, and is left out", id=taught.revision)
            return None
        return head

    def _came_with_it(self, classes: dict[str, list[str]]) -> Recogniser:
        recognise = self._knowledge.recogniser(classes)
        if isinstance(recognise, ZeroShot) and recognise.unknown:
            unknown = ", ".join(map(repr, recognise.unknown))
            raise ProviderCannotServeDomain(
                f"The local model does not know {unknown}. Give these classes an alias that "
                "is an everyday English noun, teach it with a few examples of each, or configure "
                "Azure OpenAI or another provider for this domain."
            )
        return recognise


def create(context: ProviderContext) -> LocalProvider:
    return LocalProvider(context.workers, context.taught)
