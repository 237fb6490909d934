"""Bodies that are read by hand, strictly."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pydantic_core
from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from app.api.problems import invalid_request
from app.errors import InvalidRequest

MAX_FIELDS = 20

T = TypeVar("T", bound=BaseModel)


def described(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a body that is read by hand, for OpenAPI; `openapi.document` puts what is below
    its `$defs` where its references say."""
    return model.model_json_schema(ref_template="#/components/schemas/{model}")


@asynccontextmanager
async def read_form(request: Request, *, max_files: int) -> AsyncIterator[FormData]:
    """Files are open within. Raises InvalidRequest for what is no form."""
    try:
        form = await request.form(max_files=max_files, max_fields=MAX_FIELDS)
    except HTTPException as error:
        if error.status_code != 400:
            raise
        raise InvalidRequest(f"The form can't be read: {error.detail}") from error
    except (UnicodeError, LookupError):
        raise InvalidRequest("The form's text is in a character set that can't be read.") from None
    try:
        yield form
    finally:
        await form.close()


def texts(form: FormData) -> dict[str, Any]:
    """All but `file`. Raises InvalidRequest for files elsewhere, and for what is there twice."""
    found: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name == "file":
            continue
        if isinstance(value, UploadFile):
            raise InvalidRequest(f"{name[:64]}: files go into the field `file`.")
        if name in found:
            raise InvalidRequest(f"{name[:64]}: is there twice.")
        found[name] = value
    return found


async def parsed_json(data: bytes, what: str) -> Any:
    """Strictly: no NaN, no infinity; in a thread, for it may be long. Raises InvalidRequest."""
    return await asyncio.to_thread(parse_json, data, what)


def parse_json(data: bytes, what: str) -> Any:
    try:
        return pydantic_core.from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequest(f"{what}: not valid JSON: {error}") from None


def validated(model: type[T], data: Any, *place: str) -> T:
    """Raises InvalidRequest, with each wrong field; `place` is where `data` is."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        wrong = [{**each, "loc": (*place, *each["loc"])} for each in error.errors()]
        raise invalid_request(wrong) from None
