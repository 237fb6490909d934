"""The page for whoever reviews, in a real browser against a real service, by keyboard only."""

import hashlib
import io
from itertools import count

import httpx2
import pytest
from PIL import Image
from playwright.async_api import expect

from tests.conftest import PHOTOGRAPHS
from tests.e2e.test_dashboard import AXE

pytestmark = pytest.mark.browser

FLOWERS = ("dandelion", "rose", "sunflower", "daisy")
ANIMALS = ("cat", "dog", "horse", "sheep", "goat", "wolf", "fox", "bear", "lion", "tiger", "zebra")
NUMBERS = count()
LONG_ENOUGH = """new Promise(done => {
    const seen = () => current && performance.now() - seenAt >= LOOK_MS;
    const look = () => seen() ? done() : setTimeout(look, 10);
    look();
})"""
"""Before that nothing may be said of a picture; between two of them there is none."""


class Queue:
    """A domain of its own, all of whose answers are unsure."""

    def __init__(self, service, classes=FLOWERS, pictures: int = 3, headers=None) -> None:
        self.name = f"queue-{next(NUMBERS)}"
        self.service, self.headers = service, headers
        self.url = f"{service.url}/review?domain={self.name}"
        domain = {"name": self.name, "classes": list(classes), "confidence_threshold": 1}
        self.ask("POST", "/domains", json=domain)
        for number in range(pictures):
            with Image.open(PHOTOGRAPHS / f"{FLOWERS[number % 4]}.jpg") as photograph:
                file = io.BytesIO()
                photograph.rotate(number).save(file, "JPEG")
            asked = {"data": {"domain": self.name}, "files": {"file": file.getvalue()}}
            self.ask("POST", "/classify", **asked)

    def ask(self, method: str, path: str, **how):
        url = self.service.url + path
        answer = httpx2.request(method, url, headers=self.headers, timeout=30, **how)
        return answer.raise_for_status().json()

    def results(self) -> list[dict]:
        return self.ask("GET", "/results", params={"domain": self.name})["results"]

    def result(self, result_id: str) -> dict:
        return self.ask("GET", f"/results/{result_id}")

    def steps(self, result_id: str) -> list[tuple]:
        steps = self.ask("GET", f"/reviews/{result_id}")["steps"]
        return [(each["reviewer"], each["action"], each["label"], each["note"]) for each in steps]

    def say(self, result_id: str, action: str, reviewer: str = "bob") -> None:
        order = {"action": action, "reviewer": reviewer}
        self.ask("POST", f"/reviews/{result_id}", json=order)


async def begin(page, queue) -> None:
    await page.goto(queue.url)
    await give_name(page)
    await seen(page)


async def give_name(page) -> None:
    await expect(page.get_by_label("Your name")).to_be_focused()
    await page.keyboard.type("ada")
    await page.keyboard.press("Enter")


async def seen(page) -> str:
    """The id of the result whose picture is shown, for as long as it takes."""
    await expect(page.get_by_alt_text("The picture to review")).to_be_visible()
    await page.evaluate(LONG_ENOUGH)
    return await page.evaluate("current.result.id")


async def press(page, *keys: str, decided: int | None = None) -> str:
    """And wait for what comes next. Returns what was looked at."""
    looked_at = await seen(page)
    for key in keys:
        await page.keyboard.press(key)
    await expect(page.locator("#panel")).not_to_have_class("card busy")
    if decided is not None:
        await expect(page.locator("#counts")).to_contain_text(f"{decided} decided")
    return looked_at


def focus(page):
    return page.evaluate("document.activeElement.id || document.activeElement.textContent")


