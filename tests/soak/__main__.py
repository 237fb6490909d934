"""`python -m tests.soak [--minutes 60] [--several] [--seed 1] [--figures FILE]`."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.soak import Form, Soaks
from tests import soak
from tests.soak.run import Plan
from tests.soak.run import soak as run


def _table(found: dict[str, Any]) -> Iterator[str]:
    """One line for each figure; a figure with parts gets one for each part."""
    for name, value in found.items():
        if isinstance(value, dict):
            yield f"{name}\n"
            yield from (f"    {part:<26} {each}\n" for part, each in value.items())
        else:
            yield f"{name:<30} {value}\n"


def main() -> int:
    arguments = argparse.ArgumentParser("python -m tests.soak", description=soak.__doc__)
    arguments.add_argument("--minutes", type=float, default=60)
    arguments.add_argument("--several", action="store_true", help="on PostgreSQL and Redis")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--folder", type=Path, help="empty; it is kept, with all logs")
    arguments.add_argument(
        "--figures", type=Path, help="JSON, of both forms; this one is replaced, if all is well"
    )
    options = arguments.parse_args()
    plan = Plan(60 * options.minutes, options.several, options.seed)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        found = asyncio.run(run(plan, options.folder or Path(folder)))
    sys.stdout.writelines(_table(found.figures.model_dump() | found.besides))
    if options.figures and not found.complaints:
        form: Form = "several" if options.several else "one"
        forms = Soaks.read(options.figures).forms | {form: found.figures}
        Soaks(forms=forms).write(options.figures)
    sys.stdout.writelines(f"COMPLAINT: {each}\n" for each in found.complaints)
    return 1 if found.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
