"""Servers that several processes share: a PostgreSQL, a Redis and a folder."""

from contextlib import ExitStack
from pathlib import Path

from cryptography.fernet import Fernet

from tests.postgres_server import PostgresServer
from tests.redis_server import RedisServer


class SharedServers:
    """
    Attributes:
        variables: those with which a service finds them.
    """

    def __init__(self, folder: Path) -> None:
        (folder / "redis").mkdir()
        with ExitStack() as started:
            self.postgres = PostgresServer()
            started.callback(self.postgres.close)
            self.redis = RedisServer(folder / "redis")
            started.callback(self.redis.kill)
            self.variables = {
                "DATABASE_URL": self.postgres.url(self.postgres.new_database()),
                "REDIS_URL": self.redis.url,
                "BLOBS_URL": f"file://{folder}/blobs",
                "WEBHOOKS_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            }
            self.close = started.pop_all().close
