"""Drops the count of attempts at accepted pictures."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.drop_column("accepted", "attempts")


def downgrade() -> None:
    op.add_column("accepted", sa.Column("attempts", sa.Integer, nullable=False, server_default="0"))
