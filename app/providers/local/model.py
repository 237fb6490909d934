"""EfficientNet-Lite0 in ONNX Runtime: from pixels to ImageNet probabilities and an embedding."""

import hashlib
import os
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

# The input size and crop the network was trained with; `app.square` makes such a picture.
SIDE: Final = 224  # pixels
CROP: Final = 0.875  # share of the short side

_FILE = "data/efficientnet-lite0-int8.onnx"


class Prediction(NamedTuple):
    """The model's output for one picture.

    Attributes:
        probabilities: float32 (1000,), over the leaf labels of ImageNet-1k.
        embedding: float32 (1280,), the input of a `Head`; only comparable within one model file.
    """

    probabilities: NDArray[np.float32]
    embedding: NDArray[np.float32]


class EfficientNetLite:
    """One loaded model, which any number of threads may use at once.

    A call keeps only its own thread busy (about 4 ms on a core with VNNI): run as many at a time as
    there are cores.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        """Load the ONNX file at `path`, else the one shipped with the package."""
        onnxruntime = _runtime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        self._path = Path(path) if path else files("app.providers.local").joinpath(_FILE)
        self._session = onnxruntime.InferenceSession(
            self._path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )

    @cached_property
    def sha256(self) -> str:
        """Of the file, in hex. Takes some milliseconds, once."""
        return hashlib.sha256(self._path.read_bytes()).hexdigest()

    def run(self, pixels: NDArray[np.uint8]) -> Prediction:
        """Run the model on one RGB picture, shape (224, 224, 3)."""
        if pixels.shape != (SIDE, SIDE, 3) or pixels.dtype != np.uint8:
            raise ValueError(
                f"expected uint8 ({SIDE}, {SIDE}, 3), got {pixels.dtype} {pixels.shape}"
            )
        probabilities, embedding = self._session.run(
            ["probabilities", "embedding"], {"pixels": pixels[np.newaxis]}
        )
        return Prediction(probabilities[0], embedding[0])


def _runtime() -> Any:
    # ONNX Runtime sends telemetry to its vendor unless disabled before it is loaded.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime  # type: ignore[import-untyped]

    onnxruntime.disable_telemetry_events()
    return onnxruntime
