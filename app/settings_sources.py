"""Where settings come from, and how a wrong one is traced to its place."""

import os
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from app.errors import ConfigurationError
from app.yaml_file import YamlFile

ENV_FILES = (".env", "azure.env")

Variables = Mapping[str, str | None]


class Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def variable(path: tuple[str, ...]) -> str:
    """The environment variable of a key."""
    return "_".join(path).upper()


def leaves(
    model: type[BaseModel], prefix: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Every knob below `model`, with its path."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Group):
            yield from leaves(kind, (*prefix, name))
        else:
            yield (*prefix, name), field


LEAST_SECRET = 8
"""Characters: what is shorter would be found in words that are no secret."""


def secrets(settings: BaseModel) -> set[str]:
    """What nobody may read: what is marked as secret, and the passwords of URLs."""
    held = {text for each in settings.__dict__.values() for text in _secrets_in(each)}
    return {each for each in held if len(each) >= LEAST_SECRET}


def _secrets_in(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        yield text
        yield from _secrets_in(text)
    elif isinstance(value, BaseModel):
        yield from secrets(value)
    elif isinstance(value, tuple):
        for each in value:
            yield from _secrets_in(each)
    elif isinstance(value, str) and "://" in value:
        password = value.partition("://")[2].rpartition("@")[0].partition(":")[2]
        yield password
        yield unquote(password)


def variables() -> list[tuple[str, Variables]]:
    """The places that hold variables, by name, the strongest first."""
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


def complaint(
    model: type[BaseModel], key: tuple[str | int, ...], reason: str, file: YamlFile | None
) -> str:
    """One line that says where the wrong value stands: a variable, a file's line, or nowhere."""
    reason = reason.removeprefix("Value error, ")
    for path, _ in leaves(model):
        if key[: len(path)] == path:
            for place, values in variables():
                if values.get(variable(path)):
                    return f"{place}: {variable(path)}: {reason}"
    if file and key and file.holds(key[:1]):
        return file.complaint(key, reason)
    return f"settings: {reason}"
