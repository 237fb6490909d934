"""openapi.json names the errors of each operation."""

from itertools import chain
from typing import Annotated

import pytest
from fastapi import FastAPI, Path

from app import errors
from app.api.openapi import document
from app.api.raising import Raises, raised_by
from app.main import create_schema_app
from app.storage.event_types import EVENT_TYPES

SCHEMA = create_schema_app().openapi()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in SCHEMA["paths"].items()
    for method, operation in methods.items()
}

BatchId = Annotated[str, Path(), Raises(errors.BatchNotFound)]


@Raises(errors.BatchOver, errors.Overloaded)
async def stop(batch_id: BatchId, urgent: bool = False) -> None: ...


async def look(batch_id: BatchId) -> None: ...


def test_a_route_raises_what_it_says_and_what_its_parameters_say():
    assert raised_by(stop) == {errors.BatchNotFound, errors.BatchOver, errors.Overloaded}
    assert raised_by(look) == {errors.BatchNotFound}


def test_an_operation_has_a_response_for_each_status_that_it_raises():
    """422 where something in the request may be wrong, 413 where there is a body."""
    app = FastAPI()
    app.post("/batches/{batch_id}/stop")(stop)
    document(app, EVENT_TYPES)

    responses = app.openapi()["paths"]["/batches/{batch_id}/stop"]["post"]["responses"]

    assert responses.keys() == {"200", "404", "409", "422", "500", "503"}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_every_error_is_an_example_of_its_status(operation):
    """There is no `default`, which would be any."""
    assert all(status.isdecimal() for status in operation["responses"])
    for status, response in operation["responses"].items():
        if "$ref" in response:
            response = SCHEMA["components"]["responses"][response["$ref"].rpartition("/")[2]]
        content = response.get("content", {}).get("application/problem+json", {})
        for slug in content.get("examples", ()):
            told = SCHEMA["components"]["examples"][slug]["value"]
            assert (told["type"], told["status"]) == (f"/problems/{slug}", int(status))


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_who_may_be_kept_out_is_told_so(operation):
    """401 where a key is needed, 403 where it has to be an operator's."""
    scopes = [each["ApiKey"] for each in operation.get("security", ()) if "ApiKey" in each]

    assert ("401" in operation["responses"]) == bool(scopes)
    if "admin" in chain.from_iterable(scopes):
        assert "403" in operation["responses"]
