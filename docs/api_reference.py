"""docs/api_reference.md and docs/errors.md, from openapi.json and the errors."""

import json
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from fastapi import FastAPI

from app.api.forms import SMALL_BODY
from app.api.problems import MEDIA_TYPE, PROBLEMS
from app.batches.shard import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    MOST_ATTEMPTS,
    WORTH_ANOTHER_TRY,
)
from app.errors import BudgetSpent
from docs.cells import BOUNDS, MADE, cell, with_bounds, within


def errors() -> str:
    again = ", ".join(
        sorted(
            f"`{kind.slug()}`"
            for kind in PROBLEMS
            if issubclass(kind, WORTH_ANOTHER_TRY) and not issubclass(kind, BudgetSpent)
        )
    )
    paused = " and ".join(
        sorted(f"`{kind.slug()}`" for kind in PROBLEMS if issubclass(kind, BudgetSpent))
    )
    rows = "\n".join(
        f"| `{kind.type()}` | {problem.status} | {problem.title} | {cell(kind.about())} |"
        for kind, problem in sorted(PROBLEMS.items(), key=lambda item: item[0].slug())
    )
    return f"""# Errors

<!-- {MADE} -->

Every error is `application/problem+json` (RFC 9457) with `type`, `title`, `status`, `detail` (for
people) and `instance` (the path). `errors` lists the wrong fields of an invalid request,
`result_id` names the result of an attempt that reached a provider and failed, and `categories`
lists what a content filter found. For `budget-spent`, `budget` and `resets_at` say which budget is
spent and until when. Responses with 503, `budget-spent` for a budget that is reset, and
`idempotency-key-in-use` carry `Retry-After`. Unknown paths are 404 and wrong methods 405, with
`about:blank`. `/health/ready` answers 503 with a body of its own. If an accepted picture fails, its
result's `error` has `type` and `detail`.

The [API reference](api_reference.md) and `openapi.json` name every error that an operation may
answer with. They leave out what reaches no operation: unknown paths, wrong methods, a body of more
than {SMALL_BODY:,} bytes sent where none is expected (413), and malformed HTTP, which the server
refuses with a plain-text 400.

| type | status | title | meaning |
| --- | --- | --- | --- |
{rows}

## In a batch

- If the request itself is wrong, or an archive or a list can't be read, the whole batch is refused
  with a problem, and nothing of it is kept.
- A row or a file that is not a valid item is listed by line or name under
  `GET /batches/{{id}}/errors`; the rest runs.
- On {again}, the item is tried {MOST_ATTEMPTS} times in all, with pauses of {FIRST_PAUSE_S:.0f} to
  {LONGEST_PAUSE_S:.0f} seconds. {paused} pause the batch instead, and no item fails.
- After that, and on any other error with a single picture, the item fails: its result has
  `status: failed`, and `type` and `detail` in `error`. `POST /batches/{{id}}/retry` tries it again.
- A failed item where `on_error` is `stop`, a domain or provider that is gone, and a deadline that
  has passed end the batch: `reason` says why, and the answers so far stay.
"""


def api_reference(app: FastAPI) -> str:
    schema = app.openapi()
    shared = schema["components"]["responses"]
    parts = [
        f"# API reference\n\n<!-- {MADE} -->\n\nThe service itself has this reference at `/docs` "
        "(to try requests), at `/redoc` (to read) and at `/openapi.json` (for programs).\n\n"
        "If the service has [API keys](deployment.md#api-keys), send `Authorization: Bearer "
        "KEY` or `X-API-Key: KEY`. Lists are paged: send `next_cursor` as `cursor`. Every response "
        "has an `X-Request-ID`. Errors are RFC 9457 problem details: [errors](errors.md). Besides "
        "those listed, every operation may answer 500 "
        f"({shared['fault']['description']}).\n"
    ]
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            parts.append(_operation(method.upper(), path, operation, shared))
    parts.append("## Bodies\n")
    for name, model in sorted(schema["components"]["schemas"].items()):
        if "properties" in model:
            parts.append(_model(name, model))
    return "\n".join(parts)


def _operation(
    method: str, path: str, operation: dict[str, Any], shared: Mapping[str, dict[str, Any]]
) -> str:
    lines = [f"## {method} {path}\n", operation.get("description", operation["summary"]), ""]
    roles = (each.get("ApiKey", ()) for each in operation.get("security", ()))
    if "admin" in chain.from_iterable(roles):
        lines += ["For operators only.", ""]
    if parameters := operation.get("parameters"):
        lines += ["| parameter | in | type | meaning |", "| --- | --- | --- | --- |"]
        lines += [
            f"| `{each['name']}` | {each['in']} | {_schema_type(each['schema'])} "
            f"| {_meaning(each['schema'], each.get('description'))} |"
            for each in parameters
        ]
        lines.append("")
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        if "properties" in content["schema"]:
            lines += [f"`{kind}`:", "", *_properties(content["schema"]), ""]
        else:
            lines += [f"Body, `{kind}`: {_schema_type(content['schema'])}", ""]
    answers, errors = [], []
    for status, answer in operation["responses"].items():
        if "$ref" in answer:
            answer = shared[answer["$ref"].rpartition("/")[2]]
        content = answer.get("content", {})
        if MEDIA_TYPE not in content:
            shapes = [_schema_type(each["schema"]) for each in content.values()]
            answers.append(f"{status} {' or '.join(shapes)}".strip())
        elif status != "500":
            errors.append(f"{status} {answer['description'].rstrip('.')}")
    lines += [f"Answers: {'; '.join(answers)}.", ""]
    if errors:
        lines += [f"Errors: {'; '.join(errors)}.", ""]
    return "\n".join(lines)


def _model(name: str, model: dict[str, Any]) -> str:
    return "\n".join([f"### {name}\n", model.get("description", ""), "", *_properties(model), ""])


def _properties(model: dict[str, Any]) -> Iterator[str]:
    required = model.get("required", [])
    yield "| field | type | meaning |"
    yield "| --- | --- | --- |"
    for name, field in model["properties"].items():
        needed = "" if name in required else ", optional"
        example = next(iter(field.get("examples", [])), None)
        shown = "" if example in (None, "") else f" Example: `{json.dumps(example)}`."
        yield f"| `{name}` | {_schema_type(field)}{needed} | {_meaning(field)}{shown} |"


def _meaning(schema: dict[str, Any], description: str | None = None) -> str:
    """The description, with the allowed values and the default."""
    given = next((each for each in schema.get("anyOf", ()) if each.get("type") != "null"), schema)
    bounds = {key: given[key] for key in BOUNDS if key in given}
    told = within(bounds)
    if (default := schema.get("default")) not in (None, "", [], {}):
        told.append(f"default `{json.dumps(default)}`")
    return with_bounds(cell(description or schema.get("description")), told)


def _schema_type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_schema_type(each) for each in schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(f"`{each}`" for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_schema_type(schema.get('items', {}))}"
    kind = schema.get("format") if schema.get("type") == "string" else None
    return str(kind or schema.get("type", "any"))
