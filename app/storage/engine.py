"""Which database is used, and how its connections are set up: SQLite or PostgreSQL."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from app.errors import ConfigurationError

POSTGRES = ("postgres", "postgresql")
"""Schemes a URL may have; the driver after a `+` is chosen by the service."""

BUSY_TIMEOUT_S = 10

PATIENCE = {
    "connect_timeout": 5,  # seconds
    # A server that vanishes is noticed within ten seconds, on either side.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
    # Nor does a process that froze or was cut off in mid-transaction hold up others.
    "options": "-c idle_in_transaction_session_timeout=10s -c lock_timeout=30s "
    "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3",
}
"""For libpq and PostgreSQL."""

MAX_LOG_PAGES = 16_000
"""If writes never pause, SQLite's write-ahead log can't restart; at this length a commit
checkpoints it after all, with little left to copy."""


def parse_url(url: str) -> sa.URL:
    """Raises ConfigurationError for a URL that this service can't use."""
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise ConfigurationError("DATABASE_URL is not a database URL") from None
    kind = parsed.drivername.partition("+")[0]
    if kind in POSTGRES:
        if find_spec("psycopg") is None:
            raise ConfigurationError("DATABASE_URL: PostgreSQL needs the extra `postgres`")
        return parsed.set(drivername="postgresql+psycopg")
    if kind != "sqlite":
        raise ConfigurationError(
            f"DATABASE_URL: {kind} is not supported, use sqlite:///FILE or postgresql://HOST/NAME"
        )
    in_memory = parsed.database in (None, "", ":memory:")
    return sa.URL.create("sqlite", database=None if in_memory else parsed.database)


def is_postgres(url: sa.URL) -> bool:
    return url.get_backend_name() == "postgresql"


def describe(url: sa.URL) -> str:
    """For people: `sqlite:///data/app.db`, `memory`; without a password."""
    if is_postgres(url):
        shown = url.difference_update_query(["password"]).set(drivername="postgresql")
        return shown.render_as_string(hide_password=True)
    return f"sqlite:///{url.database}" if url.database else "memory"


def create_engine(url: sa.URL) -> sa.Engine:
    """`url` as `parse_url` returns it. Raises ConfigurationError when its folder can't be used."""
    if is_postgres(url):
        return sa.create_engine(
            url,
            hide_parameters=True,
            pool_pre_ping=True,  # a server that was restarted fails no request
            connect_args=PATIENCE,
        )
    return _sqlite(url)


def _sqlite(url: sa.URL) -> sa.Engine:
    if url.database:
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"DATABASE_URL: {url.database}: {error.strerror}") from error
    engine = sa.create_engine(
        url,
        poolclass=sa.QueuePool if url.database else StaticPool,
        # Reads begin no transaction and writes end their own: there is nothing to roll back.
        pool_reset_on_return=None,
        hide_parameters=True,
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
    )

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            f"wal_autocheckpoint={MAX_LOG_PAGES}",
            "foreign_keys=ON",
            "secure_delete=ON",  # deleted data is overwritten in the file
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine
