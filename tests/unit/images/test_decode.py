"""From bytes to upright RGB pixels without metadata."""

import hashlib
import io
import time

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw

from app.errors import ImageTooLarge, ImageUnreadable
from app.images import prepare
from tests.pictures import encoded, jpeg_that_claims, photograph, png_that_claims

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def near(pixel, wanted, by: int = 6) -> bool:
    assert np.abs(np.subtract(pixel, wanted)).max() <= by, f"{pixel} is not {wanted}"
    return True


def pixel_of(data: bytes, at=(10, 10)):
    return prepare(data, longest=512).pixels.getpixel(at)


def marked() -> Image.Image:
    """60 x 40, red in the upper left quarter, blue in the lower right one."""
    picture = Image.new("RGB", (60, 40), "white")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, 29, 19), "red")
    draw.rectangle((30, 20, 59, 39), "blue")
    return picture


UNDO = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera that was held this way has stored an upright picture."""


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", UNDO)
def test_every_orientation_is_turned_upright(orientation, kind):
    """Pixels and size; what is stored is not read as it lies."""
    how = UNDO[orientation]
    stored = marked() if how is None else marked().transpose(how)
    exif = Image.Exif()
    exif[0x0112] = orientation

    made = prepare(encoded(stored, kind, exif=exif, quality=95), longest=512)

    assert (made.width, made.height) == made.size == made.pixels.size == (60, 40)
    assert near(made.pixels.getpixel((5, 5)), (255, 0, 0), 40)
    assert near(made.pixels.getpixel((55, 35)), (0, 0, 255), 40)
    assert near(made.pixels.getpixel((55, 5)), (255, 255, 255), 40)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_kind_is_read(kind):
    """And what is known of the original is told."""
    data = encoded(marked(), kind)

    made = prepare(data, longest=512)

    assert made.format == kind
    assert (made.width, made.height, made.bytes) == (60, 40, len(data))
    assert made.sha256 == hashlib.sha256(data).hexdigest()
    assert made.warnings == ()
    assert made.pixels.mode == "RGB"
    assert near(made.pixels.getpixel((5, 5)), (255, 0, 0), 40)


@pytest.mark.parametrize("kind", ["PPM", "ICO", "TGA", "PDF", "EPS", "ICNS"])
def test_other_kinds_are_refused(kind):
    """Though Pillow can read some: fewer decoders are fewer holes."""
    with pytest.raises(ImageUnreadable):
        prepare(encoded(photograph(64, 64), kind), longest=512)


def palette_with_transparency() -> bytes:
    picture = Image.new("P", (20, 20), 0)
    picture.putpalette([10, 20, 30, 200, 0, 0] + [0] * 762)
    return encoded(picture, "PNG", transparency=0)


def grey_of_16_bits(value: int) -> Image.Image:
    return Image.fromarray(np.full((20, 20), value, dtype=np.uint16))


def tiff_of_32_bits(kind: type[np.generic], value: float, most: float | None = None) -> bytes:
    """One grey, and a corner of another one."""
    values = np.full((20, 20), value, dtype=kind)
    values[0, 0] = value if most is None else most
    return encoded(Image.fromarray(values), "TIFF")


@pytest.mark.parametrize(
    ("data", "colour"),
    [
        pytest.param(
            encoded(Image.new("CMYK", (20, 20), (0, 255, 255, 0)), "JPEG"),
            (254, 0, 0),
            id="CMYK JPEG",
        ),
        pytest.param(
            encoded(Image.new("CMYK", (20, 20), (255, 0, 255, 0)), "TIFF"),
            (0, 254, 0),
            id="CMYK TIFF",
        ),
        pytest.param(encoded(Image.new("L", (20, 20), 90)), (90, 90, 90), id="grey"),
        pytest.param(
            encoded(Image.new("LA", (20, 20), (90, 255))), (90, 90, 90), id="grey and opaque"
        ),
        pytest.param(
            encoded(Image.new("LA", (20, 20), (0, 0))), (255, 255, 255), id="grey and clear"
        ),
        pytest.param(
            encoded(Image.new("RGBA", (20, 20), (0, 0, 0, 0))), (255, 255, 255), id="clear"
        ),
        pytest.param(
            encoded(Image.new("RGBA", (20, 20), (200, 0, 0, 128))), (227, 127, 127), id="half clear"
        ),
        pytest.param(
            encoded(Image.new("RGB", (20, 20), "red"), transparency=(255, 0, 0)),
            (255, 255, 255),
            id="one colour clear",
        ),
        pytest.param(palette_with_transparency(), (255, 255, 255), id="palette and clear"),
        pytest.param(encoded(Image.new("1", (20, 20), 1)), (255, 255, 255), id="1 bit, white"),
        pytest.param(encoded(Image.new("1", (20, 20), 0), "TIFF"), (0, 0, 0), id="1 bit, black"),
        pytest.param(encoded(grey_of_16_bits(32_768)), (128, 128, 128), id="16 bits, mid grey"),
        pytest.param(encoded(grey_of_16_bits(65_535)), (255, 255, 255), id="16 bits, white"),
        pytest.param(encoded(grey_of_16_bits(0)), (0, 0, 0), id="16 bits, black"),
        pytest.param(encoded(grey_of_16_bits(32_768), "TIFF"), (128, 128, 128), id="16 bits, TIFF"),
        pytest.param(
            encoded(Image.frombytes("I;16B", (20, 20), b"\x80\x00" * 400), "TIFF"),
            (128, 128, 128),
            id="16 bits, the high byte first",
        ),
        pytest.param(
            encoded(grey_of_16_bits(300), transparency=300), (255, 255, 255), id="16 bits, clear"
        ),
        pytest.param(
            encoded(grey_of_16_bits(300), transparency=301), (1, 1, 1), id="16 bits, not clear"
        ),
        pytest.param(
            encoded(Image.new("F", (20, 20), 0.5), "TIFF"), (128, 128, 128), id="floats up to 1"
        ),
        pytest.param(tiff_of_32_bits(np.float32, 128, 255), (128, 128, 128), id="floats up to 255"),
        pytest.param(
            tiff_of_32_bits(np.float32, 32_768, 65_535), (128, 128, 128), id="floats up to 65,535"
        ),
        pytest.param(tiff_of_32_bits(np.float32, 32_768, 1e6), (128, 128, 128), id="floats beyond"),
        pytest.param(tiff_of_32_bits(np.float32, 1e6), (255, 255, 255), id="floats, all beyond"),
        pytest.param(tiff_of_32_bits(np.float32, -5, 1), (0, 0, 0), id="floats below nothing"),
        pytest.param(tiff_of_32_bits(np.int32, 128, 255), (128, 128, 128), id="32 bits up to 255"),
        pytest.param(
            tiff_of_32_bits(np.int32, 32_768, 65_535), (128, 128, 128), id="32 bits up to 65,535"
        ),
        pytest.param(
            tiff_of_32_bits(np.int32, 32_768, 10**6), (128, 128, 128), id="32 bits beyond"
        ),
        pytest.param(tiff_of_32_bits(np.int32, -5, 255), (0, 0, 0), id="32 bits below nothing"),
        pytest.param(encoded(Image.new("P", (20, 20), 0), "GIF"), (0, 0, 0), id="GIF"),
    ],
)
def test_every_mode_becomes_rgb_as_a_person_sees_it(data, colour):
    """Transparency on white; grey of 16 and 32 bits is scaled, not cut."""
    assert near(pixel_of(data), colour)


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_what_is_white_is_the_same_all_over_a_large_picture(kind):
    """Converted piece by piece, it is judged as a whole: dark above a light part stays dark."""
    values = np.full((1200, 1000), 200, dtype=kind)
    values[-200:] = 65_535

    pixels = prepare(encoded(Image.fromarray(values), "TIFF"), longest=60).pixels

    assert near(pixels.getpixel((25, 5)), (1, 1, 1))
    assert near(pixels.getpixel((25, 55)), (255, 255, 255))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [(0, 0), (7, 7)])
def test_a_picture_of_what_are_no_numbers_is_refused(value, at):
    """It would be all black or all white, by where the first of them stands."""
    values = np.full((20, 20), 0.5, dtype=np.float32)
    values[at] = value

    with pytest.raises(ImageUnreadable, match="no numbers"):
        prepare(encoded(Image.fromarray(values), "TIFF"), longest=512)


def frames(kind: str, count: int = 3) -> bytes:
    colours = ["red", "lime", "blue"][:count]
    first, *rest = [Image.new("RGB", (20, 20), colour) for colour in colours]
    return encoded(first, kind, save_all=True, append_images=rest)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_the_first_frame_is_looked_at_and_a_warning_says_so(kind):
    made = prepare(frames(kind), longest=512)

    assert near(made.pixels.getpixel((10, 10)), (255, 0, 0), 40)
    assert made.warnings == ("Only the first of its frames was looked at.",)


def test_a_picture_with_a_second_view_is_an_ordinary_photograph():
    """MPO is what many phones and cameras write: a JPEG with more behind it. No warning."""
    made = prepare(frames("MPO", 2), longest=512)

    assert made.format == "MPO"
    assert made.warnings == ()
    assert near(made.pixels.getpixel((10, 10)), (254, 0, 0))


def test_the_jpeg_tells_nothing_of_the_original():
    """No EXIF (place, camera, thumbnail), no profile, no comment; and it is a baseline one."""
    exif = Image.Exif()
    exif[0x010F] = "Camera of Alice"
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[1] = "N"
    data = encoded(
        photograph(), "JPEG", exif=exif, icc_profile=SRGB.tobytes(), comment=b"by Alice", quality=95
    )

    out = prepare(data, longest=100).jpeg

    with Image.open(io.BytesIO(out)) as made:
        assert made.format == "JPEG"
        assert made.size == (75, 100)
        assert not made.getexif()
        assert set(made.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert b"Alice" not in out


@pytest.mark.parametrize(
    ("size", "longest", "fitted"),
    [
        ((320, 240), 160, (160, 120)),
        ((240, 320), 160, (120, 160)),
        ((320, 240), 320, (320, 240)),
        ((320, 240), 4000, (320, 240)),
        ((1000, 1), 64, (64, 1)),
        ((1, 1), 64, (1, 1)),
        ((1023, 767), 512, (512, 384)),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_longest_side_is_brought_down_and_never_up(size, longest, fitted, kind):
    """The proportions stay, and no side becomes nothing."""
    made = prepare(encoded(photograph(*size), kind), longest=longest)

    assert made.size == made.pixels.size == fitted
    assert (made.width, made.height) == size


def test_nothing_is_encoded_before_it_is_asked_for(monkeypatch):
    """The local model looks at pixels only; and twice asked is encoded once."""
    made = prepare(encoded(photograph()), longest=64)
    saved = []
    save = Image.Image.save
    monkeypatch.setattr(
        Image.Image, "save", lambda *args, **options: (saved.append(1), save(*args, **options))
    )

    made.square(32, 0.875)
    before = len(saved)
    same = made.jpeg is made.jpeg

    assert before == 0
    assert same
    assert len(saved) == 1


def test_an_encoded_picture_still_shows_its_pixels():
    """They come from the JPEG then, which is all that is held while it waits: nearly the same."""
    data = encoded(photograph(800, 600), "JPEG", quality=95)
    whole, encoded_at_once = prepare(data, longest=300), prepare(data, longest=300, encode=True)

    pairs = [
        (whole.pixels, encoded_at_once.pixels),
        (whole.square(64, 0.875), encoded_at_once.square(64, 0.875)),
    ]

    assert encoded_at_once.jpeg == whole.jpeg
    for one, other in pairs:
        assert one.size == other.size
        difference = np.asarray(one).astype(int) - np.asarray(other)
        assert np.abs(difference).mean() < 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("encode", [True, False])
def test_what_lets_go_shows_the_same(kind, encode):
    """All that is held then are pixels of the size that was asked for, or the JPEG alone."""
    data = encoded(photograph(300, 200), kind)
    kept, made = (prepare(data, longest=100, encode=encode) for _ in range(2))

    made.let_go()

    held = {each.size for each in vars(made).values() if isinstance(each, Image.Image)}
    assert held == (set() if encode else {(100, 67)})
    assert made.is_encoded == encode
    assert made.jpeg == kept.jpeg
    assert np.array_equal(np.asarray(made.pixels), np.asarray(kept.pixels))
    apart = np.asarray(made.square(32, 0.875), np.int16) - np.asarray(kept.square(32, 0.875))
    assert np.abs(apart).mean() < 3


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png_that_claims(8001, 4000), id="PNG of 32.004 megapixels"),
        pytest.param(png_that_claims(60_000, 60_000), id="PNG that Pillow calls a bomb"),
        pytest.param(jpeg_that_claims(10_001, 10_000), id="JPEG of 100.01 megapixels"),
        pytest.param(jpeg_that_claims(65_000, 65_000), id="JPEG that Pillow calls a bomb"),
        pytest.param(jpeg_that_claims(8001, 4000, progressive=True), id="progressive JPEG"),
    ],
)
def test_too_many_pixels_are_refused_by_the_header(data):
    """Before anything is decoded: the rest of these files is not even there."""
    began = time.perf_counter()
    with pytest.raises(ImageTooLarge):
        prepare(data, longest=512)

    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"hello", id="text"),
        pytest.param(b"\xff\xd8\xff", id="three bytes of a JPEG"),
        pytest.param(b"\x89PNG\r\n\x1a\n", id="a PNG's first bytes"),
        pytest.param(png_that_claims(8000, 4000), id="PNG without its pixels"),
        pytest.param(encoded(photograph(), "JPEG")[:-3000], id="JPEG cut off"),
        pytest.param(encoded(photograph())[:-3000], id="PNG cut off"),
        pytest.param(encoded(photograph(), "TIFF")[:-3000], id="TIFF cut off"),
        pytest.param(encoded(photograph(), "WEBP")[:-3000], id="WebP cut off"),
    ],
)
def test_broken_files_are_refused(data):
    with pytest.raises(ImageUnreadable):
        prepare(data, longest=512)


def wide_profile() -> bytes:
    """RGB whose red and green are swapped: nothing but a colour conversion can undo it."""
    data = bytearray(SRGB.tobytes())
    count = int.from_bytes(data[128:132], "big")
    tags = {bytes(data[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    data[red + 4 : red + 12], data[green + 4 : green + 12] = (
        data[green + 4 : green + 12],
        data[red + 4 : red + 12],
    )
    return (
        bytes(data)
        .replace("sRGB".encode("utf-16-be"), "Swap".encode("utf-16-be"))
        .replace(b"sRGB", b"Swap")
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_are_read_by_their_profile(kind, mode):
    """A profile that swaps red and green swaps them."""
    if (kind, mode) == ("JPEG", "RGBA"):
        kind = "WEBP"
    picture = Image.new("RGB", (20, 20), (255, 0, 0)).convert(mode)
    options = {"lossless": True} if kind == "WEBP" else {}

    data = encoded(picture, kind, icc_profile=wide_profile(), **options)

    assert near(pixel_of(data), (0, 255, 0), 12)


@pytest.mark.parametrize(
    "profile",
    [b"no profile at all", SRGB.tobytes()[:100], b"\x00" * 200, SRGB.tobytes()[:-1000]],
    ids=["text", "cut off", "zeros", "without its end"],
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_profile_that_is_wrong_is_ignored(profile, mode):
    """As browsers do: the picture is shown without it."""
    data = encoded(Image.new(mode, (20, 20)), "JPEG", icc_profile=profile)

    assert near(pixel_of(data), pixel_of(encoded(Image.new(mode, (20, 20)), "JPEG")))


def test_a_profile_for_other_colours_is_ignored():
    """A grey picture with an RGB profile."""
    data = encoded(Image.new("L", (20, 20), 90), icc_profile=wide_profile())

    assert near(pixel_of(data), (90, 90, 90))


def test_a_large_jpeg_is_never_decoded_whole():
    """12 megapixels to 512: at least twice as fast as decoding all of it, in this very run."""
    data = encoded(photograph(4000, 3000).convert("RGB"), "JPEG", quality=85)

    def seconds(work) -> float:
        def once() -> float:
            began = time.perf_counter()
            work()
            return time.perf_counter() - began

        return min(once() for _ in range(3))

    def plain() -> None:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            picture.resize((512, 384), Image.Resampling.BICUBIC)

    assert seconds(lambda: prepare(data, longest=512).pixels) * 2 < seconds(plain)


def test_the_pixels_are_those_of_a_plain_resize():
    """Decoding at a fraction of the size changes no colour that anybody would see."""
    original = photograph(1600, 1200)
    data = encoded(original, "JPEG", quality=95)

    made = np.asarray(prepare(data, longest=200).pixels, dtype=np.int16)

    plain = np.asarray(original.resize((200, 150), Image.Resampling.BICUBIC), dtype=np.int16)
    assert np.abs(made - plain).mean() < 3
