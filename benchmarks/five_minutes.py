"""From a clone to a domain of one's own: what README.md says, done in a fresh clone with an empty
HOME, and how long each command takes.

    python -m benchmarks.five_minutes

More than five minutes in all, and the status is 1, unless `--figures` keeps them.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.report import Figure, parser, report
from tests.documentation import ROOT, commands, section
from tests.reader import Reader

TITLE = "A domain of your own in five minutes"
MOST_S = 300.0
KEPT = ("LANG", "PATH", "PIP_", "SSL_", "HTTP", "http", "NO_PROXY", "no_proxy")
"""Prefixes of variables to keep: how packages are reached is not part of the test."""

CLONE, INSTALL = "git clone", "make run"


def measure() -> dict[str, float]:
    """Seconds, by command."""
    with TemporaryDirectory() as folder:
        clone, home = Path(folder) / "clone", Path(folder) / "home"
        home.mkdir()
        took_s: dict[str, float] = {}
        began = time.monotonic()
        cloning = ("git", "clone", "--quiet", ROOT, clone)
        subprocess.run(cloning, check=True)  # noqa: S603
        took_s[CLONE] = time.monotonic() - began
        environment = {name: each for name, each in os.environ.items() if name.startswith(KEPT)}
        environment |= {"HOME": str(home), "NO_COLOR": "1", "TERM": "xterm"}
        with Reader(clone, environment, patience_s=MOST_S) as reader:
            for block in section("README.md", TITLE):
                for command in commands(block):
                    began = time.monotonic()
                    reader.type(command)
                    took_s[command.text] = time.monotonic() - began
                    print(f"{took_s[command.text]:6.1f} s  {command.text}", file=sys.stderr)
    return {name: round(each, 1) for name, each in took_s.items()}


def figures(found: dict[str, float]) -> Iterator[Figure]:
    yield Figure(
        name="from a clone to a domain taught with ten photographs",
        value=sum(found.values()),
        unit="s",
        beside=f"`{INSTALL}` of it: installing and starting",
        beside_value=found[INSTALL],
        goal=MOST_S,
        of_clock=True,
    )


def main() -> None:
    options = parser(__doc__).parse_args()
    found = measure()
    report(found, options, figures(found))
    if not options.figures:
        sys.exit(sum(found.values()) > MOST_S)


if __name__ == "__main__":
    main()
