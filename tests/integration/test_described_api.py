"""The API keeps to its description: `make fuzz-api` in short."""

import re
import subprocess
import sys

from tests.described import OPERATIONS
from tests.service import ROOT


def test_answers_are_as_openapi_json_says(tmp_path):
    """Of every operation, with no key, a caller's and an operator's."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.security.api", "--quick", "--examples", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr[-5_000:]
    *lines, total = done.stdout.splitlines()
    asked = re.findall(r"^ *\d+ ([A-Z]+) (/\S*): ", "\n".join(lines), re.MULTILINE)
    assert set(asked) == OPERATIONS.keys()
    count = re.fullmatch(r"(\d+) requests, 0 wrong", total)
    assert count
    assert int(count[1]) >= 700
