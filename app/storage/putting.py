"""Statements for inserting rows that may exist already."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import Insert, insert  # SQLite supports it, too

from app.storage.tables import SUMS


def putting(table: sa.Table) -> Insert:
    """An upsert of whole rows: a row with the same key is replaced."""
    new = insert(table)
    return new.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={each.name: new.excluded[each.name] for each in table.c if not each.primary_key},
    )


def adding(table: sa.Table) -> Insert:
    """An upsert that adds to existing sums."""
    new = insert(table)
    return new.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={name: table.c[name] + new.excluded[name] for name in SUMS},
    )