async def test_twelve_reviews_by_keyboard(browser_page, witness, service):
    """Confirmed, corrected, none, useless, skipped, noted and undone: the service has it all."""
    queue = Queue(service, pictures=12)
    await begin(browser_page, queue)
    await expect(browser_page.locator("#counts")).to_have_text("0 decided · 12 waiting")
    answers = {each["id"]: each["predicted_class"] for each in queue.results()}
    said: dict[str, tuple[str, str | None]] = {}

    for decided in range(1, 5):
        said[await press(browser_page, "Enter", decided=decided)] = ("confirm", "its own")
    for decided in range(5, 7):
        wrong = await browser_page.evaluate(
            "current.classes.findIndex(({label}) => label !== current.result.predicted_class) + 1"
        )
        label = FLOWERS[wrong - 1]
        said[await press(browser_page, str(wrong), decided=decided)] = ("correct", label)
    said[await press(browser_page, "n", decided=7)] = ("correct", "none")
    rejected = await press(browser_page, "x", decided=8)
    await expect(browser_page.locator("#told")).to_have_text("✕ Unusable.")
    undone = await press(browser_page, "u", decided=7)
    assert undone != rejected
    assert await seen(browser_page) == rejected
    await expect(browser_page.locator("#told")).to_contain_text("Undone: unusable")
    said[await press(browser_page, "x", decided=8)] = ("reject", None)
    skipped = await press(browser_page, "s", decided=8)
    noted = await press(browser_page, "t", *"half", "Escape", "Enter", decided=9)
    said[noted] = ("confirm", "its own")
    while len(said) < 12:
        said[await press(browser_page, "Enter", decided=len(said) + 1)] = ("confirm", "its own")

    await expect(browser_page.get_by_text("Nothing to review.").first).to_be_visible()
    await expect(browser_page.locator("#sum")).to_contain_text("12 decided in this session.")
    assert said.keys() == answers.keys()
    for result_id, (action, label) in said.items():
        final = answers[result_id] if label == "its own" else label
        result = queue.result(result_id)
        assert (result["final_class"], result["decided_by"]) == (final, "ada")
        assert queue.steps(result_id)[-1][:3] == ("ada", action, final)
    assert queue.steps(noted)[-1][3] == "half"
    assert [each[1] for each in queue.steps(rejected)] == ["reject", "reopen", "reject"]
    assert [each[1] for each in queue.steps(skipped)] == ["skip", "confirm"]
    assert witness.complaints == []
    assert witness.origins == {service.url}


async def test_a_key_that_is_pressed_twice_decides_one_picture(browser_page, service):
    """And one that is held down."""
    queue = Queue(service, pictures=3)
    await begin(browser_page, queue)

    await press(browser_page, "Enter", "Enter", "Enter", decided=1)
    await browser_page.get_by_role("button", name="That is right").focus()
    await seen(browser_page)
    for _ in range(8):
        await browser_page.keyboard.down("Enter")
    await browser_page.keyboard.up("Enter")
    await expect(browser_page.locator("#counts")).to_have_text("2 decided · 1 waiting")
    await seen(browser_page)

    await expect(browser_page.locator("#counts")).to_have_text("2 decided · 1 waiting")
    assert sum(each["decided_by"] == "ada" for each in queue.results()) == 2


async def test_the_next_picture_is_there_before_it_is_wanted(browser_page, service):
    queue = Queue(service, pictures=3)
    asked: list[str] = []
    browser_page.on("request", lambda each: asked.append(each.url))
    await begin(browser_page, queue)
    await browser_page.wait_for_load_state("networkidle")
    pictures = [each for each in asked if each.endswith("/image")]

    await press(browser_page, "Enter", decided=1)
    await seen(browser_page)

    assert len(pictures) == 3
    assert [each for each in asked if each.endswith("/image")] == pictures


async def test_what_another_has_decided_is_told_and_passed_over(browser_page, service):
    queue = Queue(service, pictures=2)
    await begin(browser_page, queue)
    first = await seen(browser_page)
    queue.say(first, "reject", "ada")

    await press(browser_page, "Enter")

    await expect(browser_page.locator("#told")).to_contain_text("Not counted: ada decided it")
    await expect(browser_page.locator("#counts")).to_contain_text("0 decided")
    assert await seen(browser_page) != first
    assert queue.result(first)["final_class"] is None


