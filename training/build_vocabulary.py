"""Builds the table from English nouns to the leaf labels of ImageNet-1k that they cover.

python -m training.build_vocabulary --labels timm-*.whl --wordnet DIR --out FILE
"""

# ruff: noqa: T201 - a command prints

import argparse
import json
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.providers.local.vocabulary import normalise

SOURCE = (
    "WordNet 3.0 nouns, Princeton University; ImageNet-1k label order from timm "
    "(timm/data/_info/imagenet_synsets.txt); made by training.build_vocabulary"
)
LICENCE = "WordNet 3.0 license (see NOTICE); label order Apache-2.0"
LABELS = "timm/data/_info/imagenet_synsets.txt"  # line number = the model's output


@dataclass(frozen=True, slots=True)
class Synset:
    """One meaning: the nouns that express it, and the wider meanings it is a kind of."""

    lemmas: tuple[str, ...]
    hypernyms: tuple[str, ...]


def read_labels(wheel: Path) -> list[str]:
    """Return the offsets of the 1,000 leaf synsets in WordNet 3.0, in the model's order."""
    with zipfile.ZipFile(wheel) as archive:
        return [line.strip().removeprefix("n") for line in archive.read(LABELS).decode().split()]


def read_synsets(folder: Path) -> dict[str, Synset]:
    """Return all noun synsets by offset (format: man 5 wndb)."""
    synsets = {}
    for fields in _records(folder / "data.noun"):
        words = int(fields[3], 16)
        pointers = fields[5 + 2 * words :]
        synsets[fields[0]] = Synset(
            tuple(fields[4 : 4 + 2 * words : 2]),
            tuple(
                pointers[i + 1]
                for i in range(0, 4 * int(fields[4 + 2 * words]), 4)
                if pointers[i] in {"@", "@i"}
            ),
        )
    return synsets


def read_senses(folder: Path) -> dict[str, list[str]]:
    """Return each noun's synset offsets, the most frequent sense first."""
    return {fields[0]: fields[-int(fields[2]) :] for fields in _records(folder / "index.noun")}


def read_plurals(folder: Path) -> dict[str, str]:
    """Return the irregular plurals."""
    return {fields[0]: fields[1] for fields in _records(folder / "noun.exc")}


def _records(path: Path) -> Iterable[list[str]]:
    for line in path.read_text("latin-1").splitlines():
        if not line.startswith(" "):  # the licence
            yield line.split(" | ")[0].split()


def leaves_below(labels: Sequence[str], synsets: dict[str, Synset]) -> dict[str, set[int]]:
    """Return, for every synset that is a leaf label or above one, the leaves it covers."""
    below: dict[str, set[int]] = defaultdict(set)

    def climb(offset: str, leaf: int) -> None:
        if leaf not in below[offset]:
            below[offset].add(leaf)
            for hypernym in synsets[offset].hypernyms:
                climb(hypernym, leaf)

    for leaf, offset in enumerate(labels):
        climb(offset, leaf)
    return dict(below)


def ranges(leaves: Iterable[int]) -> str:
    """Return `0,2-4` for {0, 2, 3, 4}."""
    runs: list[list[int]] = []
    for leaf in sorted(leaves):
        if runs and runs[-1][1] == leaf - 1:
            runs[-1][1] = leaf
        else:
            runs.append([leaf, leaf])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def main() -> None:
    """Build the file and print what it knows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=Path, required=True, metavar="WHEEL", help="timm's wheel")
    parser.add_argument(
        "--wordnet", type=Path, required=True, metavar="DIR", help="holds WordNet 3.0's data.noun"
    )
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    labels = read_labels(arguments.labels)
    synsets = read_synsets(arguments.wordnet)
    senses = read_senses(arguments.wordnet)
    below = leaves_below(labels, synsets)
    leaves = [synsets[offset].lemmas[0].replace("_", " ") for offset in labels]
    names: dict[str, list[str]] = {}
    for lemma in sorted({lemma.lower() for offset in below for lemma in synsets[offset].lemmas}):
        covered = [ranges(below[offset]) for offset in senses[lemma] if offset in below]
        # First come, first kept: names that differ in a hyphen only ("pay-phone", "pay phone").
        names.setdefault(normalise(lemma), list(dict.fromkeys(covered)))
    plurals = {
        normalise(plural): normalise(singular)
        for plural, singular in read_plurals(arguments.wordnet).items()
        if normalise(singular) in names and normalise(plural) not in names
    }
    itself = {normalise(leaf): [str(index)] for index, leaf in reversed(list(enumerate(leaves)))}
    vocabulary = {
        "source": SOURCE,
        "licence": LICENCE,
        "leaves": leaves,
        "plurals": plurals,
        "names": {name: where for name, where in names.items() if where != itself.get(name)},
    }
    text = json.dumps(vocabulary, separators=(",", ":"), ensure_ascii=False)
    arguments.out.write_text(text + "\n", "utf-8")
    print(f"{arguments.out}: {len(text):,} bytes, {len(names):,} names, {len(plurals)} plurals")


if __name__ == "__main__":
    main()
