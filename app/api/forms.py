"""Bodies that are read by hand, strictly."""

import asyncio
from typing import Any, TypeVar

import pydantic_core
from pydantic import BaseModel, ValidationError

from app.api.problems import invalid_request
from app.errors import InvalidRequest

T = TypeVar("T", bound=BaseModel)


async def parsed_json(data: bytes, what: str) -> Any:
    """Strictly: no NaN, no infinity; in a thread, for it may be long. Raises InvalidRequest."""
    return await asyncio.to_thread(parse_json, data, what)


def parse_json(data: bytes, what: str) -> Any:
    try:
        return pydantic_core.from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequest(f"{what}: not valid JSON: {error}") from None


def validated(model: type[T], data: Any) -> T:
    """Raises InvalidRequest, with each wrong field."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise invalid_request(error.errors()) from None
