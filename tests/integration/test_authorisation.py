"""Every route, with every kind of key: the routes are taken from the API's own description."""

import json
from pathlib import Path

import httpx2
import pytest
from fastapi.routing import iter_route_contexts

from app.main import create_schema_app
from app.settings_groups import ExportSettings
from tests.fakes import answer
from tests.integration.calls import PICTURE, api_keys, is_problem, until, upload
from tests.integration.test_batches import create
from tests.integration.webhook_calls import subscribe

OPENAPI = json.loads((Path(__file__).parents[2] / "openapi.json").read_text())
ROUTES = sorted(
    (method.upper(), path)
    for path, operations in OPENAPI["paths"].items()
    for method in operations
    if method != "parameters"
)

PUBLIC = {("GET", "/health"), ("GET", "/health/live"), ("GET", "/health/ready")}
"""For load balancers, which have no key."""

OPERATORS = {
    ("POST", "/alerts/rules/reload"),
    ("GET", "/alerts"),
    ("GET", "/deployments"),
    ("GET", "/audit"),
    ("DELETE", "/callers/{name}/data"),
    ("GET", "/alerts/rules"),
    ("GET", "/alerts/{alert_id}"),
    ("PUT", "/budgets"),
    ("PUT", "/budgets/{name}"),
    ("DELETE", "/budgets/{name}"),
    ("POST", "/domains"),
    ("POST", "/domains/reload"),
    ("PUT", "/domains/{name}"),
    ("DELETE", "/domains/{name}"),
    ("POST", "/domains/{name}/calibrations"),
    ("DELETE", "/domains/{name}/calibrations/{calibration_id}"),
    ("POST", "/domains/{name}/examples"),
    ("DELETE", "/domains/{name}/examples/{example_id}"),
    ("POST", "/domains/{name}/lessons"),
    ("DELETE", "/domains/{name}/lessons/{lesson_id}"),
    ("POST", "/events"),
}
"""What concerns all callers."""

OWNED = ("result_id", "batch_id", "evaluation_id", "webhook_id", "delivery_id")
"""Parameters that name what belongs to one caller."""

SHOWS_OWN = {
    "/results": "result_id",
    "/results/export": "result_id",
    "/reviews": "result_id",
    "/batches": "batch_id",
    "/evaluations": "evaluation_id",
    "/webhooks": "webhook_id",
    "/deliveries": "delivery_id",
}
"""Lists of it."""

BODIES = {
    ("PATCH", "/batches/{batch_id}"): {"json": {"lane": "batch"}},
    ("POST", "/batches/{batch_id}/export"): {"json": {"to": "memory://out/x.json"}},
    ("PUT", "/results/{result_id}/expected"): {"json": {"label": "rose"}},
    ("POST", "/reviews/{result_id}"): {"json": {"action": "confirm", "reviewer": "ada"}},
    ("PATCH", "/webhooks/{webhook_id}"): {"json": {"description": "x"}},
    ("POST", "/webhooks/{webhook_id}/replay"): {"params": {"since": "2026-01-01T00:00:00Z"}},
}
"""What a route wants before it looks for what is named."""

FOR_EACH = {
    ("POST", "/classify"): {"files": upload()},
    ("POST", "/batches"): {
        "files": {"file": ("a.jpg", PICTURE)},
        "data": {"domain": "flowers", "provider": "fake"},
    },
    ("POST", "/results/export"): {"json": {"to": "memory://out/x.json"}},
    ("POST", "/evaluations"): {"json": {"domain": "flowers"}},
    ("POST", "/webhooks"): {
        "json": {"url": "https://hooks.example.com/own", "event_types": ["result.created"]}
    },
    ("GET", "/reviews/statistics"): {},
    ("GET", "/analytics"): {},
    ("GET", "/analytics/cost"): {},
    ("GET", "/budgets"): {},
    ("GET", "/budgets/{name}"): {},
    ("GET", "/domains"): {},
    ("GET", "/domains/{name}"): {},
    ("GET", "/domains/{name}/calibrations"): {},
    ("GET", "/domains/{name}/cascade"): {},
    ("GET", "/domains/{name}/examples"): {},
    ("GET", "/domains/{name}/lessons"): {},
    ("GET", "/domains/{name}/threshold"): {"params": {"accuracy": 0.9}},
    ("GET", "/events"): {},
    ("GET", "/metrics"): {},
}
"""What each does and sees for itself, and how it is asked well."""

OVER = ("pause", "resume", "cancel")

OF_ONE = {
    ("POST", "/evaluations"): (409, "nothing-labelled"),
    ("GET", "/budgets/{name}"): (404, "budget-not-found"),
    ("GET", "/domains/{name}/threshold"): (409, "too-few-labels"),
}
"""What a stranger hears where there is something of another caller only."""

OF_ITSELF = {("POST", f"/batches/{{batch_id}}/{each}"): (409,) for each in OVER}
"""What an owner may hear, too, because the batch is over."""

