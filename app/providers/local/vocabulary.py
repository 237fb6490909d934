"""Which leaf labels of ImageNet-1k an English noun covers, by WordNet: no picture, no model."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, Self

_QUALIFIED: Final = re.compile(r"(?P<name>.+?) \((?P<kind>.+)\)")
_PLURALS: Final = (
    ("ies", "y"),
    ("ves", "f"),
    ("men", "man"),
    ("es", ""),
    ("s", ""),
)


def normalise(name: str) -> str:
    """Return `name` as the table spells it: lower case, words separated by one space."""
    return " ".join(re.sub(r"[_-]", " ", name).casefold().split())


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Nouns and the leaf labels below them.

    Attributes:
        leaf_names: the 1,000 leaf labels, in the order of the model's output.
        senses: for each normalised noun, the leaves below each of its meanings, the most frequent
            meaning first. Meanings without leaves are left out.
        plurals: irregular plurals, normalised.
    """

    leaf_names: tuple[str, ...]
    senses: Mapping[str, tuple[frozenset[int], ...]]
    plurals: Mapping[str, str]

    @classmethod
    def load(cls) -> Self:
        """Read the table shipped with the package (a few milliseconds)."""
        path = files("app.providers.local").joinpath("data/vocabulary.json")
        table = json.loads(path.read_text("utf-8"))
        senses = {
            name: tuple(frozenset(_expand(sense)) for sense in where)
            for name, where in table["names"].items()
        }
        for index, leaf in enumerate(table["leaves"]):
            # The file omits a leaf that is the only meaning of its name.
            senses.setdefault(normalise(leaf), (frozenset({index}),))
        return cls(tuple(table["leaves"]), senses, table["plurals"])

    def leaves(self, name: str) -> frozenset[int]:
        """Return the leaves that `name` covers; none when the noun is unknown.

        Case, hyphens, underscores and simple plurals do not matter. A noun of several meanings
        stands for the most frequent one that covers a leaf; "crane (bird)" selects another meaning
        by a more general noun.
        """
        qualified = _QUALIFIED.fullmatch(normalise(name))
        if qualified is None:
            return next(iter(self._senses(name)), frozenset())
        kind = self.leaves(qualified["kind"])
        every = frozenset[int]().union(*self._senses(qualified["name"]))
        return every & kind

    def share_out(self, classes: Mapping[str, Sequence[str]]) -> dict[str, frozenset[int]]:
        """Return the leaves that each class owns, given all names (label, aliases) of each.

        No leaf has two owners. It belongs to the class with the narrowest name that covers it, so
        that next to a class "dog" a class "animal" keeps the other animals; on a tie, to the class
        that comes first. A class that owns nothing cannot be recognised by this model.
        """
        narrowest: dict[int, tuple[int, str]] = {}
        for label, names in classes.items():
            for name in names:
                covered = self.leaves(name)
                for leaf in covered:
                    if leaf not in narrowest or len(covered) < narrowest[leaf][0]:
                        narrowest[leaf] = (len(covered), label)
        owned: dict[str, set[int]] = {label: set() for label in classes}
        for leaf, (_, label) in narrowest.items():
            owned[label].add(leaf)
        return {label: frozenset(leaves) for label, leaves in owned.items()}

    def _senses(self, name: str) -> tuple[frozenset[int], ...]:
        spellings = self._spellings(normalise(name))
        return next((self.senses[each] for each in spellings if each in self.senses), ())

    def _spellings(self, name: str) -> Iterator[str]:
        yield name
        if name in self.plurals:
            yield self.plurals[name]
        for ending, singular in _PLURALS:
            if name.endswith(ending):
                yield name.removesuffix(ending) + singular


def _expand(ranges: str) -> Iterator[int]:
    for run in ranges.split(","):
        first, _, last = run.partition("-")
        yield from range(int(first), int(last or first) + 1)
