"""The report of an evaluation, in a real browser."""

from dataclasses import replace

import pytest
from playwright.async_api import expect

from app.evaluation import outcomes, page, report
from app.images import prepare
from tests.conftest import PHOTOGRAPHS
from tests.e2e.test_dashboard import AXE
from tests.unit.evaluation.answers import NOON, judged, many

pytestmark = pytest.mark.browser

LABELS = (
    "dandelion",
    "rose",
    "sunflower",
    "daisy <script>alert(1)</script> \N{TULIP}",
    "long " * 20,
)
SCREENS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]


def answers():
    """With all that a report can tell."""
    known = [
        replace(each, raw_confidence=min(1, each.confidence * 1.1), calibration="fit_1")
        for each in many(400, LABELS)
    ]
    strangers = [
        judged("none", "rose", 0.3 + 0.02 * number, name=f"none/{number}.jpg", reasons=("ood",))
        for number in range(30)
    ]
    return [*known, judged("rose", None, 0.0, name="broken.jpg", error="no picture"), *strangers]


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The file that a browser opens."""
    found = report(
        answers(),
        LABELS,
        0.7,
        what="<b>labelled</b>/" + "folder/" * 30,
        domain="flowers",
        at=NOON,
        earlier=("earlier.json", outcomes(many(400, LABELS, seed=2))),
    )
    small = prepare((PHOTOGRAPHS / "rose.jpg").read_bytes(), longest=192).jpeg
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page(found, {each.key: small for each in found.mistakes[:6]}), "utf-8")
    return path.as_uri()


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
async def test_any_screen_shows_it_whole(browser_page, witness, shown, width, scheme):
    """Nothing is complained of, nobody is asked, nothing has to be scrolled sideways."""
    await browser_page.set_viewport_size({"width": width, "height": 900})
    await browser_page.emulate_media(color_scheme=scheme)

    await browser_page.goto(shown)

    for title in ("Can the confidence be believed?", "How much can be automated?"):
        chart = browser_page.locator("section", has_text=title).locator("svg").first
        await expect(chart).to_be_visible()
    await expect(browser_page.locator(".heat")).to_be_visible()
    widths = await browser_page.locator(".pictures img").evaluate_all(
        "all => all.map(each => each.naturalWidth)"
    )
    assert len(widths) == 6
    assert all(widths)
    assert await browser_page.evaluate("document.documentElement.scrollWidth") == width
    assert witness.complaints == []
    assert witness.origins == {"file://"}


async def test_axe_finds_nothing_wrong(browser_page, shown):
    if not AXE.exists():
        pytest.skip("axe-core is not installed; make test-deps installs it")
    await browser_page.goto(shown)
    await browser_page.evaluate(AXE.read_text())
    for each in await browser_page.locator("summary").all():
        await each.click()
    for width, scheme in SCREENS:
        await browser_page.set_viewport_size({"width": width, "height": 900})
        await browser_page.emulate_media(color_scheme=scheme)

        found = await browser_page.evaluate("axe.run().then(({violations}) => violations)")

        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []


async def test_a_service_shows_it_under_its_policy(browser_page, witness, service):
    """Its styles are applied, and its pictures shown, though it may do nothing else."""
    rose = (PHOTOGRAPHS / "rose.jpg").read_bytes()
    request = browser_page.request
    await request.post(
        f"{service.url}/classify",
        multipart={
            "domain": "flowers",
            "expected": "daisy",
            "file": {"name": "rose.jpg", "mimeType": "image/jpeg", "buffer": rose},
        },
    )
    made = await request.post(f"{service.url}/evaluations", data={"domain": "flowers"})
    assert made.status == 201, await made.text()

    await browser_page.goto(f"{service.url}{made.headers['location']}/report")

    await expect(browser_page.locator("h1")).to_have_text("How good the answers are: flowers")
    await expect(browser_page.locator(".pictures b")).to_have_text("rose")
    radius = "getComputedStyle(document.querySelector('section')).borderTopLeftRadius"
    assert await browser_page.evaluate(radius) == "14px"
    assert witness.complaints == []
    assert witness.origins == {service.url}
