"""A call's question: parsed from its body once, and only as far as needed."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pydantic_core

from app.simulator import tokens
from app.simulator.errors import Unacceptable, invalid
from app.simulator.models import Model
from app.simulator.pictures import Picture
from app.simulator.tokens import Detail

DEFAULT_OUTPUT = 4_096
"""Tokens counted as output for a call without a limit."""
MOST_CHOICES = 128

_TABLE_ROW = re.compile(r"^[ \t]*(\S+)[ \t]*=[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Field:
    """One property of the requested JSON.

    Attributes:
        options: the allowed strings; empty where any string is allowed.
    """

    name: str
    kind: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture, and the level of detail at which to view it."""

    picture: Picture
    detail: Detail


@dataclass(frozen=True, slots=True)
class Asked:
    """
    Attributes:
        parameters: the whole body.
        texts: of all messages, in order.
        form: the required form of the answer; None: free text.
    """

    parameters: Mapping[str, Any]
    texts: tuple[str, ...]
    shown: tuple[Shown, ...]
    form: tuple[Field, ...] | None
    schema: str

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> "Asked":
        """Raises Unacceptable."""
        texts: list[str] = []
        shown: list[Shown] = []
        for part in _parts(body.get("messages")):
            match part:
                case {"type": "text", "text": str(text)}:
                    texts.append(text)
                case {"type": "image_url", "image_url": {"url": str(url)} as image}:
                    shown.append(Shown(Picture.read(url), _detail(image.get("detail"))))
                case _:
                    raise Unacceptable(invalid("Invalid content part.", param="messages"))
        schema = _schema(body.get("response_format"))
        form = None if schema is None else _form(schema)
        written = "" if schema is None else pydantic_core.to_json(schema).decode()
        return cls(body, tuple(texts), tuple(shown), form, written)

    @property
    def picture(self) -> Picture | None:
        """The picture to classify, which comes last: those before it are examples."""
        return self.shown[-1].picture if self.shown else None

    @property
    def identity(self) -> str:
        """The same for the same picture, or for the same text where there is no picture."""
        return "\n".join(self.texts) if self.picture is None else self.picture.sha256

    @property
    def effort(self) -> str | None:
        return self.parameters.get("reasoning_effort")

    @property
    def choices(self) -> int:
        return self.parameters.get("n") or 1

    @property
    def output_cap(self) -> int | None:
        given = self.parameters.get("max_completion_tokens")
        return given if given is not None else self.parameters.get("max_tokens")

    def offered(self) -> dict[str, str]:
        """Maps each allowed answer to the class it stands for."""
        table = {row: label for text in self.texts for row, label in _table(text).items()}
        choice = next((field for field in self.form or () if field.options), None)
        if choice is None:
            return table
        for text in self.texts:
            table |= _listed(text, choice.options)
        return {option: table.get(option, option) for option in choice.options}

    def image_tokens(self, model: Model) -> int:
        return sum(
            model.image.tokens(each.picture.width, each.picture.height, each.detail)
            for each in self.shown
        )

    def estimated_tokens(self, model: Model, *, images_count: bool = True) -> int:
        """The tokens that the call counts as when it arrives."""
        characters = sum(map(len, self.texts)) + len(self.schema)
        cap = DEFAULT_OUTPUT if self.output_cap is None else self.output_cap
        images = self.image_tokens(model) if images_count else 0
        return tokens.estimated(characters) + images + cap * self.choices

    def prompt_tokens(self, model: Model) -> int:
        """The tokens that the prompt is billed as."""
        text = sum(map(tokens.billed, self.texts)) + tokens.billed(self.schema)
        frame = tokens.PER_MESSAGE * len(self.parameters["messages"]) + tokens.PER_ANSWER
        return text + frame + self.image_tokens(model)


