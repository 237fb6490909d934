"""The dashboard, in a real browser against a real service that has something to show."""

import asyncio
import hashlib
import re
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright, expect

from app.settings import Settings
from app.settings_sources import leaves, variable
from tests.e2e.conftest import ARGUMENTS, CHROMIUM, Witness
from tests.e2e.month import HOSTILE, UNANSWERED, fill
from tests.integration.calls import until
from tests.service import ROOT, RunningService

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

NOTHING = "\N{EN DASH}"
AXE = ROOT / ".node" / "node_modules" / "axe-core" / "axe.min.js"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser():
    """One for all tests: a page takes much less to open."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed; make test-deps installs it")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def browser_page(browser) -> AsyncIterator[Page]:
    """A page that nothing was done with, and that gives up after ten seconds."""
    context = await browser.new_context(has_touch=True)
    page = await context.new_page()
    page.set_default_timeout(10_000)
    yield page
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def witness(browser_page) -> Witness:
    return Witness(browser_page)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A file with two months, up to now."""
    path = tmp_path_factory.mktemp("months") / "app.db"
    asyncio.run(fill(f"sqlite:///{path}", datetime.now(UTC)))
    return path


@pytest.fixture(scope="module")
def busy(database, tmp_path_factory):
    """A service with two months behind it, and an alert that fires."""
    with pytest.MonkeyPatch.context() as patch:
        for path, _ in leaves(Settings):
            patch.delenv(variable(path), raising=False)
        folder = tmp_path_factory.mktemp("busy")
        shutil.copy(database, folder)
        service = RunningService(
            folder,
            MONITORING_ALERT_THRESHOLDS_ACCURACY="0.999",
            MONITORING_ALERTS_EVERY="0.1",
        )
    asyncio.run(until(lambda: fires(service)))
    yield service
    service.stop()


async def fires(service):
    async with httpx2.AsyncClient(base_url=service.url, timeout=30) as client:
        return (await client.get("/alerts", params={"state": "firing"})).json()["alerts"]


def percent(share):
    """Half is rounded up, as JavaScript does."""
    return f"{float(Decimal(share * 100).quantize(Decimal('0.1'), ROUND_HALF_UP)):g} %"


def milliseconds(value):
    return f"{value:.3g} ms" if value < 999.5 else f"{value / 1000:.3g} s"


def since(report):
    return datetime.fromisoformat(report["since"])


def when(start):
    moment = datetime.fromisoformat(start)
    return f"{moment.day} {moment:%b, %H:%M}"


def panel(page, title):
    return page.locator("section.card", has=page.get_by_role("heading", name=title, exact=True))


def plot(page, title):
    return page.get_by_role("slider", name=f"{title}, read off")


async def opened(page, service, query=""):
    """What the service told the page, by path; of a time that has ended under `before`, too."""
    answers = []
    page.on("response", lambda each: answers.append(each))
    await page.goto(f"{service.url}/dashboard{query}")
    await expect(page.locator("#updated")).to_contain_text("Updated")
    told = {}
    for each in answers:
        url = urlsplit(each.url)
        if url.path.startswith(("/analytics", "/alerts")):
            told[url.path + " before" * ("until=" in url.query)] = await each.json()
    return told


async def legend(page, title):
    """What is read off: the time, then value by name."""
    when, *items = await panel(page, title).locator(".legend > span").all()
    values = {}
    for item in items:
        value = await item.locator("b").text_content()
        values[(await item.text_content()).removesuffix(value).strip()] = value
    return (await when.text_content()), values


