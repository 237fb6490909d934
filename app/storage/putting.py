"""Rows written to where there may be others already."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import Insert, insert  # what SQLite speaks, too

from app.storage.tables import SUMS


def putting(table: sa.Table) -> Insert:
    """A statement that writes a row of values for all columns, in place of one with its key."""
    new = insert(table)
    return new.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={each.name: new.excluded[each.name] for each in table.c if not each.primary_key},
    )


def adding(table: sa.Table) -> Insert:
    """A statement that adds to its sums."""
    new = insert(table)
    return new.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={name: table.c[name] + new.excluded[name] for name in SUMS},
    )
