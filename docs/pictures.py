"""Makes the README's pictures with a real browser and a real service: `python -m docs.pictures`.

Each page in light and dark, at the width of a small laptop, cut at the end of a row. Needs Chromium
(`make test-deps`).
"""

import asyncio
import io
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import httpx2
from PIL import Image, ImageEnhance, ImageFilter
from playwright.async_api import Browser, FloatRect, Page, async_playwright, expect

from tests.e2e.month import fill
from tests.service import ROOT, RunningService

Scheme = Literal["light", "dark"]

PHOTOGRAPHS = ROOT / "examples" / "images"
PICTURES = ROOT / "docs" / "pictures"
FLOWERS = ("daisy", "dandelion", "rose", "sunflower")
WIDTH, HEIGHT = 1120, 760
TALL = 2_000
MARGIN = 12
QUALITY = 85
"""Quality of WebP at which letters stay sharp."""


def bad_light(photograph: Path, count: int) -> Iterator[Image.Image]:
    """The same flower, as a bad camera sees it."""
    chance = random.Random(photograph.stem)  # noqa: S311 - the same each time
    with Image.open(photograph) as whole:
        for _ in range(count):
            width, height = whole.size
            part = chance.uniform(0.5, 0.9)
            left, top = (chance.uniform(0, (1 - part) * side) for side in whole.size)
            seen = whole.crop(
                (int(left), int(top), int(left + part * width), int(top + part * height))
            )
            seen = seen.filter(ImageFilter.GaussianBlur(chance.uniform(0, 3)))
            yield ImageEnhance.Brightness(seen).enhance(chance.uniform(0.2, 1.6))


def labelled(folder: Path, count: int) -> Path:
    """A folder containing a folder for each class."""
    for flower in FLOWERS:
        (folder / flower).mkdir(parents=True)
        for number, seen in enumerate(bad_light(PHOTOGRAPHS / f"{flower}.jpg", count)):
            seen.save(folder / flower / f"{number}.jpg")
    return folder


@dataclass(frozen=True)
class Shown:
    """
    Attributes:
        ends: the element that the picture ends with; if unset, it ends with the screen.
    """

    open: Callable[[Page, RunningService], Awaitable[None]]
    ends: str = ""

    async def clip(self, page: Page) -> FloatRect:
        box = await page.locator(self.ends).bounding_box() if self.ends else None
        height = HEIGHT if box is None else box["y"] + box["height"] + MARGIN
        return {"x": 0, "y": 0, "width": WIDTH, "height": height}


async def answer_page(page: Page, service: RunningService) -> None:
    await page.goto(service.url)
    await page.get_by_label("Choose a picture").set_input_files(PHOTOGRAPHS / "rose.jpg")
    await expect(page.locator(".pill")).to_contain_text("Accepted")


async def dashboard(page: Page, service: RunningService) -> None:
    await page.goto(f"{service.url}/dashboard")
    await page.get_by_text("7 days").click()
    await expect(page.get_by_text("Last 7 days").first).to_be_visible()
    await page.evaluate("document.activeElement.blur()")


async def review(page: Page, service: RunningService) -> None:
    await page.goto(f"{service.url}/review?domain=flowers")
    await page.get_by_label("Your name").fill("Ada")
    await page.keyboard.press("Enter")
    await expect(page.get_by_alt_text("The picture to review")).to_be_visible()


async def evaluation(page: Page, service: RunningService) -> None:
    await page.goto((service.folder / "report.html").as_uri())
    await expect(page.locator(".heat")).to_be_visible()


SHOWN = {
    "answer": Shown(answer_page),
    "dashboard": Shown(dashboard, ends="#charts .card >> nth=0"),
    "review": Shown(review),
    "evaluation": Shown(evaluation, ends=".two"),
}


def busy(folder: Path) -> RunningService:
    """A service with two months of data."""
    asyncio.run(fill(f"sqlite:///{folder}/app.db", datetime.now(UTC)))
    return RunningService(folder)


def asked(folder: Path) -> RunningService:
    """A service with pictures that wait for a review, and with a report."""
    service = RunningService(folder, CACHE_TTL="0")  # a new answer for each colour scheme
    pictures = labelled(folder / "photographs", 40)
    for flower in FLOWERS:
        for each in sorted((pictures / flower).iterdir())[:6]:
            httpx2.post(
                f"{service.url}/classify",
                data={"domain": "flowers"},
                files={"file": each.read_bytes()},
                timeout=30,
            )
    command = ("evaluate", "photographs", "--domain", "flowers", "--html", "report.html")
    subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "app", *command],
        cwd=folder,
        env=os.environ
        | {
            "CONFIG_DIR": str(ROOT / "config"),
            "DATABASE_URL": f"sqlite:///{folder}/evaluated.db",
            "PYTHONPATH": str(ROOT),
        },
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return service


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        path = shutil.which("chromium")
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        await browser.close()


async def show(
    services: dict[str, RunningService], target: Path, schemes: Sequence[Scheme]
) -> None:
    async with chromium() as browser:
        for scheme in schemes:
            for name, shown in SHOWN.items():
                page = await browser.new_page(
                    viewport={"width": WIDTH, "height": TALL if shown.ends else HEIGHT},
                    color_scheme=scheme,
                )
                await shown.open(page, services.get(name, services["answer"]))
                await page.wait_for_load_state("networkidle")
                path = target / f"{name}-{scheme}.webp"
                seen = await page.screenshot(animations="disabled", clip=await shown.clip(page))
                with Image.open(io.BytesIO(seen)) as shot:
                    shot.convert("RGB").save(path, quality=QUALITY, method=6)
                await page.close()
                print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def make(target: Path, schemes: Sequence[Scheme] = ("light", "dark")) -> None:
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        services = {}
        try:
            for name, build in (("dashboard", busy), ("answer", asked)):
                own = Path(folder) / name
                own.mkdir()
                services[name] = build(own)
            asyncio.run(show(services, target, schemes))
        finally:
            for each in services.values():
                each.stop()


if __name__ == "__main__":
    make(PICTURES)
