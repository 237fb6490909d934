"""The embedded provider: answers with no key and no network."""

from collections.abc import Sequence

import numpy as np

from app.domains import Domain
from app.errors import ProviderCannotServeDomain
from app.images import ImageWorkers, PreparedImage
from app.providers.base import Capabilities, Example, ProviderAnswer, ProviderContext
from app.providers.local.model import CROP, SIDE, EfficientNetLite, Prediction
from app.providers.local.recognise import Knowledge, Recogniser, ZeroShot

MODEL = "efficientnet-lite0-int8"
DATA_VERSION = 1
"""Raised with every change of the files in data/: they answer, too."""


class LocalProvider:
    """EfficientNet-Lite0: WordNet names what it knows, heads judge what it was taught."""

    name = "local"

    def __init__(self, workers: ImageWorkers) -> None:
        self._workers = workers
        self._model = EfficientNetLite()
        self._knowledge = Knowledge()
        self._recognisers: dict[tuple[str, str], Recogniser] = {}

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
        """Raises ProviderCannotServeDomain. Takes milliseconds, so `timeout` plays no part."""
        recognise = self._recogniser(domain)
        probabilities = recognise(await self._workers.run(self._look, image))
        label: str | None = max(probabilities, key=probabilities.__getitem__)
        if domain.allow_none and 1 - sum(probabilities.values()) > probabilities[label or ""]:
            label = None
        return ProviderAnswer(label, probabilities, "local", MODEL)

    async def aclose(self) -> None:
        self._recognisers.clear()

    def _look(self, image: PreparedImage) -> Prediction:
        return self._model.run(np.asarray(image.square(SIDE, CROP)))

    def _recogniser(self, domain: Domain) -> Recogniser:
        key = (domain.name, domain.version)
        if key not in self._recognisers:
            self._recognisers[key] = self._build_recogniser(domain)
        return self._recognisers[key]

    def _build_recogniser(self, domain: Domain) -> Recogniser:
        classes = {each.label: [each.label, *each.aliases] for each in domain.classes}
        recognise = self._knowledge.recogniser(classes)
        if isinstance(recognise, ZeroShot) and recognise.unknown:
            unknown = ", ".join(map(repr, recognise.unknown))
            raise ProviderCannotServeDomain(
                f"The local model does not know {unknown}. Give these classes an alias that "
                "is an everyday English noun, or configure Azure OpenAI or another provider for "
                "this domain."
            )
        return recognise


def create(context: ProviderContext) -> LocalProvider:
    return LocalProvider(context.workers)
