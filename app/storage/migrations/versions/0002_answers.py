"""Kept answers of providers, and indexes for similar pictures."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

BANDS = range(4)


def upgrade() -> None:
    op.add_column("results", sa.Column("phash", sa.BigInteger))
    for band in BANDS:
        op.add_column("results", sa.Column(f"phash_{band}", sa.Integer))
    op.add_column("results", sa.Column("similar_to", sa.String(40)))
    for band in BANDS:
        columns = ["caller", f"phash_{band}", "id"]
        op.create_index(f"ix_results_{'_'.join(columns)}", "results", columns)
    op.create_table(
        "answers",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_answers"),
    )
    op.create_index("ix_answers_created_at", "answers", ["created_at"])


def downgrade() -> None:
    op.drop_table("answers")
    for band in BANDS:
        op.drop_index(f"ix_results_caller_phash_{band}_id", "results")
    op.drop_column("results", "similar_to")
    for band in BANDS:
        op.drop_column("results", f"phash_{band}")
    op.drop_column("results", "phash")
