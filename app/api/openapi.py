"""Describes errors in openapi.json: each is a problem, not the framework's own shape."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field

from app.api import event_operations
from app.api.problems import MEDIA_TYPE, PROBLEMS, SCHEMA
from app.api.raising import Kind, raised_by
from app.errors import (
    ConfigurationError,
    InternalError,
    InvalidRequest,
    SecretUnreadable,
    UploadTooLarge,
)
from app.storage.event_types import EventType

FAULTS = (ConfigurationError, InternalError, SecretUnreadable)
"""Of the service itself, which any request may meet."""


class FieldProblem(BaseModel):
    field: str = Field(examples=["body.classes.3"])
    detail: str = Field(examples=["Field required"])


class ProblemBody(BaseModel):
    """Why a request failed (RFC 9457)."""

    type: str = Field(
        description="Stable identifier; see docs/errors.md.", examples=["/problems/url-refused"]
    )
    title: str = Field(examples=["The URL is refused"])
    status: int = Field(examples=[422])
    detail: str = Field(
        description="Explanation for people.",
        examples=["The host metadata.internal is an internal name."],
    )
    instance: str = Field(description="Path of the request.", examples=["/classify"])
    errors: list[FieldProblem] | None = Field(
        None, description="For an invalid request: what is wrong, and where."
    )
    result_id: str | None = Field(
        None,
        description="For an attempt that reached a provider: id of its result.",
        examples=["cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"],
    )
    categories: list[str] | None = Field(
        None, description="For a content filter: what it found.", examples=[["violence"]]
    )
    budget: str | None = Field(
        None, description="For `budget-spent`: name of the budget.", examples=["flowers"]
    )
    resets_at: datetime | None = Field(
        None, description="For `budget-spent`: when the budget is reset."
    )


def _below(key: str, schema: Any) -> Iterator[Any]:
    """Remove from a schema, and yield, everything under this key, at any depth."""
    if isinstance(schema, dict):
        if key in schema:
            yield schema.pop(key)
        schema = list(schema.values())
    if isinstance(schema, list):
        for each in schema:
            yield from _below(key, each)


def _example(kind: Kind) -> dict[str, Any]:
    """A problem of this kind, as its answer holds it."""
    problem = PROBLEMS[kind]
    return {
        "summary": problem.title,
        "value": {
            "type": kind.type(),
            "title": problem.title,
            "status": problem.status,
            "detail": kind.about(),
            "instance": "/the/path/that/was/asked",
        },
    }


def _response(kinds: Collection[Kind]) -> dict[str, Any]:
    """One status, and the problems that have it."""
    slugs = sorted(kind.slug() for kind in kinds)
    content = {
        "schema": SCHEMA,
        "examples": {slug: {"$ref": f"#/components/examples/{slug}"} for slug in slugs},
    }
    return {
        "description": ", ".join(f"`{slug}`" for slug in slugs),
        "content": {MEDIA_TYPE: content},
    }


def _responses(kinds: Collection[Kind], shared: dict[str, Any]) -> dict[str, Any]:
    """By status. One that is of a single kind becomes `shared`, under the kind's name."""
    of_status: defaultdict[int, list[Kind]] = defaultdict(list)
    for kind in kinds:
        of_status[PROBLEMS[kind].status].append(kind)
    found = {}
    for status, each in sorted(of_status.items()):
        found[str(status)] = _response(each)
        if len(each) == 1:
            name = each[0].slug()
            shared[name] = found[str(status)]
            found[str(status)] = {"$ref": f"#/components/responses/{name}"}
    return found | {"500": {"$ref": "#/components/responses/fault"}}


def document(app: FastAPI, types: Mapping[str, EventType]) -> None:
    """Describe which problems every operation may answer with, and what webhooks are sent for
    events of these types. All is built on the first request, as a start has no time for it."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.webhooks.include_router(event_operations.operations(types))
            schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                webhooks=app.webhooks.routes,
            )
            shapes = schema["components"]["schemas"]
            shapes.pop("HTTPValidationError", None)
            shapes.pop("ValidationError", None)
            for model in (FieldProblem, ProblemBody):
                shapes[model.__name__] = model.model_json_schema(
                    ref_template="#/components/schemas/{model}"
                )
                shapes[model.__name__].pop("$defs", None)
            shared = {"fault": _response(FAULTS)}
            told = set(FAULTS)
            for operation, raised in _operations(app, schema):
                for definitions in _below("$defs", operation.get("requestBody")):
                    shapes |= definitions
                operation["responses"] |= _responses(raised, shared)
                told |= raised
            schema["components"]["responses"] = dict(sorted(shared.items()))
            schema["components"]["examples"] = {
                kind.slug(): _example(kind) for kind in sorted(told, key=lambda each: each.slug())
            }
            # What receivers answer is up to them.
            for methods in schema["webhooks"].values():
                for operation in methods.values():
                    operation["responses"].pop("422", None)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _operations(app: FastAPI, schema: dict[str, Any]) -> Iterator[tuple[dict[str, Any], set[Kind]]]:
    """Each, and all that it may raise."""
    for route in iter_route_contexts(app.routes):
        for method in route.methods or ():
            operation = schema["paths"].get(route.path_format, {}).get(method.lower())
            if operation is None or route.endpoint is None:
                continue
            raised = raised_by(route.endpoint)
            # So FastAPI says that something in the request may be wrong.
            if operation["responses"].pop("422", None) is not None:
                raised.add(InvalidRequest)
            if "requestBody" in operation:
                raised |= {InvalidRequest, UploadTooLarge}
            yield operation, raised
