"""Learns a head: a classifier on the embeddings of the model file that is served.

python -m training.fit_head FOLDER [--none DIR ...] [--unseen DIR ...] [--out FILE]

FOLDER holds a folder of photographs for each class. Photographs of `--none` teach the head what
none of the classes looks like; those of `--unseen` are none either, and only measured. What is said
of the classes, heads say that did not learn from the photograph they are asked about.
"""

# ruff: noqa: T201 - a command prints

import argparse
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.calibration import calibration_error, reliability
from app.providers.local.head import Head
from app.providers.local.model import EfficientNetLite
from app.providers.local.teaching import STRENGTH, Examples, OutOfFold, teach
from app.result import NONE
from training.photographs import list_photographs, read_pixels

SURE = 0.7

Array = NDArray[Any]


def embed(model: EfficientNetLite, paths: Sequence[Path]) -> Array:
    """Return the embeddings of the photographs, as the service would compute them."""
    return np.array([model.run(read_pixels(path)).embedding for path in paths])


def share(flags: Array) -> float:
    return round(float(flags.mean()), 4)


def of_the_classes(judged: OutOfFold, threshold: float | None) -> dict[str, float]:
    """What heads say of the classes, and of what was taught as none of them."""
    none = judged.truth == judged.labels
    said, right = judged.confidence[~none], judged.right[~none]
    figures = {
        "accuracy": share(right),
        "calibration_error_with_none": round(
            calibration_error(reliability(judged.confidence, judged.right)), 4
        ),
    }
    for name, least in (("sure", SURE), ("at_threshold", threshold)):
        if least is not None and (said >= least).any():
            figures[f"share_{name}"] = share(said >= least)
            figures[f"accuracy_{name}"] = share(right[said >= least])
            if none.any():
                figures[f"share_{name}_of_none"] = share(judged.confidence[none] >= least)
    return figures


def of_strangers(head: Head, embeddings: Array) -> dict[str, float]:
    """How many pictures of none pass for a class, and how many of these the distance stops."""
    sure = np.array([max(head.probabilities(each).values()) >= SURE for each in embeddings])
    near = np.array(
        [head.taught is None or head.taught.belongs(each) >= 0.5 for each in embeddings]
    )
    return {"share_sure": share(sure), "share_near": share(near), "share_both": share(sure & near)}


def main() -> None:
    """Learn, measure and write, as asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--none", type=Path, nargs="*", default=[], metavar="DIR")
    parser.add_argument("--unseen", type=Path, nargs="*", default=[], metavar="DIR")
    parser.add_argument("--accuracy", type=float, default=0.97, help="at the threshold")
    parser.add_argument("--attribution", default="", help="whose photographs, under which licence")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()

    served = files("app.providers.local").joinpath("data/efficientnet-lite0-int8.onnx")
    model_sha256 = hashlib.sha256(served.read_bytes()).hexdigest()
    model = EfficientNetLite()
    photographs = list_photographs(arguments.folder)
    strangers = [path for folder in arguments.none for path in list_photographs(folder)]
    labels = [path.parent.name for path in photographs] + [NONE] * len(strangers)
    examples = Examples.of(embed(model, photographs + strangers), labels)
    lesson = teach(examples, model_sha256, accuracy=arguments.accuracy)
    head = lesson.head

    figures = of_the_classes(lesson.judged, head.threshold) if lesson.judged else {}
    for folder in arguments.unseen:
        found = of_strangers(head, embed(model, list_photographs(folder)))
        figures |= {f"{name}_of_unseen_{folder.name}": value for name, value in found.items()}
    print(f"threshold: {head.threshold}, temperature: {lesson.temperature:.3f}")
    for name, value in figures.items():
        print(f"{name}: {value:.1%}")
    if arguments.out:
        about = {
            "made_by": "training.fit_head",
            "strength": STRENGTH,
            "temperature": round(lesson.temperature, 4),
            "photographs": {label: labels.count(label) for label in head.labels}
            | {"none of these": len(strangers)},
            "attribution": arguments.attribution,
            "learned_from": sorted(path.name for path in photographs + strangers),
            "figures": figures,
        }
        head.save(arguments.out, about)
        print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