NAMING = {
    ("GET", "/results"): {"caller": "shop", "similar_to": "result_id"},
    ("GET", "/results/export"): {"caller": "shop", "similar_to": "result_id"},
    ("POST", "/results/export"): {"caller": "shop", "similar_to": "result_id"},
    ("GET", "/analytics"): {"caller": "shop"},
    ("GET", "/analytics/cost"): {"caller": "shop"},
    ("GET", "/deliveries"): {"subject": "result_id", "webhook_id": "webhook_id"},
    ("POST", "/evaluations"): {"batch_id": "batch_id", "compare_with": "evaluation_id"},
}
"""Fields of a query, or of a body, that can name what is another's."""

PAGES = (
    "/",
    "/docs",
    "/docs/oauth2-redirect",
    "/dashboard",
    "/review",
    "/redoc",
    "/redoc.js",
    "/openapi.json",
)

JSON = {"content-type": "application/json"}


@pytest.fixture
def settings(settings):
    keys = api_keys(shop=False, press=False, boss=True)
    targets = ExportSettings(targets=("memory://out/",))
    return settings.model_copy(update={"api_keys": keys, "export": targets})


@pytest.fixture
async def owned(client, fake):
    """Ids of what belongs to `shop`, by the names of the parameters."""
    shop = as_("shop")
    hook = await subscribe(client, "https://hooks.example.com/in", headers=shop)
    fake.script.append(answer("rose", 0.5))
    batch = await create(client, ("rose.jpg", PICTURE), headers=shop)

    async def items() -> list[dict]:
        found = await client.get(f"/batches/{batch['id']}/items", headers=shop)
        return [each for each in found.json()["items"] if each["result"]]

    await until(items)
    (item,) = await items()
    labelled = upload(provider="second", expected="rose")
    assert (await client.post("/classify", files=labelled, headers=shop)).status_code == 200
    paid = upload(provider="priced")
    assert (await client.post("/classify", files=paid, headers=shop)).status_code == 200
    order = {"domain": "flowers"}
    evaluation = (await client.post("/evaluations", json=order, headers=shop)).json()
    sent = (await client.get("/deliveries", headers=shop)).json()["deliveries"]
    return {
        "result_id": item["result"]["id"],
        "batch_id": batch["id"],
        "evaluation_id": evaluation["id"],
        "webhook_id": hook["id"],
        "delivery_id": sent[0]["id"],
    }


@pytest.mark.parametrize("key", [None, "nobody"])
async def test_without_a_known_key_nothing_is_said(client, key):
    for method, path in set(ROUTES) - PUBLIC:
        asked = await client.request(method, unnamed(path), headers=as_(key) if key else {})

        assert is_problem(asked, 401, "not-authenticated")


@pytest.mark.parametrize("content", [b"{", b"\xff"])
async def test_who_may_not_ask_is_told_nothing_of_the_body(client, content):
    """The framework reads it before it asks for a key."""
    nobody = await client.put("/budgets", content=content, headers=JSON)
    caller = await client.put("/budgets", content=content, headers=JSON | as_("shop"))

    assert is_problem(nobody, 401, "not-authenticated")
    assert is_problem(caller, 403, "not-allowed")


async def test_health_needs_no_key(client):
    for method, path in PUBLIC:
        asked = await client.request(method, path)

        assert asked.status_code == 200
        assert not any(name in asked.text for name in ("shop", "press", "boss"))


def test_the_description_says_what_is_for_operators():
    described = {
        (method, path)
        for method, path in ROUTES
        if {"ApiKey": ["admin"]} in OPENAPI["paths"][path][method.lower()].get("security", ())
    }

    assert described == OPERATORS


async def test_what_concerns_all_is_for_operators(client):
    """403 before anything is looked for or read."""
    for method, path in OPERATORS:
        of_caller = await client.request(method, unnamed(path), headers=as_("shop"))
        of_operator = await client.request(method, unnamed(path), headers=as_("boss"))

        assert is_problem(of_caller, 403, "not-allowed")
        assert of_operator.status_code in (200, 204, 404, 422), (method, path)


@pytest.mark.parametrize(
    ("method", "path"), [each for each in ROUTES if any(f"{{{it}}}" in each[1] for it in OWNED)]
)
async def test_what_is_anothers_does_not_exist(client, owned, method, path):
    """404 for a stranger, as if it had never been; there for its owner, and for an operator."""
    place, options = path.format(**owned), BODIES.get((method, path), {})

    async def ask(name: str) -> int:
        answered = await client.request(method, place, headers=as_(name), **options)
        return answered.status_code

    assert await ask("press") == 404
    served = (200, 201, 202, 204, *OF_ITSELF.get((method, path), ()))
    assert await ask("shop") in served
    if method != "DELETE":
        assert await ask("boss") in served


