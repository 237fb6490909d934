"""The pages for people, in a real browser against a real server."""

import base64
import hashlib

import httpx2
import pytest
from playwright.async_api import expect

from tests.conftest import PHOTOGRAPHS

pytestmark = pytest.mark.browser

ROSE = PHOTOGRAPHS / "rose.jpg"


def add_domain(service, name, classes, **keys):
    domain = {"name": name, "classes": classes, **keys}
    httpx2.post(f"{service.url}/domains", json=domain, timeout=30).raise_for_status()


def percent(share):
    return "< 0.1 %" if 0 < share < 0.001 else f"{share * 100:.1f} %"


async def bars(page):
    """Name, number and share of the width of each bar, from top to bottom."""
    return await page.locator(".bars li").evaluate_all(
        """bars => bars.map(bar => {
            const [name, number, track] = bar.children;
            const share = track.firstChild.getBoundingClientRect().width / track.clientWidth;
            return [name.textContent, number.textContent, share];
        })"""
    )


async def hand_over(page, event, kind):
    """Drop or paste the rose, as the operating system would."""
    await page.evaluate(
        """([text, event, kind]) => {
            const bytes = Uint8Array.from(atob(text), each => each.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "rose.jpg", {type: "image/jpeg"}));
            const field = event === "drop" ? "dataTransfer" : "clipboardData";
            document.body.dispatchEvent(
                new window[kind](event, {[field]: transfer, bubbles: true, cancelable: true}));
        }""",
        [base64.b64encode(ROSE.read_bytes()).decode(), event, kind],
    )


async def test_a_chosen_photograph_is_answered(browser_page, witness, service):
    """The page shows what the API stored: class, status, every probability as number and bar."""
    await browser_page.goto(service.url)
    await expect(browser_page.get_by_label("Domain")).to_have_value("flowers")
    await expect(browser_page.locator("#classes")).to_contain_text("rose, sunflower")

    await browser_page.get_by_label("Choose a picture").set_input_files(ROSE)

    await expect(browser_page.get_by_role("heading", level=2)).to_have_text("rose")
    await expect(browser_page.locator(".pill")).to_contain_text("Accepted")
    await expect(browser_page.get_by_alt_text("rose.jpg")).to_be_visible()
    link = browser_page.get_by_role("link", name="cls_")
    result = httpx2.get(service.url + await link.get_attribute("href"), timeout=30).json()
    await expect(browser_page.get_by_role("status")).to_have_text(
        f"rose, {percent(result['confidence'])} sure. Accepted."
    )
    await expect(browser_page.locator("dl")).to_contain_text(result["model"])
    shares = dict(result["probabilities"])
    shares["anything else"] = 1 - sum(shares.values())
    shown = await bars(browser_page)
    by_share = sorted(shares.items(), key=lambda item: -item[1])
    assert [bar[:2] for bar in shown] == [[name, percent(share)] for name, share in by_share]
    for (_, _, width), (_, share) in zip(shown, by_share, strict=True):
        assert width == pytest.approx(share, abs=0.002)
    assert witness.complaints == []
    assert witness.origins == {service.url}


@pytest.mark.parametrize(("event", "kind"), [("drop", "DragEvent"), ("paste", "ClipboardEvent")])
async def test_a_dropped_or_pasted_photograph_is_answered(browser_page, service, event, kind):
    await browser_page.goto(service.url)
    await expect(browser_page.get_by_label("Domain")).to_have_value("flowers")

    await hand_over(browser_page, event, kind)

    await expect(browser_page.get_by_role("heading", level=2)).to_have_text("rose")


async def test_an_unsure_answer_says_why_a_person_should_look(browser_page, service):
    await browser_page.goto(service.url)
    await browser_page.get_by_label("Choose a picture").set_input_files(ROSE)
    await expect(browser_page.locator(".pill")).to_contain_text("Accepted")

    await browser_page.get_by_label("Domain").select_option("objects")
    await browser_page.get_by_role("button", name="Classify again: objects").click()

    await expect(browser_page.locator(".pill")).to_contain_text("Needs review")
    await expect(browser_page.locator("#answer")).to_contain_text(
        "the confidence is below this domain's threshold (70 %)"
    )
    # The most probable is on top, also when it is no class.
    assert (await bars(browser_page))[0][0] == "anything else"


