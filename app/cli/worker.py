"""`worker`: work in the background, beside processes that answer."""

import signal
import sys
from typing import Annotated

import typer

from app.cli.serve import run
from app.cli.start import start
from app.errors import ConfigurationError


def worker(
    host: Annotated[str | None, typer.Option(help="Address of health and metrics.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of health and metrics.")] = None,
) -> None:
    """Work on batches and accepted pictures that other processes took in, until SIGTERM. Over HTTP
    it only answers /health and /metrics."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = start(host=host, port=port, work=True)
    if not settings.shared:
        raise ConfigurationError(
            "a worker needs the PostgreSQL and the Redis of those it works for: DATABASE_URL, "
            "REDIS_URL"
        )
    run(settings, serving=False)
