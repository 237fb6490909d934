"""docs/configuration.md, .env.example and azure.env.example, from the settings."""

from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from app.alerts import RuleSpec
from app.domains import DomainClass, DomainSpec
from app.settings import Settings
from app.settings_groups import AzureOpenAISettings
from app.settings_sources import leaves, variable
from docs.cells import MADE, cell, code, with_bounds, within

OF_FIELDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}
"""Bounds of a model's field, and their keys in a schema."""


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
        f"| {code(_default(field))} | {_explained(field)} |"
        for path, field in leaves(Settings)
    )
    domain_rows = "\n".join(
        f"| `{name}` | {_type(field.annotation)} | {code(_default(field))} | {_explained(field)} |"
        for name, field in DomainSpec.model_fields.items()
    )
    class_rows = "\n".join(
        f"| `{name}` | {code(_default(field))} | {cell(field.description)} |"
        for name, field in DomainClass.model_fields.items()
    )
    rule_rows = "\n".join(
        f"| `{field.alias or name}` | {cell(field.description)} |"
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


def _explained(field: FieldInfo) -> str:
    """The description, with the allowed values."""
    bounds = {
        key: getattr(each, name)
        for each in field.metadata
        for name, key in OF_FIELDS.items()
        if hasattr(each, name)
    }
    return with_bounds(cell(field.description), within(bounds))


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