def _parts(messages: Any) -> Iterator[Any]:
    if not isinstance(messages, list) or not messages:
        message = "Invalid type for 'messages': expected an array of objects."
        raise Unacceptable(invalid(message, param="messages", code="invalid_type"))
    for message in messages:
        match message:
            case {"role": str(), "content": str(text)}:
                yield {"type": "text", "text": text}
            case {"role": str(), "content": list(parts)}:
                yield from parts
            case _:
                raise Unacceptable(invalid("Invalid message.", param="messages"))


def _detail(value: Any) -> Detail:
    match value:
        case "low" | "high" | "auto" | "original":
            return value  # type: ignore[no-any-return]
        case None:
            return "auto"
        case _:
            raise Unacceptable(invalid("Invalid value for 'detail'.", param="messages"))


def _schema(response_format: Any) -> dict[str, Any] | None:
    match response_format:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return {"type": "object", "properties": {}}
        case {
            "type": "json_schema",
            "json_schema": {"name": str(), "schema": dict(schema)} as told,
        }:
            _check(schema, told["name"], strict=bool(told.get("strict")))
            return schema
        case _:
            message = "Invalid value for 'response_format'."
            raise Unacceptable(invalid(message, param="response_format", code="invalid_value"))


NOT_STRICT = frozenset(
    {"minLength", "maxLength", "pattern", "format", "minimum", "maximum", "multipleOf"}
)
"""Keywords that a strict schema must not use in its properties."""


def _check(schema: dict[str, Any], name: str, *, strict: bool) -> None:
    properties = schema.get("properties", {})
    wrong = None
    if schema.get("type") != "object" or not isinstance(properties, dict):
        wrong = "schema must be a JSON Schema of 'type: \"object\"'"
    elif not all(isinstance(each, dict) for each in properties.values()):
        wrong = "every property must be a JSON Schema"
    elif not all(isinstance(each.get("enum", []), list) for each in properties.values()):
        wrong = "'enum' must be an array"
    elif strict:
        wrong = _not_strict(schema, properties)
    if wrong:
        message = f"Invalid schema for response_format '{name}': In context=(), {wrong}."
        raise Unacceptable(invalid(message, param="response_format"))


def _not_strict(schema: dict[str, Any], properties: dict[str, dict[str, Any]]) -> str | None:
    """Why a schema can't be used in strict mode; None when it can."""
    if schema.get("additionalProperties") is not False:
        return "'additionalProperties' is required to be supplied and to be false"
    required = schema.get("required")
    if not isinstance(required, list) or sorted(map(str, required)) != sorted(properties):
        return "'required' is required to be supplied and to be an array including every key"
    forbidden = sorted(NOT_STRICT.intersection(key for each in properties.values() for key in each))
    return f"'{forbidden[0]}' is not permitted" if forbidden else None


def _form(schema: Mapping[str, Any]) -> tuple[Field, ...]:
    return tuple(
        Field(name, str(each.get("type", "string")), tuple(map(str, each.get("enum", ()))))
        for name, each in schema.get("properties", {}).items()
    )


@lru_cache(1024)
def _table(text: str) -> Mapping[str, str]:
    """`A = cat: a small animal` means that `A` stands for `cat`."""
    rows: list[tuple[str, str]] = _TABLE_ROW.findall(text)
    return {code: label.partition(": ")[0] for code, label in rows}


@lru_cache(1024)
def _listed(text: str, options: tuple[str, ...]) -> Mapping[str, str]:
    """So do consecutive lines `A cat`, `B dog`, one for each option."""
    lines = text.splitlines()
    for first in range(len(lines) - len(options) + 1):
        rows = zip(options, lines[first:], strict=False)
        if all(line.startswith(f"{option} ") for option, line in rows):
            break
    else:
        return {}
    found = {}
    for option, line in zip(options, lines[first:], strict=False):
        label = line.removeprefix(f"{option} ").strip().removeprefix("= ")
        found[option] = label.partition(": ")[0]
    return found
