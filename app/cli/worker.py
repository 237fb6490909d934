"""`worker`: works in the background, alongside processes that serve requests."""

from app.cli.serve import run
from app.cli.start import start
from app.errors import ConfigurationError


def worker(*, host: str | None, port: int | None) -> None:
    """Run until SIGTERM or Ctrl-C. Raises ConfigurationError."""
    settings = start(host=host, port=port, work=True)
    if not settings.shared:
        raise ConfigurationError(
            "a worker needs the PostgreSQL and the Redis of those it works for: DATABASE_URL, "
            "REDIS_URL"
        )
    run(settings, serving=False)
