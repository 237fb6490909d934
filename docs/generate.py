"""Writes the files that follow from the code: `python -m docs.generate`. A test detects stale
ones."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from fastapi import FastAPI
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from app.alerts import RuleSpec, prometheus_rules, read_rules
from app.api.forms import SMALL_BODY
from app.api.problems import MEDIA_TYPE, PROBLEMS
from app.batches.shard import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    MOST_ATTEMPTS,
    WORTH_ANOTHER_TRY,
)
from app.domains import DomainClass, DomainSpec
from app.errors import BudgetSpent
from app.exports.xsd import schema
from app.main import create_schema_app
from app.settings import Settings
from app.settings_groups import AlertThresholds, AzureOpenAISettings
from app.settings_sources import leaves, variable
from benchmarks.kept import Kept
from benchmarks.soak import Soaks
from docs.grafana import dashboard
from docs.performance import faults, for_readme, performance

ROOT = Path(__file__).resolve().parents[1]
MADE = "Made by `make docs`; edit the code it is made from."


def generated() -> dict[str, str]:
    """Every file and its content, by path from the project's root."""
    app = create_schema_app()
    kept = Kept.read()
    return {
        "README.md": readme(for_readme(kept)),
        ".env.example": env_example(),
        "azure.env.example": azure_env_example(),
        "openapi.json": json.dumps(app.openapi(), indent=1) + "\n",
        "docs/configuration.md": configuration(),
        "docs/errors.md": errors(),
        "docs/export.xsd": schema(),
        "docs/api_reference.md": api_reference(app),
        "docs/performance.md": performance(kept) + faults(Soaks.read()),
        "config/prometheus/alerts.rules.yml": prometheus_rules(
            read_rules(ROOT / "config" / "alerts.yaml", AlertThresholds())
        ),
        "config/grafana/dashboards/classifier.json": dashboard(),
    }


def readme(tables: Mapping[str, str]) -> str:
    """The README as it is, with its tables of figures replaced."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, table in tables.items():
        begin, end = f"<!-- {name}: made by `make docs` -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{table}{end}{rest.partition(end)[2]}"
    return text


def env_example() -> str:
    lines = [
        "# Copy to .env and remove the `#` before what you change. The values shown are the",
        "# defaults, or examples where there is no default. See docs/configuration.md.",
    ]
    for path, field in leaves(Settings):
        lines += ["", *_comment(field.description or ""), f"#{variable(path)}={_shown(field)}"]
    return "\n".join(lines) + "\n"


def azure_env_example() -> str:
    lines = [
        "# Copy to azure.env and fill in to use Azure OpenAI. It is read in addition to .env.",
    ]
    for path, field in leaves(AzureOpenAISettings, ("azure_openai",)):
        needed = path[-1] in ("endpoint", "api_key", "deployment")
        name = f"{'' if needed else '#'}{variable(path)}"
        value = "" if needed else _shown(field)
        lines += ["", *_comment(field.description or "", field), f"{name}={value}"]
    return "\n".join(lines) + "\n"


def configuration() -> str:
    rows = "\n".join(
        f"| `{'.'.join(path)}` | `{variable(path)}` | {_type(field.annotation)} "
        f"| {_code(_default(field))} | {_explained(field)} |"
        for path, field in leaves(Settings)
    )
    domain_rows = "\n".join(
        f"| `{name}` | {_type(field.annotation)} | {_code(_default(field))} | {_explained(field)} |"
        for name, field in DomainSpec.model_fields.items()
    )
    class_rows = "\n".join(
        f"| `{name}` | {_code(_default(field))} | {_cell(field.description)} |"
        for name, field in DomainClass.model_fields.items()
    )
    rule_rows = "\n".join(
        f"| `{field.alias or name}` | {_cell(field.description)} |"
        for name, field in RuleSpec.model_fields.items()
    )
    return f"""# Configuration

<!-- {MADE} -->

A value is taken from the environment, else from `.env`, else from `azure.env` (both in the working
directory), else from `config/settings.yaml`, else it is the default. The environment variable of a
key is its path in capitals, joined by underscores. An empty variable counts as not set.
`CONFIG_DIR` names a folder to use instead of `config/`. `python -m app config check` reports what
is wrong, with file, line and reason; `python -m app config show` prints the value of each setting,
and where it comes from. Packages can [add settings](add_setting.md).

`RATE_LIMIT_RPM` overrides `api.rate_limit`, and a domain's `max_retries` overrides
`api.max_retries`.

