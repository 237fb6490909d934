"""From the model's output to the probability of each class: no network, no I/O."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.providers.local.head import Head, shipped_heads
from app.providers.local.model import Prediction
from app.providers.local.neighbours import Neighbours
from app.providers.local.vocabulary import Vocabulary, normalise

ELSEWHERE: Final = 0.8
"""A picture is out of domain when the model gives more than this to labels of no class. With less,
the model is only unsure: `python -m training.measure_zero_shot` counts both."""


class Recognition(NamedTuple):
    """What a picture may show.

    Attributes:
        probabilities: of each class, given that the picture shows what was taught; the remainder to
            1 is the probability of "none of these".
        belongs: how well the picture fits what was taught, 0 to 1, as far as `probabilities` do not
            say it.
        out_of_domain: the picture looks like nothing that is known of these classes.
    """

    probabilities: dict[str, float]
    belongs: float
    out_of_domain: bool

    def answer(self, *, allow_none: bool) -> tuple[str | None, dict[str, float]]:
        """Return the most probable label, None for "none of these" where that is allowed, and the
        probabilities to report. A picture that looks like nothing known makes every class
        improbable, even where the answer must be a class: then only what lies beyond the bound
        counts."""
        share = self.belongs if allow_none else min(1.0, 2 * self.belongs)
        told = {label: p * share for label, p in self.probabilities.items()}
        label = max(told, key=told.__getitem__)
        none_of_these = 1 - sum(told.values())
        return None if allow_none and none_of_these > told[label] else label, told


Recogniser = Callable[[Prediction], Recognition]


@dataclass(frozen=True, slots=True)
class ZeroShot:
    """Sums the model's probabilities of the ImageNet leaves of each class, without renormalising:
    for a picture of none of the classes most of the probability lies elsewhere.

    Attributes:
        leaves: of each label; empty where the model does not know it.
    """

    leaves: dict[str, NDArray[np.intp]]

    def __call__(self, prediction: Prediction) -> Recognition:
        masses = {
            label: min(1.0, float(prediction.probabilities[leaves].sum()))
            for label, leaves in self.leaves.items()
        }
        return Recognition(masses, 1.0, 1 - sum(masses.values()) > ELSEWHERE)

    @property
    def unknown(self) -> list[str]:
        """Labels that can't be recognised."""
        return [label for label, leaves in self.leaves.items() if not leaves.size]


class FromHead:
    """Applies a head, under the domain's own names.

    Classes of the head that are not in the domain count as none of these, and their examples are
    not used to judge which pictures belong.
    """

    def __init__(self, head: Head, names: Mapping[str, Sequence[str]]) -> None:
        """`names`: the head's label or labels for each class of the domain."""
        self._head = head
        self._names = names
        asked = {head.labels.index(name) for each in names.values() for name in each}
        self._taught: Neighbours | None = head.taught and head.taught.only(asked)

    @property
    def threshold(self) -> float | None:
        """The head's threshold; None also where the domain does not use all of the head's
        classes."""
        asked = sum(map(len, self._names.values()))
        return self._head.threshold if asked == len(self._head.labels) else None

    def __call__(self, prediction: Prediction) -> Recognition:
        found = self._head.probabilities(prediction.embedding)
        probabilities = {
            label: min(1.0, sum(found[name] for name in names))
            for label, names in self._names.items()
        }
        belongs = self._taught.belongs(prediction.embedding) if self._taught else 1.0
        return Recognition(probabilities, belongs, belongs < 0.5)


def from_head(head: Head, classes: Mapping[str, Sequence[str]]) -> FromHead | None:
    """None unless the head knows all the classes, given all names (label, aliases) of each."""
    names = _names_in(head, classes)
    return None if names is None else FromHead(head, names)


class Knowledge:
    """The heads and the vocabulary shipped with the package."""

    def __init__(self) -> None:
        self._vocabulary = Vocabulary.load()
        self._heads = list(shipped_heads())

    def recogniser(self, classes: Mapping[str, Sequence[str]]) -> ZeroShot | FromHead:
        """A recogniser for these classes, given all names (label, aliases) of each."""
        for head in self._heads:
            if found := from_head(head, classes):
                return found
        owned = self._vocabulary.share_out(classes)
        return ZeroShot({label: np.array(sorted(each), np.intp) for label, each in owned.items()})


def _names_in(head: Head, classes: Mapping[str, Sequence[str]]) -> dict[str, list[str]] | None:
    """The head's labels for each class; None unless it knows them all. A label that two classes
    claim goes to the first."""
    unclaimed = {normalise(label): label for label in head.labels}
    names = {
        label: [unclaimed.pop(each) for each in map(normalise, all_names) if each in unclaimed]
        for label, all_names in classes.items()
    }
    return names if all(names.values()) else None
