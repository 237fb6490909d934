"""A picture that is ready for a provider."""

import io
from functools import cached_property

from PIL import Image

from app.image_quality import Quality
from app.images.jpeg import encoded
from app.square import square

JPEG_QUALITY = 85


def fitted(width: int, height: int, longest: int) -> tuple[int, int]:
    """The size of a picture after its longest side is brought down to `longest`; never up."""
    share = min(1.0, longest / max(width, height))
    return max(1, round(width * share)), max(1, round(height * share))


class PreparedImage:
    """Upright RGB pixels without metadata, and what is known of the original.

    `decoded` holds them, at `longest` or somewhat larger, until the JPEG takes their place.

    Nothing is computed before it is needed: the local model wants a small square, a remote one the
    JPEG. Both take milliseconds of CPU time: call them in a worker thread.

    Attributes:
        sha256: of the bytes as they arrived, hex.
        phash: perceptual hash of 64 bits; None for nearly one colour.
        format: of the original, as Pillow calls it ("JPEG", "PNG", ...).
        width, height: of the original, upright, in pixels.
        size: width and height of `pixels` and of `jpeg`.
        bytes: length of the original.
        measures: how good the picture is.
        warnings: what was odd about the original, for people.
    """

    def __init__(
        self,
        decoded: Image.Image,
        *,
        longest: int,
        sha256: str,
        phash: int | None,
        format: str,
        width: int,
        height: int,
        bytes: int,
        measures: Quality,
        warnings: tuple[str, ...] = (),
    ) -> None:
        self._decoded: Image.Image | None = decoded
        self.sha256 = sha256
        self.phash = phash
        self.format = format
        self.width = width
        self.height = height
        self.size = fitted(width, height, longest)
        self.bytes = bytes
        self.measures = measures
        self.warnings = warnings

    @cached_property
    def pixels(self) -> Image.Image:
        """The whole picture, RGB, at `size`."""
        decoded = self._source()
        if decoded.size == self.size:
            return decoded
        # Not bicubic: it takes 5 ms more, and shows no more when shrinking by half at most.
        return decoded.resize(self.size, Image.Resampling.HAMMING)

    @cached_property
    def jpeg(self) -> bytes:
        """`pixels` as a baseline JPEG of quality 85, without metadata."""
        return encoded(self.pixels, JPEG_QUALITY)

    @property
    def is_encoded(self) -> bool:
        """Whether `jpeg` is there already, and costs nothing."""
        return "jpeg" in self.__dict__

    def encode(self) -> None:
        """Make `jpeg` now and hold nothing else; pixels that are needed later are decoded from
        it."""
        _ = self.jpeg
        self._decoded = None
        self.__dict__.pop("pixels", None)

    @property
    def is_small(self) -> bool:
        """Whether there is nothing to let go of."""
        return self._decoded is None

    def let_go(self) -> None:
        """Hold no more than `pixels`: pictures may wait by the thousand."""
        if self._decoded is not None:
            self._decoded = self.pixels

    def square(self, side: int, crop: float) -> Image.Image:
        """The centre, `crop` of the short side, as `side` x `side` RGB pixels in one resize."""
        return square(self._source(), side, crop)

    def _source(self) -> Image.Image:
        return Image.open(io.BytesIO(self.jpeg)) if self._decoded is None else self._decoded
