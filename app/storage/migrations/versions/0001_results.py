"""Results, domains, idempotency keys."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "results",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("caller", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("domain", sa.String(64), nullable=False),
        sa.Column("domain_version", sa.String(16), nullable=False),
        sa.Column("predicted_class", sa.String(100)),
        sa.Column("confidence", sa.Double),
        sa.Column("probabilities", sa.JSON),
        sa.Column("review_reasons", sa.JSON),
        sa.Column("confidence_source", sa.String(16)),
        sa.Column("provider", sa.String(64)),
        sa.Column("model", sa.Text),
        sa.Column("deployment", sa.Text),
        sa.Column("provider_request_id", sa.Text),
        sa.Column("cached", sa.Boolean, nullable=False),
        sa.Column("image", sa.JSON),
        sa.Column("prompt_tokens", sa.BigInteger),
        sa.Column("completion_tokens", sa.BigInteger),
        sa.Column("cost_usd", sa.BigInteger),
        sa.Column("timings_ms", sa.JSON),
        sa.Column("error", sa.JSON),
        sa.Column("expected", sa.String(100)),
        sa.Column("metadata", sa.JSON),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("completed_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_results"),
    )
    op.create_index("ix_results_caller_id", "results", ["caller", "id"])
    op.create_index("ix_results_domain_id", "results", ["domain", "id"])
    op.create_index("ix_results_status_id", "results", ["status", "id"])
    op.create_table(
        "domains",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_domains"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("caller", sa.String(64), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("result_id", sa.String(40), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("caller", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])


def downgrade() -> None:
    op.drop_table("idempotency_keys")
    op.drop_table("domains")
    op.drop_table("results")