async def test_none_of_the_classes_is_an_answer(browser_page, service):
    add_domain(service, "pets", ["cat", "dog"], allow_none=True)
    await browser_page.goto(service.url)
    await browser_page.get_by_label("Domain").select_option("pets")

    await browser_page.get_by_label("Choose a picture").set_input_files(ROSE)

    await expect(browser_page.get_by_role("heading", level=2)).to_have_text("None of these")
    await expect(browser_page.locator("#answer")).to_contain_text(
        "show none of the domain's classes"
    )


async def test_names_are_text_never_markup(browser_page, witness, service):
    hostile = "<img src=/x onerror=alert(1)>"
    add_domain(
        service,
        "hostile",
        [{"label": hostile, "aliases": ["cat"]}, "dog"],
        description=hostile,
    )
    await browser_page.goto(service.url)
    await browser_page.get_by_label("Domain").select_option("hostile")

    await browser_page.get_by_label("Choose a picture").set_input_files(ROSE)

    await expect(browser_page.locator("#classes")).to_have_text(f"{hostile}: {hostile}, dog")
    await expect(browser_page.locator(".bars")).to_contain_text(hostile)
    assert await browser_page.locator("img").count() == 1
    assert witness.complaints == []


async def test_a_problem_is_shown(browser_page, service, tmp_path):
    """Title and detail, as the API words them; the next picture is answered."""
    text = tmp_path / "notes.txt"
    text.write_text("This is no picture.")
    problem = httpx2.post(
        f"{service.url}/classify",
        data={"domain": "flowers"},
        files={"file": text.read_bytes()},
        timeout=30,
    ).json()
    await browser_page.goto(service.url)

    await browser_page.get_by_label("Choose a picture").set_input_files(text)

    await expect(browser_page.get_by_role("heading", level=2)).to_have_text(problem["title"])
    await expect(browser_page.locator("#answer")).to_contain_text(problem["detail"])
    await expect(browser_page.get_by_role("status")).to_have_text(
        f"{problem['title']}. {problem['detail']}"
    )
    await browser_page.get_by_label("Choose a picture").set_input_files(ROSE)
    await expect(browser_page.get_by_role("heading", level=2)).to_have_text("rose")


async def test_a_silent_service_is_a_problem_too(browser_page, start_service):
    service = start_service()
    await browser_page.goto(service.url)
    await expect(browser_page.get_by_label("Domain")).to_have_value("flowers")
    service.stop()

    await browser_page.get_by_label("Choose a picture").set_input_files(ROSE)

    await expect(browser_page.get_by_role("heading", level=2)).to_have_text("No answer")


