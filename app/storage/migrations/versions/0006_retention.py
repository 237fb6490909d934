"""Indexes that tell whether a batch still needs a picture or a result."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    for column, condition in (
        ("source", sa.text("substr(source, 1, 7) = 'sha256:'")),
        ("result_id", sa.text("result_id IS NOT NULL")),
    ):
        op.create_index(
            f"ix_batch_items_{column}",
            "batch_items",
            [column],
            sqlite_where=condition,
            postgresql_where=condition,
        )


def downgrade() -> None:
    op.drop_index("ix_batch_items_result_id", "batch_items")
    op.drop_index("ix_batch_items_source", "batch_items")
