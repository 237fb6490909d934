"""What openapi.json says of answers."""

import json
import re
from typing import Any

import httpx2

from app.api.problems import MEDIA_TYPE
from tests.service import ROOT

Kind = tuple[str, int]
"""A problem's type and status."""

API: dict[str, Any] = json.loads((ROOT / "openapi.json").read_text())
OPERATIONS: dict[tuple[str, str], dict[str, Any]] = {
    (method.upper(), path): operation
    for path, methods in API["paths"].items()
    for method, operation in methods.items()
}
"""By method and path."""

ROUTING_ERRORS: set[Kind] = {("about:blank", 404), ("about:blank", 405)}
"""Of requests that reach no operation."""


def problems_of(operation: dict[str, Any]) -> set[Kind]:
    """What an operation may answer with."""
    found = set()
    for status, response in operation["responses"].items():
        if "$ref" in response:
            response = API["components"]["responses"][response["$ref"].rpartition("/")[2]]
        if MEDIA_TYPE in response.get("content", {}):
            examples = response["content"][MEDIA_TYPE].get("examples", {})
            types = [f"/problems/{slug}" for slug in examples] or ["about:blank"]
            found |= {(each, int(status)) for each in types}
    return found


PROBLEMS = {key: problems_of(operation) for key, operation in OPERATIONS.items()}
ALL = set().union(ROUTING_ERRORS, *PROBLEMS.values())
_PATTERNS = [
    (method, re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for method, path in OPERATIONS
]


def operation_of(method: str, path: str) -> tuple[str, str] | None:
    """The operation that is asked by a request; None: there is none."""
    asked = [known for m, pattern, known in _PATTERNS if m == method and pattern.fullmatch(path)]
    # /results/export is no result.
    return (method, min(asked, key=lambda each: "{" in each)) if asked else None


async def is_described(response: httpx2.Response) -> None:
    """For clients: every problem is one that openapi.json names at its operation."""
    request = response.request
    asked = operation_of(request.method, request.url.path)
    if asked and response.headers.get("content-type") == MEDIA_TYPE:
        await response.aread()
        kind = (response.json()["type"], response.status_code)
        assert kind in PROBLEMS[asked], f"{kind} is not described of {' '.join(asked)}"
