"""`python -m app`, and the command `enhanced-classifier`."""

import sys

from app.loading import INTERRUPTED, loading


def main() -> None:
    try:
        with loading():
            from app.cli import main as run
        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
