"""The kinds of pictures that a caller may pass."""

import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from app.errors import ImageUnreadable

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    ImageLike: TypeAlias = (
        str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]
        | Image.Image | np.ndarray[Any, Any]
    )  # fmt: skip

LOSSLESS_PIXELS = 4_000_000
"""Pictures of up to this many pixels are encoded as PNG; larger ones become a JPEG, or they might
be too large to send."""

PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})


@dataclass(frozen=True, slots=True)
class Picture:
    """
    Attributes:
        content: the bytes of a file, or a URL.
        path: the file's path, where it is a file.
    """

    content: bytes | str
    path: Path | None = None


def taken(image: "ImageLike") -> Picture:
    """Convert `image` to the bytes of a file, or to a URL. May read a file, or encode pixels.

    Accepted are a path, an http or https URL, bytes, an open binary file (read from its current
    position), a Pillow image, and a numpy array: height x width, with 1, 3 (RGB) or 4 (RGBA)
    channels or none, as uint8, or as floats from 0 to 1. Raises OSError, ImageUnreadable, and
    TypeError for anything else.
    """
    if isinstance(image, str) and image.lower().startswith(("http://", "https://")):
        return Picture(image)
    if isinstance(image, (str, os.PathLike)):
        path = Path(image)
        return Picture(path.read_bytes(), path)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return Picture(bytes(image))
    if (of_array := _of_array(image)) is not None:
        return Picture(_packed(of_array))
    if _is_a(image, "PIL.Image", "Image"):
        return Picture(_packed(image))  # type: ignore[arg-type]
    if callable(read := getattr(image, "read", None)):
        content = read()
        if not isinstance(content, bytes):
            raise TypeError("The file is open as text: open it with mode 'rb'.")
        return Picture(content)
    raise TypeError(f"{type(image).__name__} is no picture, nor a path or URL of one.")


def _is_a(image: object, module: str, name: str) -> bool:
    """Imports nothing: where the module is not loaded, no object can be of its class."""
    return module in sys.modules and isinstance(image, getattr(sys.modules[module], name))


def _of_array(image: object) -> "Image.Image | None":
    if not _is_a(image, "numpy", "ndarray"):
        return None
    import numpy as np
    from PIL import Image

    pixels: np.ndarray[Any, Any] = image  # type: ignore[assignment]
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    shaped = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if not shaped or pixels.size == 0:
        raise ImageUnreadable(
            f"An array of shape {pixels.shape} is no picture: it must be height x width, or that "
            "x 1, 3 or 4."
        )
    if np.issubdtype(pixels.dtype, np.floating):
        if not (pixels.min() >= 0 and pixels.max() <= 1):
            raise ImageUnreadable("An array of floats must hold numbers from 0 to 1.")
        pixels = (pixels * 255).round().astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise ImageUnreadable(f"An array of {pixels.dtype} is no picture: it must be uint8.")
    return Image.fromarray(np.ascontiguousarray(pixels))


def _packed(image: "Image.Image") -> bytes:
    """Encode it as a file of the same content. A picture opened from a file is set upright."""
    from PIL import ImageOps

    packed = io.BytesIO()
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode not in PNG_MODES:
            image = image.convert("RGB")
        if image.mode in ("L", "RGB") and image.width * image.height > LOSSLESS_PIXELS:
            image.save(packed, "JPEG", quality=95, subsampling=0)
        else:
            image.save(packed, "PNG", compress_level=1)
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageUnreadable(f"The picture can't be read: {error}") from error
    return packed.getvalue()
