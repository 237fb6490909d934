"""The catalogue of events, and what openapi.json says of it."""

import pytest

from app.api.event_operations import event_example, event_model
from app.main import create_schema_app
from app.storage.event_types import EVENT_TYPES

SCHEMA = create_schema_app().openapi()


def test_every_type_of_event_is_an_operation():
    assert SCHEMA["webhooks"].keys() == EVENT_TYPES.keys()


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_its_example_is_an_event(name):
    kind = EVENT_TYPES[name]
    event = event_model(name, kind).model_validate(event_example(name, kind))

    assert event.type == name
    assert event.link == f"/{kind.noun}/{getattr(event.data, kind.subject)}"


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_its_operation_says_what_is_sent(name):
    operation = SCHEMA["webhooks"][name]["post"]
    content = operation["requestBody"]["content"]["application/json"]["schema"]

    assert operation["description"].startswith(EVENT_TYPES[name].about)
    assert {each["name"] for each in operation["parameters"]} == {
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    }
    assert content["$ref"].rpartition("/")[2] in SCHEMA["components"]["schemas"]
    assert content["examples"][0]["type"] == name
    assert operation["responses"].keys() == {"204"}
