"""Which rows a caller sees: an operator all, everybody else their own."""

from typing import Any, TypeVar

import sqlalchemy as sa

Statement = TypeVar("Statement", sa.Select[Any], sa.Update, sa.Delete)


def seen_by(caller: str | None, table: sa.Table, statement: Statement) -> Statement:
    """Restricts the statement to the caller's rows of the table; None means an operator."""
    return statement if caller is None else statement.where(table.c.caller == caller)
