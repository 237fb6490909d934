"""Where settings come from, those of packages included, and how a wrong one is traced to its place.

A package's settings are a Group under an entry point in the group `classifier.settings`. The name
of the entry point is their key in config/settings.yaml and the prefix of their variables.
"""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import unquote

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from app.errors import ConfigurationError, said
from app.plug_ins import plug_ins
from app.yaml_file import YamlFile

GROUP = "classifier.settings"

ENV_FILES = (".env", "azure.env")

Variables = Mapping[str, str | None]

Extended = TypeVar("Extended", bound=BaseSettings)


class Group(BaseModel):
    """Settings below one key. Each has a default, and a description that tells its unit."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def variable(path: tuple[str, ...]) -> str:
    """The environment variable of a key."""
    return "_".join(path).upper()


def leaves(
    model: type[BaseModel], prefix: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Every setting below `model`, with its path."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Group):
            yield from leaves(kind, (*prefix, name))
        else:
            yield (*prefix, name), field


def extended(model: type[Extended]) -> type[Extended]:
    """The model with the groups of installed packages added. Raises ConfigurationError."""
    groups: dict[str, Any] = {}
    taken = {variable(path) for path, _ in leaves(model)}
    for name, each in plug_ins(GROUP).items():
        try:
            group = each.load()
        except Exception as error:
            raise ConfigurationError(f"The settings {name} can't be used: {error}") from error
        if complaint := next(_complaints(name, group, model, taken), None):
            raise ConfigurationError(f"The settings {name} can't be used: {complaint}")
        groups[name] = (group, group())
        taken |= {variable(path) for path, _ in leaves(group, (name,))}
    return create_model(model.__name__, __base__=model, **groups) if groups else model


def _complaints(
    name: str, group: object, model: type[BaseSettings], taken: set[str]
) -> Iterator[str]:
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        yield "their name has to be like shop_camera"
    if name in model.model_fields or hasattr(model, name):
        yield "the service has settings of this name itself"
    if not (isinstance(group, type) and issubclass(group, Group)):
        yield "they are no Group"
        return
    for path, _ in leaves(group, (name,)):
        if variable(path) in taken:
            yield f"{variable(path)} is there already"
    try:
        group()
    except ValidationError as error:
        first = error.errors()[0]
        yield f"by default, {'.'.join(map(str, first['loc']))}: {first['msg']}"


LEAST_SECRET = 8
"""Characters: a shorter secret would be found in ordinary words."""


def secrets(settings: BaseModel) -> set[str]:
    """Texts that nobody may read: values marked as secret, and the passwords of URLs."""
    held = {text for each in settings.__dict__.values() for text in _secrets_in(each)}
    return {each for each in held if len(each) >= LEAST_SECRET}


def redacted(value: Any) -> Any:
    """The value as it may be shown: `***` where it is secret."""
    match value:
        case SecretStr():
            return "***"
        case str():
            for each in filter(None, _secrets_in(value)):
                value = value.replace(each, "***")
            return value
        case tuple() | list() | set() | frozenset():
            return [redacted(each) for each in value]
        case dict():
            return {name: redacted(each) for name, each in value.items()}
        case BaseModel():
            return {name: redacted(each) for name, each in value}
    return value


def _secrets_in(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        yield text
        yield from _secrets_in(text)
    elif isinstance(value, BaseModel):
        yield from secrets(value)
    elif isinstance(value, (tuple, list, set, frozenset)):
        for each in value:
            yield from _secrets_in(each)
    elif isinstance(value, dict):
        yield from _secrets_in(tuple(value.values()))
    elif isinstance(value, str) and "://" in value:
        password = value.partition("://")[2].rpartition("@")[0].partition(":")[2]
        yield password
        yield unquote(password)


def variables() -> list[tuple[str, Variables]]:
    """The places that hold variables, by name, in order of precedence."""
    return [("environment", os.environ), *((name, _read(name)) for name in ENV_FILES)]


def _read(name: str) -> Variables:
    try:
        return dotenv_values(name)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{name}: can't be read as UTF-8 text") from error


class VariableSource(PydanticBaseSettingsSource):
    """Values from variables that are named after their key's path."""

    def __init__(
        self, settings_cls: type[BaseSettings], variables: Mapping[str, str | None]
    ) -> None:
        super().__init__(settings_cls)
        self._variables = variables

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._variables.get(variable((field_name,))) or None, field_name, False

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for path, _ in leaves(self.settings_cls):
            value = self._variables.get(variable(path))
            if value:
                group = found
                for name in path[:-1]:
                    group = group.setdefault(name, {})
                group[path[-1]] = value
        return found


class YamlSource(PydanticBaseSettingsSource):
    """Values from config/settings.yaml."""

    def __init__(self, settings_cls: type[BaseSettings], file: YamlFile | None) -> None:
        super().__init__(settings_cls)
        self._data: dict[str, Any] = (file.data or {}) if file else {}
        if not isinstance(self._data, dict):
            raise ConfigurationError(f"{file.path}:1: must hold keys and values")  # type: ignore[union-attr]

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._data.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._data


def variable_place(path: tuple[str, ...], places: list[tuple[str, Variables]]) -> str | None:
    """The place of the variable that a key's value comes from; None: there is none."""
    return next((place for place, values in places if values.get(variable(path))), None)


def complaint(
    model: type[BaseModel], key: tuple[str | int, ...], reason: str, file: YamlFile | None
) -> str:
    """One line that says where the wrong value is: in a variable, a line of a file, or neither."""
    reason = said(reason)
    for path, _ in leaves(model):
        if key[: len(path)] == path and (place := variable_place(path, variables())):
            return f"{place}: {variable(path)}: {reason}"
    if file and key and file.holds(key[:1]):
        return file.complaint(key, reason)
    return f"settings: {reason}"