async def test_what_could_not_be_sent_is_sent_again(browser_page, service):
    """Its note, too, and once."""
    queue = Queue(service, pictures=2)
    await begin(browser_page, queue)
    first = await press(browser_page, "t", *"wet", "Escape")
    await browser_page.context.set_offline(True)

    await browser_page.keyboard.press("2")
    trouble = browser_page.get_by_role("alert")
    await expect(trouble).to_contain_text("Not saved yet. No answer. The service can't be")
    await expect(browser_page.get_by_role("button", name="Try again")).to_be_focused()
    await browser_page.keyboard.press("Enter")
    await expect(trouble).to_be_visible()
    await browser_page.context.set_offline(False)
    await browser_page.keyboard.press("Enter")

    await expect(browser_page.locator("#counts")).to_have_text("1 decided · 1 waiting")
    await expect(trouble).to_be_hidden()
    ((reviewer, _, label, note),) = queue.steps(first)
    assert (reviewer, label, note) == ("ada", "rose", "wet")


async def test_a_class_among_many_is_found_by_its_name(browser_page, service):
    queue = Queue(service, classes=ANIMALS, pictures=1)
    await begin(browser_page, queue)
    only = await press(browser_page, "/")
    assert await focus(browser_page) == "find"

    await browser_page.keyboard.type("nothing")
    await expect(browser_page.get_by_text("No class matches.")).to_be_visible()
    for _ in "nothing":
        await browser_page.keyboard.press("Backspace")
    await browser_page.keyboard.type("zeb")
    await expect(browser_page.locator("#classes button")).to_have_count(1)
    await browser_page.keyboard.press("Enter")

    await expect(browser_page.locator("#sum")).to_contain_text("1 decided")
    assert queue.result(only)["final_class"] == "zebra"


async def test_a_picture_that_is_not_kept_is_no_matter_for_a_guess(browser_page, service):
    queue = Queue(service, pictures=1)
    await browser_page.route("**/image", lambda route: route.fulfill(status=404, json={}))
    await browser_page.goto(queue.url)
    await give_name(browser_page)
    await expect(browser_page.get_by_text("This picture is no longer stored.")).to_be_visible()
    await browser_page.evaluate(LONG_ENOUGH)

    await browser_page.keyboard.press("Enter")
    await expect(browser_page.get_by_role("button", name="That is right")).to_be_disabled()
    await browser_page.keyboard.press("x")

    await expect(browser_page.locator("#sum")).to_contain_text("1 decided")
    (result,) = queue.results()
    assert (result["final_class"], result["decided_by"]) == (None, "ada")


async def test_a_reload_goes_on_where_it_was(browser_page, service):
    """With the same name, which the tab keeps, and the same picture."""
    queue = Queue(service, pictures=3)
    await begin(browser_page, queue)
    await press(browser_page, "Enter", decided=1)
    looked_at = await seen(browser_page)

    await browser_page.reload()

    assert await seen(browser_page) == looked_at
    await expect(browser_page.locator("#name")).to_have_text("ada")


async def test_nobody_is_told_which_queue_it_comes_from(browser_page, start_service):
    """What is drawn at random looks like all else."""
    service = start_service(REVIEW_RANDOM_SHARE="1")
    queue = Queue(service, pictures=1)
    asked = {"data": {"domain": "flowers"}}
    asked["files"] = {"file": (PHOTOGRAPHS / "rose.jpg").read_bytes()}
    assert queue.ask("POST", "/classify", **asked)["status"] == "accepted"
    shown = []
    await browser_page.goto(queue.url)
    await give_name(browser_page)
    for domain in (queue.name, "flowers"):
        await browser_page.get_by_label("Domain").select_option(domain)
        await expect(browser_page.locator("#asked")).to_contain_text(domain)
        await seen(browser_page)
        shown.append((await browser_page.locator("#review").inner_text()).replace(domain, ""))
    for text in shown:
        assert not {"accepted", "review", "threshold", "random"} & set(text.lower().split())


