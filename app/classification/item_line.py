"""The one log line of a picture that no request waits for."""

import logging

from app.result import Result
from app.telemetry.logging import write_line
from app.telemetry.trace import Trace, told

items = logging.getLogger("app.items")


def log_item(trace: Trace, result: Result, **facts: object) -> None:
    """To be called when the result is stored."""
    write_line(items, "item", {**trace.ids, **facts, **told(result)})
