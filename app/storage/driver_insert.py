"""Inserts rows through the driver: SQLAlchemy takes as long to process two dozen values as SQLite
to insert the row."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa


class DriverInsert:
    def __init__(self, table: sa.Table, columns: Sequence[str], *, once: bool = False) -> None:
        """`once`: rows that exist already stay unchanged."""
        text = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES "  # noqa: S608 - our own names
        end = " ON CONFLICT DO NOTHING" if once else ""
        # Placeholder styles of the drivers.
        self._texts = {
            style: f"{text}({', '.join([mark] * len(columns))}){end}"
            for style, mark in (("qmark", "?"), ("pyformat", "%s"))
        }

    def run(self, connection: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """`rows`: values as the database stores them; returns how many of the rows are new."""
        if not rows:
            return 0
        text = self._texts[connection.dialect.paramstyle]
        return connection.exec_driver_sql(text, list(rows)).rowcount
