"""The YAML files of config/, read so that every complaint names file, line, key and reason."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from app.errors import ConfigurationError, said

T = TypeVar("T")
KeyPath = tuple[str | int, ...]

# The loader in C, where PyYAML was built with it, takes a tenth of the time.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_DEPTH = 20


def config_dir() -> Path:
    """`CONFIG_DIR`, else `config/` of the working directory, else the copy that is made in the
    package when it is built, else the folder that this copy is made from."""
    named = os.environ.get("CONFIG_DIR")
    if named:
        return Path(named)
    package = Path(__file__).parent
    places = Path("config"), package / "default_config"
    return next(filter(Path.is_dir, places), package.parent / "config")


class YamlFile:
    """One parsed file: its `data`, and the line of every key in it."""

    def __init__(self, path: Path, text: str) -> None:
        """Raises ConfigurationError when `text` is not YAML or has the same key twice."""
        self.path = path
        self._lines: dict[KeyPath, int] = {}
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is not None:
                self._index(loader, node, ())
            self.data: Any = None if node is None else loader.construct_document(node)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            line = mark.line + 1 if mark else 1
            raise ConfigurationError(f"{path}:{line}: {error.problem}") from error
        except yaml.YAMLError as error:
            raise ConfigurationError(f"{path}:1: not readable as YAML: {error}") from error
        finally:
            loader.dispose()

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
        return f"{self.place(key)}: {shown}: {said(reason)}"

    def place(self, key: KeyPath) -> str:
        """`config/domains.yaml:12`"""
        return f"{self.path}:{self._line(key)}"

    def holds(self, key: KeyPath) -> bool:
        return key in self._lines

    def _line(self, key: KeyPath) -> int:
        """The line of `key`, or of the nearest key above it that is in the file."""
        for length in range(len(key), 0, -1):
            if key[:length] in self._lines:
                return self._lines[key[:length]]
        return 1

    def _index(self, loader: Any, node: yaml.Node, path: KeyPath) -> None:
        if len(path) > MAX_DEPTH:
            self._refuse(node, "is nested too deeply")
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = (*path, key.value)
                if not isinstance(key, yaml.ScalarNode):
                    self._refuse(key, "a key must be a word")
                if here in self._lines:
                    self._refuse(key, f"{key.value}: is there twice")
                self._lines[here] = key.start_mark.line + 1
                self._index(loader, value, here)
        elif isinstance(node, yaml.SequenceNode):
            for position, value in enumerate(node.value):
                self._lines[(*path, position)] = value.start_mark.line + 1
                self._index(loader, value, (*path, position))
        else:
            try:
                loader.construct_object(node)
            except ValueError:  # 2026-99-99
                self._refuse(node, f"{node.value!r} is no value")

    def _refuse(self, node: yaml.Node, reason: str) -> NoReturn:
        raise ConfigurationError(f"{self.path}:{node.start_mark.line + 1}: {reason}")