async def test_key_figures_are_those_of_the_api(browser_page, busy):
    told = await opened(browser_page, busy)

    total, before = told["/analytics"]["total"], told["/analytics before"]["total"]
    shown = dict(
        zip(
            await browser_page.locator("#figures h2").all_text_contents(),
            await browser_page.locator("#figures b").all_text_contents(),
            strict=True,
        )
    )
    assert shown == {
        "Results": f"{total['results']:,}",
        "Accuracy": percent(total["accuracy"]),
        "Needs review": percent(total["needs_review"] / total["results"]),
        "Failed": percent((total["failed"] + UNANSWERED) / (total["results"] + UNANSWERED)),
        "95 % within": milliseconds(total["latency_ms"]["total"]["p95"]),
        "Cost": f"${told['/analytics/cost']['total_usd']:.2f}",
    }
    unseen = total["unseen_accuracy"]
    assert 0 < unseen["labelled"] < total["labelled"]
    await expect(
        browser_page.locator("#figures li", has_text="Accuracy").locator("span").last
    ).to_contain_text(f"{percent(unseen['value'])} of unreviewed answers")
    more = (total["per_minute"] / before["per_minute"] - 1) * 100
    size = round(abs(more)) if abs(more) >= 10 else round(abs(more), 1)
    await expect(
        browser_page.locator("#figures li", has_text="Results").locator("span").last
    ).to_have_text(f"{'▲' if more > 0 else '▼'} {size:g} % on the 24 hours before")


async def test_mouse_and_keyboard_read_off_what_the_api_says(browser_page, busy):
    """The bad hour, by arrow keys and by the mouse; every chart of the time follows."""
    report = (await opened(browser_page, busy))["/analytics"]
    series = {each["start"]: each for each in report["total"]["series"]}
    start = max(series, key=lambda each: series[each]["unanswered"])
    slot = round((datetime.fromisoformat(start) - since(report)) / timedelta(hours=1))
    tick = plot(browser_page, "Results").locator("rect.bar.accepted")
    assert await tick.count() == sum(each["accepted"] > 0 for each in series.values())

    await plot(browser_page, "Results").focus()
    await browser_page.keyboard.press("Home")
    for _ in range(slot):
        await browser_page.keyboard.press("ArrowRight")

    point = series[start]
    assert await legend(browser_page, "Results") == (
        when(start),
        {
            "accepted": str(point["accepted"]),
            "needs review": str(point["needs_review"]),
            "failed": str(point["failed"]),
            "unanswered": str(UNANSWERED),
        },
    )
    times = {name: milliseconds(point["total_ms"][name]) for name in ("p50", "p95", "p99")}
    assert await legend(browser_page, "Time to a result") == (when(start), times)
    assert await plot(browser_page, "Results").get_attribute("aria-valuetext") == (
        f"{when(start)}: accepted {point['accepted']}, needs review {point['needs_review']}, "
        f"failed {point['failed']}, unanswered {UNANSWERED}"
    )

    await plot(browser_page, "Time to a result").scroll_into_view_if_needed()
    chart = await plot(browser_page, "Time to a result").bounding_box()
    cross = await plot(browser_page, "Time to a result").locator("line.cross").bounding_box()
    await plot(browser_page, "Results").blur()
    await browser_page.mouse.move(cross["x"], chart["y"] + chart["height"] / 2)
    assert (await legend(browser_page, "Time to a result"))[0] == when(start)
    await browser_page.mouse.move(1, 1)
    assert (await legend(browser_page, "Time to a result"))[0] == "Last 24 hours, by hour (UTC)"

    await panel(browser_page, "Accuracy").get_by_text("As a table").click()
    rows = panel(browser_page, "Accuracy").locator("tbody tr")
    await expect(rows).to_have_count(len(series))
    for row in (await rows.all())[:3]:
        time, right, _, labelled = await row.locator("th, td").all_text_contents()
        (of_row,) = (each for each in series.values() if when(each["start"]) == time)
        assert labelled == str(of_row["labelled"])
        assert right == (NOTHING if of_row["accuracy"] is None else percent(of_row["accuracy"]))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
