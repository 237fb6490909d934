"""What benchmarks have in common: their options, and how their figures come out."""

import argparse
import json
from pathlib import Path


def parser(text: str | None, *, rounds: int) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=text)
    made.add_argument("--rounds", type=int, default=rounds)
    made.add_argument("--json", type=Path)
    return made


def report(found: dict[str, object], path: Path | None) -> None:
    """Print the figures as JSON, and keep them where a path is given."""
    text = json.dumps(found, indent=2)
    print(text)
    if path:
        path.write_text(text + "\n")
