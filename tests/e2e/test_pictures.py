"""The script that makes the README's pictures."""

import re
from pathlib import Path

import pytest
from PIL import Image

from docs.pictures import HEIGHT, PICTURES, SHOWN, WIDTH, make
from tests.e2e.conftest import CHROMIUM

README = Path(__file__).parents[2] / "README.md"

pytestmark = pytest.mark.browser


@pytest.mark.skipif(CHROMIUM is None, reason="make test-deps installs Chromium")
def test_each_page_is_shown(tmp_path):
    make(tmp_path, ["dark"])

    assert {each.stem for each in tmp_path.iterdir()} == {f"{name}-dark" for name in SHOWN}
    for each in tmp_path.iterdir():
        with Image.open(each) as picture:
            assert picture.width == WIDTH
            assert HEIGHT <= picture.height < 1.3 * HEIGHT
            assert len(picture.getcolors(WIDTH * picture.height)) > 500  # an empty page has few


def test_the_readme_has_all():
    made = {f"{name}-{scheme}.webp" for name in SHOWN for scheme in ("light", "dark")}
    shown = re.findall(r'\bsrc(?:set)?="docs/pictures/([^"]+)"', README.read_text())

    assert {each.name for each in PICTURES.iterdir()} == made
    assert sorted(shown) == sorted(made)
