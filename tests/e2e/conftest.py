"""A real browser, and a witness of what it does."""

import shutil
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest
from playwright.async_api import ConsoleMessage, Page, Request, async_playwright

from app.settings import Settings
from app.settings_sources import leaves, variable
from tests.conftest import RunningService

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Witness:
    """What a page complains of, and whom it asks."""

    def __init__(self, page: Page) -> None:
        self.complaints: list[str] = []
        self.origins: set[str] = set()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._asked)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in ("blob", "data"):
            self.origins.add(f"{url.scheme}://{url.netloc}")


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Iterator[RunningService]:
    """One for all tests of a module that don't stop it or set variables."""
    with pytest.MonkeyPatch.context() as patch:
        for path, _ in leaves(Settings):
            patch.delenv(variable(path), raising=False)
        service = RunningService(tmp_path_factory.mktemp("service"))
    yield service
    service.stop()


@pytest.fixture
async def browser_page() -> AsyncIterator[Page]:
    """A page of headless Chromium that gives up after ten seconds."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed; make test-deps installs it")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = await browser.new_page()
        page.set_default_timeout(10_000)
        yield page
        await browser.close()


@pytest.fixture
def witness(browser_page: Page) -> Witness:
    return Witness(browser_page)
