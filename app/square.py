"""The square crop that vision models with a fixed input size take."""

from PIL.Image import Image, Resampling


def square(picture: Image, side: int, crop: float) -> Image:
    """Return the centre of `picture` as `side` x `side` pixels, in one resize.

    `crop` is the share of the short side that the square keeps (1.0 = all of it). The mode is
    kept: a caller that needs RGB converts first.
    """
    width, height = picture.size
    edge = crop * min(width, height)
    left, top = (width - edge) / 2, (height - edge) / 2
    box = (left, top, left + edge, top + edge)
    return picture.resize((side, side), Resampling.BILINEAR, box=box)
