"""Each rule that is shipped fires when it should, and resolves."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from app.alerts import Rules
from app.identifiers import EXAMPLE, LESSON, new_id
from app.settings_groups import AlertThresholds
from app.storage import ExampleRow, LessonRow
from app.storage.audit import COMMAND_LINE
from tests.alerting import EVERY_S, SHIPPED, World
from tests.inline_database import Inline

DAY = timedelta(days=1)
RULES = {each.name: each for each in Rules(SHIPPED, AlertThresholds()).all}

Act = Callable[[World], Awaitable[None]]


@pytest.fixture
async def world():
    database = Inline()
    yield World(database)
    await database.close()


@dataclass
class Case:
    """`right`, `wrong`, and then `mended`, hold within the rule's window. `few`: as `wrong`, with a
    sample less than the rule wants."""

    subject: str
    right: Act
    wrong: Act
    mended: Act
    few: Act | None = None


def results(count: int, **values) -> Act:
    return lambda world: world.results(count, **values)


async def nothing(world: World) -> None:
    return


async def tomorrow(world: World) -> None:
    world.clock.now += DAY


async def past_the_window(world: World) -> None:
    """And all is well since."""
    world.clock.ahead(minutes=12)
    await world.results(20)


def telling(**told) -> Act:
    async def act(world: World) -> None:
        for name, value in told.items():
            setattr(world.board, name, value)

    return act


def drifting(count: int) -> Act:
    async def act(world: World) -> None:
        await world.results(500, ago=7 * DAY)
        await world.results(count, predicted="daisy")

    return act


def aside(count: int) -> Act:
    """So many examples of flowers are set aside, and no others."""

    async def act(world: World) -> None:
        await world.lessons.add(
            LessonRow(new_id(LESSON), "flowers", "taught", 8, 0.9, "", "{}", world.clock.now)
        )
        await world.examples.forget_aside("flowers", by=COMMAND_LINE)
        for number in range(count):
            values = ("flowers", "rose", f"{number}", None, b"", "", "review", None, "me")
            row = ExampleRow(new_id(EXAMPLE), *values, world.clock.now)
            await world.examples.put(row)
            await world.examples.set_aside([row.id], "They contradict what was known.")

    return act


WRONG_LABEL = {"predicted": "rose", "expected": "daisy"}
RIGHT_LABEL = {"predicted": "rose", "expected": "rose"}

CASES = {
    "accuracy": Case(
        "flowers",
        results(30, **RIGHT_LABEL),
        results(8, **WRONG_LABEL),
        results(4, **RIGHT_LABEL),
        results(29, **WRONG_LABEL),
    ),
    "unseen_accuracy": Case(
        "flowers",
        results(30, **RIGHT_LABEL, source="random_review"),
        results(4, **WRONG_LABEL, source="random_review"),
        results(6, **RIGHT_LABEL, source="random_review"),
        results(29, **WRONG_LABEL, source="random_review"),
    ),
    "response_time": Case(
        "flowers",
        results(20, total_ms=4_700),
        results(3, total_ms=6_000),
        past_the_window,
        results(19, total_ms=6_000),
    ),
    "error_rate": Case(
        "flowers", results(38), results(3, failed=True), past_the_window, results(19, failed=True)
    ),
    "queue_wait": Case(
        "",
        results(20, wait_ms=9_000),
        results(3, wait_ms=12_000),
        past_the_window,
        results(19, wait_ms=12_000),
    ),
    "drift": Case(
        "flowers",
        lambda world: world.results(500, ago=7 * DAY),
        results(200, predicted="daisy"),
        results(20_000),
        drifting(199),
    ),
    "cost_per_day": Case(
        "", lambda world: world.spend("99"), lambda world: world.spend("2"), tomorrow
    ),
    "unhealthy": Case(
        "quota",
        nothing,
        telling(checks={"storage": True, "quota": False}),
        telling(checks={"storage": True, "quota": True}),
    ),
    "lesson_refused": Case("flowers", aside(0), aside(1), aside(0)),
    "breaker_open": Case(
        "azure_openai/west", nothing, telling(breaker="open"), telling(breaker="closed")
    ),
}


@pytest.mark.parametrize("name", ["accuracy", "unseen_accuracy"])
async def test_reviews_of_what_was_unsure_alarm_nobody(world, name):
    world.only(name)
    engine = world.engine()
    await world.results(200, **WRONG_LABEL, source="review")
    await world.pass_time(engine, minutes=2)

    assert await world.alerts() == []


@pytest.mark.parametrize("name", CASES)
async def test_it_fires_and_resolves(world, name):
    """After as long as it says, not before, and while it is wrong."""
    rule, case = RULES[name], CASES[name]
    world.only(name)
    engine = world.engine()
    await case.right(world)
    await engine.look()
    assert await world.alerts() == []

    await case.wrong(world)
    world.clock.ahead(seconds=EVERY_S)
    await engine.look()
    if rule.lasting:
        assert await world.alerts() == [(name, case.subject, "pending")]
        for _ in range(int(rule.lasting.total_seconds() / EVERY_S) - 1):
            if name == "queue_wait":  # which lasts as long as its window
                await world.results(1, wait_ms=12_000)
            await world.pass_time(engine, seconds=EVERY_S)
        assert await world.alerts() == [(name, case.subject, "pending")]
        await world.pass_time(engine, seconds=EVERY_S)
    assert await world.alerts() == [(name, case.subject, "firing")]

    await case.mended(world)
    world.clock.ahead(seconds=EVERY_S)
    await engine.look()
    assert await world.alerts() == [(name, case.subject, "resolved")]
    (alert,) = await world.stored.page(None, limit=10)
    assert (alert.threshold, alert.severity) == (rule.threshold, rule.severity)
    assert not rule.breaks(alert.value)
    assert alert.reason is None
    assert alert.since <= alert.fired_at < alert.resolved_at


async def test_a_webhook_that_the_service_disabled(world):
    """Until it is enabled again; one beside it has an alert of its own."""
    world.only("webhook_disabled")
    engine = world.engine()
    one, other = [await world.webhook() for _ in range(2)]
    await engine.look()
    assert await world.alerts() == []

    await world.disable(one)
    await world.pass_time(engine, seconds=EVERY_S)
    await world.disable(other)
    await world.pass_time(engine, seconds=EVERY_S)
    await world.enable(one)
    await world.pass_time(engine, seconds=EVERY_S)

    assert await world.alerts() == [
        ("webhook_disabled", other.id, "firing"),
        ("webhook_disabled", one.id, "resolved"),
    ]


def test_every_shipped_rule_is_tried():
    assert {*CASES, "webhook_disabled"} == RULES.keys()
    assert {name for name, each in RULES.items() if each.at_least} == {
        name for name, each in CASES.items() if each.few
    }


@pytest.mark.parametrize("name", [name for name, each in CASES.items() if each.few])
async def test_it_says_nothing_of_too_few(world, name):
    """One sample more, and it would."""
    world.only(name, lasting=timedelta(0))
    engine = world.engine()
    await CASES[name].few(world)
    await engine.look()
    assert await world.alerts() == []

    values = {"predicted": "daisy", "expected": "rose", "total_ms": 6_000, "wait_ms": 12_000}
    source = "random_review" if name == "unseen_accuracy" else "request"
    await world.results(1, failed=name == "error_rate", source=source, **values)
    await world.pass_time(engine, seconds=EVERY_S)
    assert [(rule, state) for rule, _, state in await world.alerts()] == [(name, "firing")]


async def test_the_thresholds_of_the_settings_are_kept_to(world):
    """Without a word in the file."""
    rules = Rules(SHIPPED, AlertThresholds(accuracy=0.5, response_time=1.5)).all

    found = {each.name: (each.side, each.threshold) for each in rules}
    assert found["accuracy"] == ("below", 0.5)
    assert found["response_time"] == ("above", 1.5)


async def test_other_domains_are_no_matter(world):
    """Each is counted, and told, by itself."""
    world.only("accuracy")
    engine = world.engine()
    await world.results(30, domain="animals", **RIGHT_LABEL)
    await world.results(30, domain="flowers", **WRONG_LABEL)
    await engine.look()

    assert await world.alerts() == [("accuracy", "flowers", "firing")]


async def test_a_rule_for_some_domains(world):
    world.only("accuracy", domains=frozenset({"animals"}))
    engine = world.engine()
    for domain in ("animals", "flowers"):
        await world.results(30, domain=domain, **WRONG_LABEL)
    await engine.look()

    assert await world.alerts() == [("accuracy", "animals", "firing")]
