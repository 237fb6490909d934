"""From a clone to a domain of one's own: follows README.md in a fresh clone with an empty HOME, and
reports how long each command takes.

    python -m tests.five_minutes
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.documentation import ROOT, commands, section
from tests.reader import Reader

TITLE = "A domain of your own in five minutes"
MOST_S = 300.0
KEPT = ("LANG", "PATH", "PIP_", "SSL_", "HTTP", "http", "NO_PROXY", "no_proxy")
"""Prefixes of variables to keep: how packages are reached is not part of the test."""


def main() -> None:
    began = time.monotonic()
    with TemporaryDirectory() as folder:
        clone, home = Path(folder) / "clone", Path(folder) / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        _tell(began, "git clone")
        environment = {name: each for name, each in os.environ.items() if name.startswith(KEPT)}
        environment |= {"HOME": str(home), "NO_COLOR": "1", "TERM": "xterm"}
        with Reader(clone, environment, patience_s=MOST_S) as reader:
            for block in section("README.md", TITLE):
                for command in commands(block):
                    before = time.monotonic()
                    reader.type(command)
                    _tell(before, command.text)
            took_s = _tell(began, "in all")
    sys.exit(took_s > MOST_S)


def _tell(since: float, what: str) -> float:
    took_s = time.monotonic() - since
    print(f"{took_s:6.1f} s  {what}", flush=True)  # noqa: T201
    return took_s


if __name__ == "__main__":
    main()
