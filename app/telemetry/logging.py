"""Log lines: JSON where a machine reads them, coloured text on a terminal."""

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any, Literal

import structlog
from pydantic import BaseModel, ConfigDict

from app.yaml_file import YamlFile

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
    """Raises ConfigurationError. A file that is not there means the defaults."""
    return YamlFile.read(path).validate(LoggingConfig) if path.exists() else LoggingConfig()


def configure_logging(config: LoggingConfig) -> None:
    """Send structlog's and the standard library's lines to stderr as `config` says."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    # Where a line was logged, and in which thread, is not shown: then it need not be found out
    # (Python's logging HOWTO, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # Pillow complains of strangers' pictures, in their own words; the answer to them says enough.
    warnings.filterwarnings("ignore", module="PIL")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    root = logging.getLogger()
    root.handlers = [_handler(config.renderer, shared)]
    root.setLevel(config.level.upper())
    for name, each in config.loggers.items():
        logger = logging.getLogger(name)
        if each.level:
            logger.setLevel(each.level.upper())
        if each.renderer:
            logger.handlers = [_handler(each.renderer, shared)]
            logger.propagate = False


def log_as_a_library() -> None:
    """Hand lines to the standard library's loggers, whose levels and handlers are the program's
    own. What is configured already stays."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _handler(renderer: Renderer, shared: list[Any]) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    on_console = renderer == "console" or (renderer == "auto" and sys.stderr.isatty())
    last: list[Any] = (
        # Not the renderer's own way with tracebacks: it shows local variables, so pictures too.
        [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
        if on_console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    return handler
