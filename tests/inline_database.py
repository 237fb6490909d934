"""A database for virtual time."""

import sqlalchemy as sa

from app.errors import StorageUnavailable
from app.storage import Database
from app.storage.tables import ledger, metadata


class Inline(Database):
    """In memory, without threads: no virtual time passes while it works."""

    def __init__(self) -> None:
        super().__init__("sqlite://")
        self.fails = False
        metadata.create_all(self.engine)

    async def read(self, unit):
        if self.fails:
            raise StorageUnavailable("The database can't be read.")
        with self.engine.begin() as connection:
            return unit(connection)

    write = read

    def rows(self, table=ledger):
        with self.engine.begin() as connection:
            return connection.execute(sa.select(table)).mappings().all()
