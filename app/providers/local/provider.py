"""The embedded provider: answers with no key and no network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domains import Domain
from app.errors import ProviderCannotServeDomain
from app.images import ImageWorkers, PreparedImage
from app.providers.base import Capabilities, Example, ProviderAnswer, ProviderContext
from app.providers.local.head import Head, shipped_heads
from app.providers.local.model import CROP, SIDE, EfficientNetLite, Prediction
from app.providers.local.vocabulary import Vocabulary, normalise

MODEL = "efficientnet-lite0-int8"
DATA_VERSION = 1
"""Raised with every change of the files in data/: they answer, too."""

Recogniser = Callable[[Prediction], dict[str, float]]
"""From what the model says to the probability of each label."""


@dataclass(frozen=True, slots=True)
class ZeroShot:
    """Sums what the model gives to the ImageNet leaves of each class, without renormalising: a
    picture of none of the classes leaves most of the mass elsewhere."""

    leaves: dict[str, NDArray[np.intp]]

    def __call__(self, prediction: Prediction) -> dict[str, float]:
        return {
            label: min(1.0, float(prediction.probabilities[leaves].sum()))
            for label, leaves in self.leaves.items()
        }


@dataclass(frozen=True, slots=True)
class FromHead:
    """Asks a head, under the domain's own names."""

    head: Head
    names: dict[str, str]

    def __call__(self, prediction: Prediction) -> dict[str, float]:
        found = self.head.probabilities(prediction.embedding)
        return {label: found[name] for label, name in self.names.items()}


class LocalProvider:
    """EfficientNet-Lite0: WordNet names what it knows, heads judge what it was taught."""

    name = "local"

    def __init__(self, workers: ImageWorkers) -> None:
        self._workers = workers
        self._model = EfficientNetLite()
        self._vocabulary = Vocabulary.load()
        self._heads = list(shipped_heads())
        self._recognisers: dict[tuple[str, str], Recogniser] = {}

    def capabilities(self) -> Capabilities:
        return Capabilities(
            MODEL,
            deployment=None,
            metered=False,
            confidence_source="local",
            answers_as=f"{MODEL} {DATA_VERSION}",
            sees="pixels",
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
        for head in self._heads:
            if names := _names_in(head, classes):
                return FromHead(head, names)
        owned = self._vocabulary.share_out(classes)
        unknown = [label for label, leaves in owned.items() if not leaves]
        if unknown:
            raise ProviderCannotServeDomain(
                f"The local model does not know {', '.join(map(repr, unknown))}. Give these "
                "classes an alias that is an everyday English noun, or configure Azure OpenAI or "
                "another provider for this domain."
            )
        return ZeroShot({label: np.array(sorted(leaves)) for label, leaves in owned.items()})


def _names_in(head: Head, classes: dict[str, list[str]]) -> dict[str, str] | None:
    """What the head calls each class; None unless it knows them all."""
    known = {normalise(label): label for label in head.labels}
    names = {
        label: known[normalise(name)]
        for label, all_names in classes.items()
        for name in reversed(all_names)
        if normalise(name) in known
    }
    return names if names.keys() == classes.keys() else None


def create(context: ProviderContext) -> LocalProvider:
    return LocalProvider(context.workers)