@pytest.mark.parametrize(
    "path",
    [
        path
        for method, path in ROUTES
        if method == "DELETE" and any(f"{{{it}}}" in path for it in OWNED)
    ],
)
async def test_an_operator_deletes_what_is_anothers(client, owned, path):
    deleted = await client.delete(path.format(**owned), headers=as_("boss"))

    assert deleted.status_code == 204


@pytest.mark.parametrize(("method", "path"), FOR_EACH)
async def test_what_is_for_each_tells_nothing_of_others(client, owned, method, path):
    """Neither what is another's, nor who that is; its owner and operators are served, too."""
    order = {"caller": "shop", "period": "month", "amount_usd": 50}
    made = await client.put("/budgets/flowers", json=order, headers=as_("boss"))
    assert made.status_code == 200, made.text
    place, options = path.format(name="flowers"), FOR_EACH[method, path]

    async def ask(name: str) -> httpx2.Response:
        return await client.request(method, place, headers=as_(name), **options)

    asked = await ask("press")
    if (method, path) in OF_ONE:
        assert is_problem(asked, *OF_ONE[method, path])
    else:
        assert asked.status_code in (200, 201, 202), asked.text
    assert [each for each in (*owned.values(), '"shop"') if each in asked.text] == []
    served = (409,) if path.endswith("/threshold") else (200, 201, 202)  # one label is too few
    for name in ("shop", "boss"):
        assert (await ask(name)).status_code in served


@pytest.mark.parametrize(
    ("method", "path", "field", "names"),
    [(*each, *item) for each, fields in NAMING.items() for item in fields.items()],
)
async def test_naming_what_is_anothers_tells_nothing_of_it(
    client, owned, method, path, field, names
):
    """Nothing that was not in the request."""
    given = {field: owned.get(names, names)}
    options = FOR_EACH.get((method, path), {})
    if path == "/evaluations":
        options = {"json": options["json"] | given}
    else:
        options = options | {"params": given}
    asked = await client.request(method, path, headers=as_("press"), **options)
    told = [each for each in owned.values() if each in asked.text and each not in given.values()]

    assert asked.status_code in (200, 201, 404)
    assert told == []
    if field == "caller":
        of_operator = await client.request(method, path, headers=as_("boss"), **options)
        unasked = options | {"params": options["params"] | {"caller": "press"}}
        of_itself = await client.request(method, path, headers=as_("press"), **unasked)

        assert counted(asked) == counted(of_itself)
        assert counted(of_operator) != counted(of_itself)


def test_every_field_that_names_what_is_anothers_is_known_here():
    fields = {*OWNED, "caller", "subject", "similar_to"}
    found: dict[tuple[str, str], set[str]] = {}
    for method, path in ROUTES:
        operation = OPENAPI["paths"][path][method.lower()]
        named = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
        is_anothers = any(f"{{{each}}}" in path for each in OWNED)
        if named & fields and not is_anothers and (method, path) not in OPERATORS:
            found[method, path] = named & fields
    order = OPENAPI["components"]["schemas"]["EvaluationOrder"]["properties"].keys()
    found["POST", "/evaluations"] = order & {"batch_id", "compare_with"}

    assert found == {each: set(fields) for each, fields in NAMING.items()}


@pytest.mark.parametrize(("path", "parameter"), SHOWS_OWN.items())
async def test_lists_hold_what_is_ones_own(client, owned, path, parameter):
    async def shown(name: str) -> bool:
        query = {"reviewer": "ada"} if path == "/reviews" else {}
        listed = await client.get(path, params=query, headers=as_(name))
        assert listed.status_code == 200, listed.text
        return owned[parameter] in listed.text

    assert [await shown(name) for name in ("press", "shop", "boss")] == [False, True, True]


async def test_what_is_not_described_is_for_people(client):
    """Pages and their scripts, which hold nobody's data."""
    described = {(method, path) for method, path in ROUTES}
    others = {
        (method, route.path_format)
        for route in iter_route_contexts(create_schema_app().routes)
        for method in route.methods or ()
        if (method, route.path_format) not in described and method != "HEAD"
    }

    assert others == {("GET", each) for each in PAGES}
    for each in PAGES:
        assert (await client.get(each)).status_code == 200


def test_every_route_is_known_here():
    """A new one has to say whose it is."""
    lists = {("GET", path) for path in SHOWS_OWN}
    named = {each for each in ROUTES if any(f"{{{it}}}" in each[1] for it in OWNED)}

    assert PUBLIC | OPERATORS | FOR_EACH.keys() | lists | named == set(ROUTES)


def counted(answered: httpx2.Response) -> dict:
    """What it says of results: not the time that it is about."""
    assert answered.is_success, answered.text
    found = answered.json()
    if isinstance(found, dict):
        return {name: each for name, each in found.items() if name not in ("since", "until")}
    return {"rows": found}


def as_(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {name}"}


def unnamed(path: str) -> str:
    """With some name in it, of nothing."""
    return path.replace("{", "").replace("}", "")
