"""Batches and their progress; and accepted pictures, with what is needed to classify them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

COUNTS = (
    *("total", "duplicates", "bad_rows", "next_shard"),
    *("accepted", "needs_review", "failed"),
    *("expected", "correct", "prompt_tokens", "completion_tokens"),
    "cost_usd",
)


def _count(name: str, kind: type[sa.types.TypeEngine[int]] = sa.BigInteger) -> sa.Column[int]:
    return sa.Column(name, kind, nullable=False, server_default="0")


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("caller", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200)),
        sa.Column("domain", sa.String(64), nullable=False),
        sa.Column("provider", sa.String(64)),
        sa.Column("lane", sa.String(16), nullable=False),
        sa.Column("batch_size", sa.Integer, nullable=False),
        sa.Column("shard_size", sa.Integer, nullable=False),
        sa.Column("on_error", sa.String(16), nullable=False),
        sa.Column("deadline", sa.BigInteger),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text),
        *map(_count, COUNTS),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("completed_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
    )
    op.create_index("ix_batches_caller_id", "batches", ["caller", "id"])
    op.create_index("ix_batches_status_id", "batches", ["status", "id"])
    op.create_table(
        "batch_shards",
        sa.Column("batch_id", sa.String(40), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        _count("attempt", sa.Integer),
        sa.Column("left", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "number", name="pk_batch_shards"),
    )
    op.create_table(
        "batch_items",
        sa.Column("batch_id", sa.String(40), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("item_id", sa.String(255), nullable=False),
        sa.Column("source", sa.String(2_100), nullable=False),
        sa.Column("expected", sa.String(100)),
        sa.Column("metadata", sa.JSON),
        sa.Column("same_as", sa.BigInteger),
        sa.Column("state", sa.String(16), nullable=False),
        _count("attempts", sa.Integer),
        sa.Column("result_id", sa.String(40)),
        sa.PrimaryKeyConstraint("batch_id", "number", name="pk_batch_items"),
    )
    op.create_index("ix_batch_items_batch_id_same_as", "batch_items", ["batch_id", "same_as"])
    op.create_table(
        "batch_errors",
        sa.Column("batch_id", sa.String(40), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("place", sa.String(255), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "number", name="pk_batch_errors"),
    )
    op.create_table(
        "accepted",
        sa.Column("result_id", sa.String(40), nullable=False),
        sa.Column("url", sa.Text),
        sa.Column("provider", sa.String(64)),
        sa.Column("fresh", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("result_id", name="pk_accepted"),
    )


def downgrade() -> None:
    for table in ("accepted", "batch_errors", "batch_items", "batch_shards", "batches"):
        op.drop_table(table)