async def test_a_key_is_asked_for_where_keys_are_needed(browser_page, start_service):
    """A wrong one is told; a right one works, also for links, and lives in this tab only."""
    key = "correct-horse"
    service = start_service(API_KEYS=f"team:{hashlib.sha256(key.encode()).hexdigest()}")
    await browser_page.goto(service.url)
    field = browser_page.get_by_label("API key", exact=True)
    await expect(field).to_be_focused()

    await browser_page.keyboard.type("wrong")
    await browser_page.keyboard.press("Enter")
    await expect(browser_page.locator("#answer")).to_contain_text("This API key is not known.")

    await expect(field).to_be_focused()
    await browser_page.keyboard.type(key)
    await browser_page.keyboard.press("Enter")
    await expect(browser_page.get_by_label("Domain")).to_have_value("flowers")
    await expect(field).to_be_hidden()
    await browser_page.get_by_label("Choose a picture").set_input_files(ROSE)
    await expect(browser_page.get_by_role("heading", level=2)).to_have_text("rose")

    await browser_page.get_by_role("link", name="cls_").click()
    await expect(browser_page.get_by_role("dialog")).to_contain_text('"caller": "team"')
    await browser_page.get_by_role("button", name="Close").click()
    stored = "[sessionStorage['api-key'], localStorage.length, document.cookie]"
    assert await browser_page.evaluate(stored) == [key, 0, ""]

    await browser_page.get_by_role("button", name="Forget the API key").click()
    await expect(field).to_be_focused()
    assert await browser_page.evaluate("sessionStorage.length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_phone_needs_no_sideways_scrolling(browser_page, service, scheme):
    await browser_page.set_viewport_size({"width": 360, "height": 640})
    await browser_page.emulate_media(color_scheme=scheme)
    await browser_page.goto(service.url)
    await browser_page.get_by_label("Choose a picture").set_input_files(ROSE)

    await expect(browser_page.get_by_role("heading", level=2)).to_be_in_viewport()

    assert await browser_page.evaluate("document.documentElement.scrollWidth") == 360


async def test_the_keyboard_reaches_everything(browser_page, service):
    await browser_page.goto(service.url)
    await expect(browser_page.get_by_label("Domain")).to_have_value("flowers")
    reached = []
    for _ in range(10):
        await browser_page.keyboard.press("Tab")
        reached.append(
            await browser_page.evaluate(
                """() => {
                    const {id, textContent} = document.activeElement;
                    const shown = document.activeElement.closest(".drop") ?? document.activeElement;
                    if (getComputedStyle(shown).outlineStyle === "none") return "no outline";
                    return id || textContent;
                }"""
            )
        )

    links = ["Review", "Dashboard", "Try the API", "API reference"]
    links += ["Domains", "Results", "Health", "Metrics"]
    assert reached == ["domain", "file", *links]


async def test_every_link_leads_somewhere(browser_page, service):
    await browser_page.goto(service.url)
    hrefs = await browser_page.locator("nav a").evaluate_all("all => all.map(each => each.href)")

    answers = {href: httpx2.get(href, timeout=30).status_code for href in hrefs}

    paths = ("review", "dashboard", "docs", "redoc", "domains", "results", "health", "metrics")
    assert answers == {f"{service.url}/{path}": 200 for path in paths}


@pytest.mark.parametrize(
    ("path", "sign"),
    [
        ("/", "#classes:not(:empty)"),
        ("/docs", ".opblock"),
        ("/redoc", "[data-section-id]"),
    ],
)
async def test_pages_ask_nobody_else(browser_page, witness, service, path, sign):
    """No other origin is asked and nothing is complained of, on any page for people."""
    await browser_page.goto(service.url + path)

    await browser_page.locator(sign).first.wait_for()
    await browser_page.wait_for_load_state("networkidle")

    assert witness.complaints == []
    assert witness.origins == {service.url}


async def test_swagger_ui_classifies(browser_page, witness, service):
    """By hand: choose the form, set domain and file, leave the rest empty, execute."""
    await browser_page.goto(f"{service.url}/docs")
    block = browser_page.locator(".opblock", has_text="/classify").first
    await block.locator("button.opblock-summary-control").click()
    await block.get_by_role("button", name="Try it out").click()
    await block.locator(".opblock-section-request-body select").first.select_option(
        "multipart/form-data"
    )
    await block.locator("tr[data-property-name=domain] input").first.fill("flowers")
    await block.locator("input[type=file]").set_input_files(ROSE)

    async with browser_page.expect_request(f"{service.url}/classify") as sent:
        await block.get_by_role("button", name="Execute").click()

    await expect(block.locator(".live-responses-table .response-col_status").last).to_contain_text(
        "200"
    )
    answer = block.locator(".live-responses-table")
    await expect(answer).to_contain_text('"predicted_class": "rose"')
    await expect(answer).to_contain_text('"expected": null')
    assert (await sent.value).headers["content-type"].startswith("multipart/form-data")
    assert witness.complaints == []
    assert witness.origins == {service.url}
