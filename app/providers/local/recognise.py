"""From what the model says about a picture to the probability of each class: no network, no I/O."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.providers.local.head import Head, shipped_heads
from app.providers.local.model import Prediction
from app.providers.local.vocabulary import Vocabulary, normalise

Recogniser = Callable[[Prediction], dict[str, float]]
"""From what the model says to the probability of each label."""


@dataclass(frozen=True, slots=True)
class ZeroShot:
    """Sums what the model gives to the ImageNet leaves of each class, without renormalising: a
    picture of none of the classes leaves most of the mass elsewhere.

    Attributes:
        leaves: of each label; none where the model does not know it.
    """

    leaves: dict[str, NDArray[np.intp]]

    def __call__(self, prediction: Prediction) -> dict[str, float]:
        return {
            label: min(1.0, float(prediction.probabilities[leaves].sum()))
            for label, leaves in self.leaves.items()
        }

    @property
    def unknown(self) -> list[str]:
        """Labels that can't be recognised."""
        return [label for label, leaves in self.leaves.items() if not leaves.size]


@dataclass(frozen=True, slots=True)
class FromHead:
    """Asks a head, under the domain's own names."""

    head: Head
    names: dict[str, str]

    def __call__(self, prediction: Prediction) -> dict[str, float]:
        found = self.head.probabilities(prediction.embedding)
        return {label: found[name] for label, name in self.names.items()}


class Knowledge:
    """The heads and the vocabulary that come with the package."""

    def __init__(self) -> None:
        self._vocabulary = Vocabulary.load()
        self._heads = list(shipped_heads())

    def recogniser(self, classes: Mapping[str, Sequence[str]]) -> ZeroShot | FromHead:
        """What tells these classes apart, given all names (label, aliases) of each."""
        for head in self._heads:
            if names := _names_in(head, classes):
                return FromHead(head, names)
        owned = self._vocabulary.share_out(classes)
        return ZeroShot({label: np.array(sorted(each), np.intp) for label, each in owned.items()})


def _names_in(head: Head, classes: Mapping[str, Sequence[str]]) -> dict[str, str] | None:
    """What the head calls each class; None unless it knows them all."""
    known = {normalise(label): label for label in head.labels}
    names = {
        label: known[normalise(name)]
        for label, all_names in classes.items()
        for name in reversed(all_names)
        if normalise(name) in known
    }
    return names if names.keys() == classes.keys() else None