async def test_a_key_is_asked_for_where_keys_are_needed(browser_page, start_service):
    """Also for pictures; and what was said before it ran out is sent with the new one."""
    key = "correct-horse"
    service = start_service(API_KEYS=f"team:{hashlib.sha256(key.encode()).hexdigest()}:admin")
    queue = Queue(service, pictures=2, headers={"x-api-key": key})
    await browser_page.goto(queue.url)
    field = browser_page.get_by_label("API key", exact=True)
    await expect(field).to_be_focused()
    await browser_page.keyboard.type("wrong")
    await browser_page.keyboard.press("Enter")
    await expect(browser_page.get_by_role("alert")).to_contain_text("This API key is not known.")
    await browser_page.keyboard.type(key)
    await browser_page.keyboard.press("Enter")
    await give_name(browser_page)
    first = await seen(browser_page)

    await browser_page.evaluate("sessionStorage.setItem('api-key', 'expired')")
    await browser_page.keyboard.press("Enter")
    await expect(field).to_be_focused()
    await browser_page.keyboard.type(key)
    await browser_page.keyboard.press("Enter")

    await expect(browser_page.locator("#counts")).to_have_text("1 decided · 1 waiting")
    await expect(field).to_be_hidden()
    assert queue.result(first)["decided_by"] == "ada"
    await browser_page.get_by_role("button", name="Forget the API key").click()
    await expect(field).to_be_focused()
    assert await browser_page.evaluate("sessionStorage.length") == 0


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark"), (390, "light")])
async def test_it_fits_and_axe_finds_nothing_wrong(browser_page, service, width, scheme):
    if not AXE.exists():
        pytest.skip("axe-core is not installed; make test-deps installs it")
    await browser_page.set_viewport_size({"width": width, "height": 800})
    await browser_page.emulate_media(color_scheme=scheme)
    await browser_page.goto(Queue(service, classes=ANIMALS, pictures=2).url)
    await browser_page.evaluate(AXE.read_text())
    violations = "axe.run().then(({violations}) => violations)"
    found = await browser_page.evaluate(violations)
    await give_name(browser_page)
    for _ in range(2):
        await press(browser_page, "Enter")
        found += await browser_page.evaluate(violations)
        assert await browser_page.evaluate("document.documentElement.scrollWidth") == width

    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []


async def test_the_keyboard_reaches_everything_and_shows_where_it_is(browser_page, service):
    queue = Queue(service, pictures=2)
    await begin(browser_page, queue)
    await press(browser_page, "Enter", decided=1)
    await seen(browser_page)
    assert await focus(browser_page) == "panel"
    reached = []
    for _ in range(11):
        await browser_page.keyboard.press("Tab")
        outline = await browser_page.evaluate(
            "getComputedStyle(document.activeElement).outlineStyle"
        )
        assert outline != "none"
        reached.append(await focus(browser_page))

    assert reached[0] == "confirm"
    assert len({each for each in reached if each[0].isdigit()}) == 4
    assert reached[5:] == ["none", "reject", "skip", "undo", "note", "Classify a picture"]


async def test_keys_can_be_turned_off(browser_page, service):
    """For those whose words or slips are keys, too; buttons go on."""
    queue = Queue(service, pictures=2)
    await begin(browser_page, queue)
    await browser_page.get_by_role("button", name="Shortcuts are on").click()
    await seen(browser_page)
    await browser_page.locator("#panel").focus()

    for key in ("Enter", "x", "n", "1"):
        await browser_page.keyboard.press(key)
    await expect(browser_page.locator("#counts")).to_have_text("0 decided · 2 waiting")
    await browser_page.get_by_role("button", name="Unusable").press("Enter")

    await expect(browser_page.locator("#counts")).to_have_text("1 decided · 1 waiting")


async def test_without_a_name_nothing_is_given_out(browser_page, service):
    """Not by the look that comes by itself, nor after what was just being sent."""
    queue = Queue(service, pictures=0)
    asked_for = []
    await browser_page.clock.install()
    await browser_page.goto(queue.url)
    await give_name(browser_page)
    await expect(browser_page.get_by_text("Nothing to review.", exact=False).first).to_be_visible()
    browser_page.on("request", lambda request: asked_for.append(request.url))
    await browser_page.get_by_role("button", name="Change").click()
    await expect(browser_page.get_by_label("Your name")).to_be_focused()

    await browser_page.clock.run_for(31_000)
    await browser_page.evaluate("advance()")

    assert asked_for == []