## Settings

| key | variable | type | default | meaning |
| --- | --- | --- | --- | --- |
{rows}

## Domains: `config/domains.yaml`

    # config/domains.yaml
    flowers:
      classes: [dandelion, rose, sunflower, daisy]
      prompt_template: |
        You are a botanist. Decide which flower is the main subject of the image.
        {{classes}}
      confidence_threshold: 0.7
      max_retries: 3

| key | type | default | meaning |
| --- | --- | --- | --- |
{domain_rows}

A class is a label, or an object:

| key | default | meaning |
| --- | --- | --- |
{class_rows}

An invalid file is refused at start. While the service runs, `POST /domains/reload` or SIGHUP reads
it again: a valid file is applied, an invalid one is refused with a log line and counted in
`classifier_config_reloads_total`, and the last valid one stays in force.

## Models: `config/models.yaml`

The families of chat models: what they accept, how many tokens a picture takes, their price and the
date of their retirement. A model belongs to the family with the longest name that equals its own,
or begins it before a `-`: `gpt-4o-2024-11-20` to `gpt-4o`, but `gpt-5.7` not to `gpt-5`. Parameters
that a model rejects are detected and remembered. An unknown model works, but its costs are null.

## Alerts: `config/alerts.yaml`

The rules by which operators are told that something is wrong: [monitoring](monitoring.md#alerts).

| key | meaning |
| --- | --- |
{rule_rows}

## Logs: `config/logging.yaml`

`level` and `renderer` (`auto`, `json`, `console`), and both again for individual `loggers` and all
loggers below them. `LOG_LEVEL` and `LOG_RENDERER` take precedence over the first two.
"""


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
        f"| `{kind.type()}` | {problem.status} | {problem.title} | {_cell(kind.about())} |"
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
  {LONGEST_PAUSE_S:.0f} seconds. {paused} pause the batch instead: no item fails.
- After that, and on any other error with a single picture, the item fails: its result has
  `status: failed`, and `type` and `detail` in `error`. `POST /batches/{{id}}/retry` tries it again.
- A failed item where `on_error` is `stop`, a domain or provider that is gone, and a deadline that
  has passed end the batch: `reason` says why, and the answers so far stay.
"""


BOUNDS = {
    "minimum": "at least {:,}",
    "exclusiveMinimum": "more than {:,}",
    "maximum": "at most {:,}",
    "exclusiveMaximum": "less than {:,}",
    "maxLength": "at most {:,} characters",
    "maxItems": "at most {:,} items",
}
"""Keys of a schema, and their wording."""
OF_FIELDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}
"""Bounds of a model's field, and their keys in a schema."""


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
    told = _within(bounds)
    if (default := schema.get("default")) not in (None, "", [], {}):
        told.append(f"default `{json.dumps(default)}`")
    return _with(_cell(description or schema.get("description")), told)


def _explained(field: FieldInfo) -> str:
    """The description, with the allowed values."""
    bounds = {
        key: getattr(each, name)
        for each in field.metadata
        for name, key in OF_FIELDS.items()
        if hasattr(each, name)
    }
    return _with(_cell(field.description), _within(bounds))


def _within(bounds: Mapping[str, float]) -> list[str]:
    return [words.format(bounds[key]) for key, words in BOUNDS.items() if key in bounds]


def _with(text: str, told: Sequence[str]) -> str:
    more = f"{', '.join(told)}."
    return f"{text} {more[0].upper()}{more[1:]}".strip() if told else text


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


def _comment(text: str, field: FieldInfo | None = None) -> list[str]:
    if field is not None and field.examples:
        text += f" Example: {field.examples[0]}"
    words, lines, line = text.split(), [], "#"
    for word in words:
        if len(line) + len(word) > 98:
            lines.append(line)
            line = "#"
        line += f" {word}"
    return [*lines, line]


def _shown(field: FieldInfo) -> str:
    """The default, or an example where there is none."""
    default = _default(field)
    return default or str(next(iter(field.examples or ()), ""))


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined or value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(str(each) for each in value)
    return str(value)


def _type(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in get_args(annotation))
    if origin in (Union, UnionType):
        return " or ".join(_type(each) for each in get_args(annotation) if each is not type(None))
    if origin is tuple:
        return "list"
    if annotation is SecretStr:
        return "secret"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _code(text: str) -> str:
    return f"`{text.strip()}`".replace("\n", "` `") if text else ""


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def main() -> None:
    for name, content in generated().items():
        (ROOT / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
