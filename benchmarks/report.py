"""What benchmarks have in common: their options, and how their figures come out."""

import argparse
import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from app.cli.serve import loop_factory

T = TypeVar("T")


def parser(text: str | None, *, rounds: int) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=text)
    made.add_argument("--rounds", type=int, default=rounds)
    made.add_argument("--json", type=Path)
    return made


def run(work: Coroutine[Any, Any, T]) -> T:
    """On the event loop that the service runs on."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(work)


def report(found: dict[str, object], path: Path | None) -> None:
    """Print the figures as JSON, and keep them where a path is given."""
    text = json.dumps(found, indent=2)
    print(text)
    if path:
        path.write_text(text + "\n")
