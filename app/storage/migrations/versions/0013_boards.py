"""State that processes share while Redis is down."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "boards",
        sa.Column("process", sa.String(40), nullable=False),
        sa.Column("told", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("process", name="pk_boards"),
    )


def downgrade() -> None:
    op.drop_table("boards")