async def test_any_screen_shows_it_whole_and_readable(browser_page, witness, busy, width, scheme):
    """Nothing is complained of, nobody else is asked, nothing has to be scrolled sideways, and a
    finger reads off."""
    await browser_page.set_viewport_size({"width": width, "height": 800})
    await browser_page.emulate_media(color_scheme=scheme)
    await opened(browser_page, busy, "?period=30d")

    for title in ("Results", "Accuracy", "Time to a result", "Confidence", "Tokens", "Cost"):
        await expect(plot(browser_page, title).locator("svg")).to_be_visible()
    await expect(browser_page.locator(".firing h2").first).to_be_in_viewport()
    assert await browser_page.evaluate("document.documentElement.scrollWidth") == width
    results = plot(browser_page, "Results")
    await results.tap()
    await expect(panel(browser_page, "Results").locator(".when")).not_to_contain_text("Last")
    assert witness.complaints == []
    assert witness.origins == {busy.url}


async def test_axe_finds_nothing_wrong(browser_page, busy):
    """Neither weak contrast nor what a screen reader can't tell, with a chart read off and a table
    open."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed; make test-deps installs it")
    await opened(browser_page, busy, "?period=30d&domain=flowers")
    await browser_page.evaluate(AXE.read_text())
    await panel(browser_page, "Accuracy").get_by_text("As a table").click()
    await plot(browser_page, "Results").focus()
    for width, scheme in ((1280, "light"), (390, "dark")):
        await browser_page.set_viewport_size({"width": width, "height": 800})
        await browser_page.emulate_media(color_scheme=scheme)

        found = await browser_page.evaluate("axe.run().then(({violations}) => violations)")

        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []


async def test_choices_change_picture_and_url(browser_page, busy):
    """A link to it shows the same."""
    await opened(browser_page, busy)
    everything = await browser_page.locator("#figures b").first.text_content()

    await browser_page.get_by_text("30 days", exact=True).click()
    await expect(browser_page.locator("#figures b").first).not_to_have_text(everything)
    of_parts = re.compile(r"/analytics\?by=day&since=[^&]+&domain=parts$")
    async with browser_page.expect_response(of_parts) as answer:
        await browser_page.get_by_label("Domain", exact=True).select_option("parts")

    (parts,) = (await (await answer.value).json())["domains"]
    await expect(browser_page.locator("#figures b").first).to_have_text(f"{parts['results']:,}")
    query = parse_qs(urlsplit(browser_page.url).query)
    assert query == {"period": ["30d"], "domain": ["parts"]}
    drift = panel(browser_page, "Classes").locator(".pill").first
    await expect(drift).to_have_text(re.compile(rf"^\w+ \({parts['drift']['classes']:.2f}\)$"))

    await browser_page.reload()
    await expect(browser_page.locator("#figures b").first).to_have_text(f"{parts['results']:,}")
    await expect(browser_page.get_by_label("Last 30 days")).to_be_checked()
    await browser_page.get_by_label("Last 30 days").press("ArrowRight")
    await expect(panel(browser_page, "Results")).to_contain_text("by month")
    await expect(browser_page).to_have_url(re.compile("period=12m"))


async def test_a_domain_of_the_table_can_be_chosen(browser_page, witness, busy):
    """Its classes have names that stay text."""
    await opened(browser_page, busy, "?period=30d")

    await browser_page.get_by_role("button", name="animals").click()

    await expect(browser_page).to_have_url(re.compile("domain=animals"))
    await expect(browser_page.get_by_label("Domain", exact=True)).to_have_value("animals")
    await expect(panel(browser_page, "Classes")).to_contain_text(HOSTILE)
    assert await browser_page.locator("img").count() == 0
    assert witness.complaints == []


async def test_what_fires_is_on_top(browser_page, busy):
    told = (await opened(browser_page, busy))["/alerts"]["alerts"]
    alert, *others = [each for each in told if each["state"] == "firing"]

    firing = browser_page.locator("#alerts .firing")
    await expect(firing.get_by_role("heading")).to_contain_text(
        f"{1 + len(others)} alerts are firing" if others else "One alert is firing"
    )
    await expect(firing).to_contain_text(f"{alert['rule']}: {alert['subject']}")
    await expect(firing).to_contain_text(f"{percent(alert['value'])}, below 99.9 %")
    await expect(panel(browser_page, "Accuracy").locator("text.limit")).to_have_text(
        "alert below 99.9 %"
    )


async def test_it_refreshes_unless_paused_or_hidden(browser_page, busy):
    await browser_page.clock.install()
    asked_for = []
    browser_page.on("request", lambda each: asked_for.append(urlsplit(each.url).path))
    await opened(browser_page, busy)
    await panel(browser_page, "Tokens").get_by_text("As a table").click()
    await plot(browser_page, "Tokens").focus()
    once = asked_for.count("/alerts")

    async with browser_page.expect_response("**/alerts/rules"):
        await browser_page.clock.fast_forward(30_000)
    await expect(plot(browser_page, "Tokens")).to_be_focused()
    await expect(panel(browser_page, "Tokens").locator("table")).to_be_visible()
    await browser_page.get_by_role("button", name="Pause").click()
    await expect(browser_page.locator("#updated")).to_contain_text("paused")
    await browser_page.clock.fast_forward(300_000)
    assert asked_for.count("/alerts") == once + 1

    async with browser_page.expect_response("**/alerts/rules"):
        await browser_page.get_by_role("button", name="Resume").click()
    await browser_page.evaluate(
        """Object.defineProperty(document, "hidden", {value: true, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"))"""
    )
    await browser_page.clock.fast_forward(300_000)
    assert asked_for.count("/alerts") == once + 2
    async with browser_page.expect_response("**/alerts/rules"):
        await browser_page.evaluate(
            "delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))"
        )


async def test_a_silent_service_leaves_the_old_picture(browser_page, busy):
    """And says so, until it answers again."""
    await browser_page.clock.install()
    await opened(browser_page, busy)
    before = await browser_page.locator("#figures").text_content()
    await browser_page.context.set_offline(True)

    await browser_page.clock.fast_forward(30_000)

    failure = browser_page.locator("#failure")
    await expect(failure).to_contain_text("Refreshing failed")
    await expect(failure).to_contain_text("The service can't be reached")
    assert await browser_page.locator("#figures").text_content() == before
    await expect(plot(browser_page, "Results").locator("rect").first).to_be_visible()
    await browser_page.context.set_offline(False)
    await browser_page.clock.fast_forward(30_000)
    await expect(failure).to_be_hidden()


async def test_a_key_is_asked_for_where_keys_are_needed(browser_page, start_service):
    """A wrong one is told. Where there is no result yet the page says so; who is no operator sees
    nothing of alerts and deployments."""
    key = "correct-horse"
    service = start_service(API_KEYS=f"shop:{hashlib.sha256(key.encode()).hexdigest()}")
    await browser_page.goto(f"{service.url}/dashboard?period=7d")
    field = browser_page.get_by_label("API key", exact=True)
    await expect(field).to_be_focused()

    await browser_page.keyboard.type("wrong")
    await browser_page.keyboard.press("Enter")
    await expect(browser_page.locator("#failure")).to_contain_text("This API key is not known.")
    await expect(field).to_be_focused()
    await browser_page.keyboard.type(key)
    await browser_page.keyboard.press("Enter")

    await expect(field).to_be_hidden()
    await expect(browser_page.get_by_text("No results in this period.")).to_be_visible()
    for each in ("#charts", "#alerts", "#figures"):
        await expect(browser_page.locator(each)).to_be_hidden()
    await expect(browser_page.get_by_role("heading", name="Deployments")).to_be_hidden()
    await browser_page.get_by_role("button", name="Forget the API key").click()
    await expect(field).to_be_focused()
    assert await browser_page.evaluate("sessionStorage.length") == 0


async def test_the_most_frequent_class_is_first_whatever_it_is_called(browser_page, busy):
    """JavaScript puts names that are numbers first, in their order."""
    await opened(browser_page, busy)
    counts = {str(number): 10 for number in range(9)} | {"9": 900}
    shown = await browser_page.evaluate("counts => counted(counts).textContent", counts)

    assert shown.startswith("9900")
