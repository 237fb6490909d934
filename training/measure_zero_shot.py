"""Measures how well the sum of leaf probabilities tells the classes of a domain.

python -m training.measure_zero_shot PHOTOGRAPHS --domain NAME [--domains FILE] [--none DIR]

PHOTOGRAPHS holds a folder per class, DIR pictures of none of them. A file name that starts with an
ImageNet index ("281_tabby.jpg") is also judged by its leaf, and is no picture of none when a class
owns that leaf.
"""

# ruff: noqa: T201 - a command prints

import argparse
import re
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from app.providers.local.model import EfficientNetLite
from app.providers.local.recognise import ELSEWHERE
from app.providers.local.vocabulary import Vocabulary
from training.photographs import list_photographs, read_pixels

SURE = 0.7


def read_classes(path: Path, domain: str) -> dict[str, list[str]]:
    """Return each class's names, its label first."""
    classes = {}
    for each in yaml.safe_load(path.read_text("utf-8"))[domain]["classes"]:
        entry = {"label": each} if isinstance(each, str) else each
        classes[entry["label"]] = [entry["label"], *entry.get("aliases", [])]
    return classes


def leaf_of(path: Path) -> int | None:
    """Return the ImageNet index that the file name starts with."""
    found = re.match(r"(\d{3})_", path.name)
    return int(found[1]) if found else None


def main() -> None:
    """Print accuracy, what went wrong, and how often a picture of none is taken for something, or a
    picture of something for out of domain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--domain", required=True)
    parser.add_argument("--domains", type=Path, default=Path("config/domains.yaml"))
    parser.add_argument("--none", type=Path, metavar="DIR")
    parser.add_argument("--model", type=Path, help="another ONNX file than the one shipped")
    arguments = parser.parse_args()

    model, vocabulary = EfficientNetLite(arguments.model), Vocabulary.load()
    owned = vocabulary.share_out(read_classes(arguments.domains, arguments.domain))
    labels = list(owned)

    def judge(path: Path) -> tuple[NDArray[np.float32], int]:
        probabilities = model.run(read_pixels(path)).probabilities
        masses = [probabilities[sorted(owned[label])].sum() for label in labels]
        return np.array(masses, np.float32), int(probabilities.argmax())

    right = leaf_right = leaves = sure = sure_right = foreign = 0
    photographs = list_photographs(arguments.photographs)
    for path in photographs:
        masses, leaf = judge(path)
        answer = labels[int(masses.argmax())]
        correct = answer == path.parent.name
        right += correct
        sure += masses.max() > SURE
        foreign += 1 - masses.sum() > ELSEWHERE
        sure_right += correct and masses.max() > SURE
        if leaf_of(path) is not None:
            leaves += 1
            leaf_right += leaf == leaf_of(path)
        if not correct or masses.max() <= SURE:
            top = vocabulary.leaf_names[leaf]
            print(f"  {path.parent.name}/{path.name}: {answer} {masses.max():.2f}, leaf {top}")
    print(f"class right: {right} of {len(photographs)}")
    print(f"above {SURE}: {sure}, right among them: {sure_right}")
    print(f"taken for out of domain: {foreign}")
    if leaves:
        print(f"leaf right: {leaf_right} of {leaves}")
    if arguments.none:
        strangers = [
            path
            for path in list_photographs(arguments.none)
            if not any(leaf_of(path) in each for each in owned.values())
        ]
        judged = {path.name: judge(path)[0] for path in strangers}
        taken = [name for name, masses in judged.items() if masses.max() > SURE]
        caught = sum(1 - masses.sum() > ELSEWHERE for masses in judged.values())
        print(f"of {len(strangers)} pictures of none, {len(taken)} above {SURE}", *taken)
        print(f"of these, told out of domain: {caught}")


if __name__ == "__main__":
    main()
