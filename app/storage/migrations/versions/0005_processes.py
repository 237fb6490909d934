"""What several processes have in common, and how often an accepted picture was taken."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("accepted", sa.Column("attempts", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "installation",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_installation"),
    )


def downgrade() -> None:
    op.drop_table("installation")
    op.drop_column("accepted", "attempts")
