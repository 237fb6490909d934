"""What other programs tell through the service, under a type that a package brings."""

import json
from importlib.metadata import EntryPoint

import pytest
from pydantic import BaseModel, Field

from app.errors import ConfigurationError, IdempotencyKeyReused
from app.parts import build_parts
from app.storage import event_types
from app.storage.audit import COMMAND_LINE
from app.storage.events import MAX_BODY, MAX_DATA
from app.webhooks import EventType
from tests.integration.calls import api_keys, is_problem
from tests.integration.webhook_calls import get, subscribe, written

KIND = "shop.stock_counted"
TOLD = {"shelf": "roses-3", "count": 12}


class Counted(BaseModel):
    shelf: str = Field(examples=["roses-3"])
    count: int = Field(ge=0, examples=[12])
    seen: list[object] = []


class Unexampled(BaseModel):
    id: str


COUNTED = EventType("A shelf was counted.", Counted, subject="shelf")
WITHOUT_SUBJECT = EventType("A shelf was counted.", Counted)
UNEXAMPLED = EventType("It has no example.", Unexampled)


@pytest.fixture
def install(monkeypatch):
    def install(name: str, value: str) -> None:
        found = {name: EntryPoint(name, f"{__name__}:{value}", event_types.GROUP)}
        monkeypatch.setattr(event_types, "plug_ins", lambda group: found)

    return install


@pytest.fixture
def settings(settings, inbox, install):
    install(KIND, "COUNTED")
    return settings.model_copy(update={"egress_allow": (inbox.place,)})


async def tell(client, headers=None, **values):
    return await client.post(
        "/events", json={"type": KIND, "data": TOLD, **values}, headers=headers
    )


@pytest.mark.parametrize(
    ("values", "status", "told"),
    [
        ({"type": "shop.closed"}, 422, "type: there is no 'shop.closed'"),
        ({"type": "result.created"}, 422, "result.created is told by the service alone"),
        ({"data": {"shelf": "roses-3", "count": -1}}, 422, "body.data.count"),
        ({"data": {"shelf": "", "count": 1}}, 422, "1 to 40 characters"),
        ({"data": {"shelf": "x" * 41, "count": 1}}, 422, "1 to 40 characters"),
        ({"data": {"shelf": "a\x00", "count": 1}}, 422, "1 to 40 characters"),
        ({"data": {**TOLD, "seen": ["x" * MAX_DATA]}}, 422, "are more than 19,500"),
        ({"data": {**TOLD, "seen": ["\ud800"]}}, 422, "not Unicode"),
        ({"data": {**TOLD, "seen": [float("nan")]}}, 422, "finite"),
        ({"domain": "nowhere"}, 404, "nowhere"),
    ],
)
async def test_what_is_wrong_is_refused(client, parts, inbox, values, status, told):
    """And nobody is told."""
    await subscribe(client, inbox)
    content = json.dumps({"type": KIND, "data": TOLD, **values})
    headers = {"content-type": "application/json"}
    refused = await client.post("/events", content=content, headers=headers)

    assert is_problem(refused, status, "invalid-request" if status == 422 else "domain-not-found")
    assert told in refused.json()["detail"]
    assert await written(parts) == []


async def test_the_most_that_is_taken_arrives(client, inbox):
    made = await subscribe(client, inbox)
    room = MAX_DATA - len(json.dumps({**TOLD, "seen": [""]}, separators=(",", ":")))
    data = {**TOLD, "seen": ["x" * room]}
    answered = await tell(client, data=data)
    (post,) = await inbox.got(1)

    assert answered.status_code == 202, answered.text
    assert post.verify(made["secret"])["data"] == data
    assert len(post.body) < MAX_BODY


class TestCallers:
    """`shop` and `press` are callers, `boss` is an operator."""

    @pytest.fixture
    def settings(self, settings):
        keys = api_keys(shop=False, press=False, boss=True)
        return settings.model_copy(update={"api_keys": keys})

    async def test_it_is_told_to_whom_it_concerns(self, client, inbox):
        """Callers hear of their own, operators of all; a domain's, who wants that domain."""
        boss, shop = {"x-api-key": "boss"}, {"x-api-key": "shop"}
        hooks = {
            "boss": await subscribe(client, inbox, boss),
            "press": await subscribe(client, inbox, {"x-api-key": "press"}),
            "shop": await subscribe(client, inbox, shop, event_types=[KIND]),
            "flowers": await subscribe(client, inbox, shop, domains=["flowers"]),
        }
        wanted = {"all's": {}, "shop's": {"caller": "shop"}}
        wanted["animals"] = {"caller": "shop", "domain": "animals"}
        ids = {
            name: (await tell(client, boss, **values)).json()["id"]
            for name, values in wanted.items()
        }

        async def heard(name: str) -> list[str]:
            found = await get(client, f"/webhooks/{hooks[name]['id']}/deliveries", boss)
            return [each["event_id"] for each in found["deliveries"][::-1]]

        assert await heard("boss") == [*ids.values()]
        assert await heard("press") == []
        assert await heard("shop") == [ids["shop's"], ids["animals"]]
        assert await heard("flowers") == [ids["shop's"]]


@pytest.mark.each_database
async def test_one_key_tells_once_also_after_a_restart(settings, lasting_url, inbox):
    own = settings.model_copy(update={"database_url": lasting_url})

    async def publish(parts, count: int) -> str:
        return await parts.publisher.publish(
            KIND,
            Counted(shelf="roses-3", count=count),
            domain=None,
            caller="",
            publisher="counter",
            key="monday",
        )

    async with build_parts(own, serving=True) as parts:
        await parts.webhooks.create("anonymous", {"url": inbox.url()}, by=COMMAND_LINE)
        first, again = await publish(parts, 12), await publish(parts, 12)
        (post,) = await inbox.got(1)
    async with build_parts(own, serving=True) as parts:
        later = await publish(parts, 12)
        with pytest.raises(IdempotencyKeyReused):
            await publish(parts, 13)
        told = await written(parts)

    assert first == again == later
    assert told == [KIND]
    assert post.id == first


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("counted", "COUNTED", "like shop.stock_counted"),
        ("Shop.counted", "COUNTED", "like shop.stock_counted"),
        (f"shop.{'x' * 64}", "COUNTED", "64 characters"),
        ("result.counted", "COUNTED", "result is a namespace of the service's own"),
        ("shop.counted", "WITHOUT_SUBJECT", "Counted has no id"),
        ("shop.counted", "UNEXAMPLED", "the examples of Unexampled are wrong: id"),
        ("shop.counted", "Counted", "it is no EventType"),
        ("shop.counted", "MISSING", "MISSING"),
    ],
)
def test_a_package_that_is_wrong_is_named(install, name, value, told):
    install(name, value)

    with pytest.raises(ConfigurationError) as raised:
        event_types.event_types()

    assert str(raised.value).startswith(f"The event {name} can't be used: ")
    assert told in str(raised.value)
