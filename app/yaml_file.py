"""The YAML files of config/, read so that every complaint names file, line, key and reason."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from app.errors import ConfigurationError

T = TypeVar("T")
KeyPath = tuple[str | int, ...]


class YamlFile:
    """One parsed file: its `data`, and the line of every key in it."""

    def __init__(self, path: Path, text: str) -> None:
        """Raises ConfigurationError when `text` is no YAML or has the same key twice."""
        self.path = path
        self._lines: dict[KeyPath, int] = {}
        try:
            node = yaml.compose(text, yaml.SafeLoader)
            if node is not None:
                self._index(node, ())
            self.data: Any = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            line = mark.line + 1 if mark else 1
            raise ConfigurationError(f"{path}:{line}: {error.problem}") from error
        except yaml.YAMLError as error:
            raise ConfigurationError(f"{path}:1: not readable as YAML: {error}") from error

    @classmethod
    def read(cls, path: Path) -> "YamlFile":
        """Raises ConfigurationError also when the file can't be read."""
        try:
            return cls(path, path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise ConfigurationError(f"{path}: {reason}") from error

    def validate(self, model: type[T] | TypeAdapter[T]) -> T:
        """The data as `model`. Raises ConfigurationError, one line for each complaint."""
        adapter = model if isinstance(model, TypeAdapter) else TypeAdapter(model)
        try:
            return adapter.validate_python(self.data)
        except ValidationError as error:
            raise ConfigurationError("\n".join(self.complaints(error))) from error

    def complaints(self, error: ValidationError) -> Iterator[str]:
        for item in error.errors():
            yield self.complaint(item["loc"], item["msg"])

    def complaint(self, key: KeyPath, reason: str) -> str:
        """`config/domains.yaml:12: flowers.classes.3: the reason`."""
        shown = ".".join(str(part) for part in key) or "(the whole file)"
        reason = reason.removeprefix("Value error, ")
        return f"{self.path}:{self._line(key)}: {shown}: {reason}"

    def holds(self, key: KeyPath) -> bool:
        return key in self._lines

    def _line(self, key: KeyPath) -> int:
        """The line of `key`, or of the nearest key above it that is in the file."""
        for length in range(len(key), 0, -1):
            if key[:length] in self._lines:
                return self._lines[key[:length]]
        return 1

    def _index(self, node: yaml.Node, path: KeyPath) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = (*path, key.value)
                if here in self._lines:
                    line = key.start_mark.line + 1
                    raise ConfigurationError(f"{self.path}:{line}: {key.value}: is there twice")
                self._lines[here] = key.start_mark.line + 1
                self._index(value, here)
        elif isinstance(node, yaml.SequenceNode):
            for position, value in enumerate(node.value):
                self._lines[(*path, position)] = value.start_mark.line + 1
                self._index(value, (*path, position))
