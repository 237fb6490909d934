"""Log lines: JSON where a machine reads them, coloured text on a terminal."""

import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import structlog
from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json
from structlog.typing import EventDict

from app.telemetry.trace import current
from app.yaml_file import YamlFile

Render = Callable[[dict[str, Any]], str]

Level = Literal["debug", "info", "warning", "error"]
Renderer = Literal["auto", "json", "console"]


class LoggerConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    level: Level | None = None
    renderer: Renderer | None = None


class LoggingConfig(BaseModel):
    """config/logging.yaml. `auto` is console on a terminal and json elsewhere."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    level: Level = "info"
    renderer: Renderer = "auto"
    loggers: dict[str, LoggerConfig] = {}


def read_logging_config(path: Path) -> LoggingConfig:
    """Raises ConfigurationError. A missing file means the defaults."""
    return YamlFile.read(path).validate(LoggingConfig) if path.exists() else LoggingConfig()


def configure_logging(config: LoggingConfig, *, hidden: Collection[str] = ()) -> None:
    """Send the lines of structlog and of the standard library to stderr as `config` says. Strings
    in `hidden` are masked in every line, whichever library wrote it."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            _for_library,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    # A line's source location and thread are not shown, so they need not be determined
    # (Python's logging HOWTO, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # Pillow warns about callers' pictures, quoting their content; the answer to the caller says
    # enough.
    warnings.filterwarnings("ignore", module="PIL")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    root = logging.getLogger()
    root.handlers = [_handler(config.renderer, hidden)]
    root.setLevel(config.level.upper())
    for name, each in config.loggers.items():
        logger = logging.getLogger(name)
        if each.level:
            logger.setLevel(each.level.upper())
        if each.renderer:
            logger.handlers = [_handler(each.renderer, hidden)]
            logger.propagate = False


def log_as_a_library() -> None:
    """Pass lines to the standard library's loggers, whose levels and handlers belong to the
    program. An existing configuration is kept."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            with_ids,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


class _Fields(dict[str, Any]):
    """The fields of one of the service's own lines, on their way through the standard library."""

    def __str__(self) -> str:
        """For handlers that other code installed."""
        return " ".join(f"{name}={value!r}" for name, value in self.items())


def write_line(logger: logging.Logger, event: str, facts: Mapping[str, Any]) -> None:
    """Log at `info`, as structlog would, in a third of the time: there is a line for each request
    and picture."""
    if logger.isEnabledFor(logging.INFO):
        logger.info(_Fields({**_head(event, "info", logger.name), **facts}))


def _for_library(
    logger: Any, level: str, event: EventDict
) -> tuple[tuple[_Fields], dict[str, Any]]:
    fields = _Fields(_head(event.pop("event"), level, logger.name))
    fields.update(event)
    return (fields,), {}


def _head(event: Any, level: str, logger: str) -> dict[str, Any]:
    """Time, level, event and logger come first, then the ids: one step instead of four."""
    return {
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level,
        "event": event,
        "logger": logger,
        **current().ids,
    }


def with_ids(_: Any, __: str, event: EventDict) -> EventDict:
    """Add the ids of the request or picture that the line belongs to."""
    return {**event, **current().ids}


class _Formatter(logging.Formatter):
    """Renders a line's fields."""

    def __init__(self, render: Render, hidden: Collection[str]) -> None:
        super().__init__()
        self._render = render
        # As they are, and as JSON writes them; longest first, since one may contain another.
        written = {
            text
            for each in hidden
            for raw in (each, repr(each)[1:-1], repr(each.encode())[2:-1])
            for text in (
                raw,
                json.dumps(raw)[1:-1],
                json.dumps(raw, ensure_ascii=False)[1:-1],
            )
        }
        self._hidden = sorted(written, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        fields = record.msg
        if not isinstance(fields, _Fields):
            fields = _head(record.getMessage(), record.levelname.lower(), record.name)
            if record.exc_info:
                fields["exc_info"] = record.exc_info
        if "exc_info" in fields:
            fields = dict(structlog.processors.format_exc_info(None, "", {**fields}))
        line = self._render(fields)
        for each in self._hidden:
            line = line.replace(each, "***")
        return line


def _handler(renderer: Renderer, hidden: Collection[str]) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    on_console = renderer == "console" or (renderer == "auto" and sys.stderr.isatty())
    handler.setFormatter(_Formatter(_console() if on_console else _json, hidden))
    return handler


def _json(fields: dict[str, Any]) -> str:
    try:
        return to_json(fields, fallback=repr).decode()  # in a third of the time
    except ValueError:  # for strings that are not valid text, which other code's lines may contain
        return json.dumps(fields, default=repr)


def _console() -> Render:
    colors = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    # Not the renderer's default tracebacks: these show local variables, hence pictures.
    renderer = structlog.dev.ConsoleRenderer(
        colors=colors, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
    )
    return lambda fields: str(renderer(None, "", {**fields}))
