"""Describes errors in openapi.json: each is a problem, not the framework's own shape."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field

from app.api import event_operations
from app.api.problems import MEDIA_TYPE
from app.storage.event_types import EventType


class FieldProblem(BaseModel):
    field: str = Field(examples=["body.classes.3"])
    detail: str = Field(examples=["Field required"])


class ProblemBody(BaseModel):
    """Why a request failed (RFC 9457)."""

    type: str = Field(description="Stable; see docs/errors.md.", examples=["/problems/url-refused"])
    title: str = Field(examples=["The URL is refused"])
    status: int = Field(examples=[422])
    detail: str = Field(
        description="For people.", examples=["The host metadata.internal is an internal name."]
    )
    instance: str = Field(description="The path that was asked.", examples=["/classify"])
    errors: list[FieldProblem] | None = Field(
        None, description="Of an invalid request: what is wrong where."
    )
    result_id: str | None = Field(
        None,
        description="Of an attempt that reached a provider: its row.",
        examples=["cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"],
    )
    categories: list[str] | None = Field(
        None, description="Of a content filter: what it found.", examples=[["violence"]]
    )
    budget: str | None = Field(
        None, description="Of `budget-spent`: its name.", examples=["flowers"]
    )
    resets_at: datetime | None = Field(
        None, description="Of `budget-spent`: when the budget begins anew."
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


def document(app: FastAPI, types: Mapping[str, EventType]) -> None:
    """Give every operation a `default` response, a problem, and describe what webhooks are sent for
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
            content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
            for methods in schema["paths"].values():
                for operation in methods.values():
                    for definitions in _below("$defs", operation.get("requestBody")):
                        shapes |= definitions
                    operation["responses"].pop("422", None)
                    operation["responses"]["default"] = {
                        "description": "A problem.",
                        "content": content,
                    }
            # What receivers answer is up to them.
            for methods in schema["webhooks"].values():
                for operation in methods.values():
                    operation["responses"].pop("422", None)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
