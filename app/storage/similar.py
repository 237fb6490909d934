"""Pictures that look nearly the same: perceptual hashes that differ in a few of their 64 bits.

A hash is cut into four bands. Two hashes that differ in at most three bits share a band, which an
index finds; of those that differ in four, nearly all do.
"""

from typing import Any

import sqlalchemy as sa

from app.storage.tables import results

NEAR = 4
"""Bits. Of photographs halved in size or stored at JPEG quality 50, over 99 % stay within it."""

BANDS = 4
BAND_BITS = 16
CANDIDATES = 8
"""Newest rows considered for each band of a new picture: a fixed camera produces thousands that
share all four."""

_COLUMNS = tuple(results.c[f"phash_{band}"] for band in range(BANDS))


def hash_columns(phash: str | None) -> dict[str, int | None]:
    """Columns for a hash in hex: itself as a signed number, and its bands."""
    if phash is None:
        return dict.fromkeys(["phash", *(column.name for column in _COLUMNS)])
    value = int(phash, 16)
    bands = {
        column.name: value >> BAND_BITS * band & (1 << BAND_BITS) - 1
        for band, column in enumerate(_COLUMNS)
    }
    return {"phash": value - (1 << 64) * (value >> 63), **bands}


def nearest(connection: sa.Connection, caller: str, row: dict[str, Any]) -> str | None:
    """The id of the caller's result whose picture is most similar to that of `row`, the newest if
    there are several; None when none is near."""
    if row["phash"] is None:
        return None
    values = {column.name: row[column.name] for column in _COLUMNS}
    found = connection.execute(_CANDIDATES, {"caller": caller, "self": row["id"], **values}).all()
    distance, _, result_id = max(
        ((-_distance(row["phash"], phash), result_id, result_id) for result_id, phash in found),
        default=(-NEAR - 1, "", None),
    )
    return result_id if -distance <= NEAR else None


def all_near(connection: sa.Connection, row: sa.RowMapping, limit: int) -> list[str]:
    """Ids of the caller's newest results that look similar to `row`."""
    if row["phash"] is None:
        return []
    found = connection.execute(sa.union(*(_with_band_of(row, each, limit) for each in _COLUMNS)))
    return [result_id for result_id, phash in found if _distance(row["phash"], phash) <= NEAR]


def _with_band_of(row: sa.RowMapping, column: sa.Column[int], limit: int) -> Any:
    newest = (
        sa.select(results.c.id, results.c.phash)
        .where(
            results.c.caller == row["caller"],
            column == row[column.name],
            results.c.id != row["id"],
        )
        .order_by(results.c.id.desc())
        .limit(limit)
    )
    return sa.select(newest.subquery())


def _distance(one: int, other: int) -> int:
    """For signed numbers: equal 64-bit patterns give equal numbers, so the sign does not matter."""
    return ((one ^ other) & (1 << 64) - 1).bit_count()


def _newest_with(column: sa.Column[int]) -> Any:
    return (
        sa.select(results.c.id, results.c.phash)
        .where(
            results.c.caller == sa.bindparam("caller"),
            column == sa.bindparam(column.name),
            results.c.id != sa.bindparam("self"),
        )
        .order_by(results.c.id.desc())
        .limit(CANDIDATES)
        .subquery()
    )


_CANDIDATES = sa.union_all(*(sa.select(_newest_with(column)) for column in _COLUMNS))
