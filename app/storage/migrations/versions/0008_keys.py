"""Index for the idempotency key of a batch that is deleted."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_index("ix_idempotency_keys_result_id", "idempotency_keys", ["result_id"])


def downgrade() -> None:
    op.drop_index("ix_idempotency_keys_result_id", "idempotency_keys")
