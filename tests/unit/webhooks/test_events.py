"""The catalogue of events, and what openapi.json says of it."""

import pytest

from app.api.events import event_example, event_model
from app.main import create_schema_app
from app.storage.events import EVENT_TYPES

SCHEMA = create_schema_app().openapi()


def test_every_type_of_event_is_an_operation():
    assert SCHEMA["webhooks"].keys() == EVENT_TYPES.keys()


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_its_example_is_an_event(name):
    example = event_example(name)
    event = event_model(name).model_validate(example)

    assert event.type == name
    subjects = [getattr(event.data, name, None) for name in ("id", "webhook_id", "budget")]
    assert event.link.rpartition("/")[2] in subjects


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
