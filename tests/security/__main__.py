"""Run a corpus of hostile URLs and pictures: `python -m tests.security DIR`.

Prints a line for each failure, and how many cases passed.
"""

import sys
from pathlib import Path

from tests.security import batches, pictures, urls, webhooks


def main() -> int:
    directory = Path(sys.argv[1])
    passed, failures = 0, []
    for corpus in (urls, webhooks, pictures, batches):
        if not corpus.is_in(directory):
            print(f"{directory} holds no {corpus.NAME}: not run")
            continue
        total, failed = corpus.run(directory)
        passed += total - len(failed)
        failures += failed
    for failure in failures:
        print(failure)
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
