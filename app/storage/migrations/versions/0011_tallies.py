"""Counts of results, and when their true classes were given."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("results", sa.Column("expected_source", sa.String(16)))
    op.create_table(
        "tally_news",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("caller", sa.String(64), nullable=False),
        sa.Column("domain", sa.String(64), nullable=False),
        sa.Column("counts", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_tally_news"),
    )
    op.create_table(
        "tallies",
        sa.Column("level", sa.String(8), nullable=False),
        sa.Column("caller", sa.String(64), nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("domain", sa.String(64), nullable=False),
        sa.Column("counts", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("level", "caller", "start", "domain", name="pk_tallies"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("tallies")
    op.drop_table("tally_news")
    op.drop_column("results", "expected_source")
