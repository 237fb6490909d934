"""The caller whose picture an example from a review shows: it outlives the result."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("examples", sa.Column("asked_by", sa.String(64)))
    op.execute(
        "UPDATE examples SET asked_by = "
        "(SELECT caller FROM results WHERE results.id = examples.result_id)"
    )


def downgrade() -> None:
    op.drop_column("examples", "asked_by")
