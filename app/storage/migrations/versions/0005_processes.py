"""State shared by processes, a count of attempts at accepted pictures, and the time from which a
batch's pace is measured."""

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
    op.add_column("batches", sa.Column("paced_from", sa.BigInteger))
    op.add_column(
        "batches", sa.Column("paced_done", sa.BigInteger, nullable=False, server_default="0")
    )


def downgrade() -> None:
    op.drop_column("batches", "paced_done")
    op.drop_column("batches", "paced_from")
    op.drop_table("installation")
    op.drop_column("accepted", "attempts")
