"""What was called, in a file that outlives the process."""

import hashlib
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pydantic_core

from app.simulator.completion import Usage

KEY_DIGITS = 8


class CallLog:
    """A JSON line when a call gets in, and one when its answer is ready. Each is written at once:
    who is killed leaves the calls that were under way without an end."""

    def __init__(self, path: Path) -> None:
        """It is added to."""
        self._file = path.open("ab", buffering=0)

    def admit(self, *, deployment: str, key: str, picture: str, expected: Usage) -> str:
        """The call's id. `expected`: what it is billed, whatever becomes of its answer."""
        call = uuid.uuid4().hex
        self._write(
            {
                "call": call,
                "at": time.time(),
                "deployment": deployment,
                "key": fingerprint(key),
                "picture": picture,
                "expected": asdict(expected),
            }
        )
        return call

    def end(self, call: str, outcome: str, billed: Usage | None) -> None:
        """`outcome`: `answered`, `invalid`, or a kind of fault."""
        self._write(
            {
                "call": call,
                "at": time.time(),
                "outcome": outcome,
                "billed": None if billed is None else asdict(billed),
            }
        )

    def close(self) -> None:
        self._file.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(pydantic_core.to_json(line) + b"\n")


def fingerprint(key: str) -> str:
    """By which a key is told from others."""
    return hashlib.sha256(key.encode()).hexdigest()[:KEY_DIGITS]
