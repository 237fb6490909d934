"""Ledger, budgets, and sums that remain when ledger entries are deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

IS_OPEN = sa.text("NOT rolled")
HAS_BATCH = sa.text("batch_id <> ''")

TOKENS = (
    "prompt_tokens",
    "image_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "completion_tokens",
    "reasoning_tokens",
)
SUMS = (
    *("calls", "estimated_calls", "unpriced_calls"),
    *("asked", "kept", "shared", "duplicate"),
    *TOKENS,
    *("cost_usd", "estimated_usd"),
    *("saved_kept_usd", "saved_shared_usd", "saved_duplicate_usd"),
)


def upgrade() -> None:
    op.add_column("batches", sa.Column("budget_usd", sa.BigInteger))
    op.add_column("batches", sa.Column("resumes_at", sa.BigInteger))
    op.create_table(
        "ledger",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("process", sa.String(40), nullable=False),
        sa.Column("provider", sa.String(64), nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("deployment", sa.Text, nullable=False),
        sa.Column("tariff", sa.String(16), nullable=False),
        sa.Column("caller", sa.String(64), nullable=False),
        sa.Column("domain", sa.String(64), nullable=False),
        sa.Column("batch_id", sa.String(40)),
        sa.Column("result_id", sa.String(40)),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in TOKENS),
        sa.Column("cost_usd", sa.BigInteger),
        sa.Column("price", sa.String(16)),
        sa.Column("estimated", sa.Boolean, nullable=False),
        sa.Column("answers", sa.Integer, nullable=False),
        sa.Column("saved_usd", sa.BigInteger, nullable=False),
        sa.Column("rolled", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
    )
    op.create_index(
        "ix_ledger_process_id",
        "ledger",
        ["process", "id"],
        sqlite_where=IS_OPEN,
        postgresql_where=IS_OPEN,
    )
    _create_sums("cost_hours", batch=True)
    op.create_index(
        "ix_cost_hours_batch_id",
        "cost_hours",
        ["batch_id"],
        sqlite_where=HAS_BATCH,
        postgresql_where=HAS_BATCH,
    )
    _create_sums("cost_days", batch=False)
    op.create_table(
        "budgets",
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_budgets"),
    )
    op.create_table(
        "budget_periods",
        sa.Column("budget", sa.String(40), nullable=False),
        sa.Column("starts_at", sa.BigInteger, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("told", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("budget", "starts_at", name="pk_budget_periods"),
    )
    op.create_table(
        "leases",
        sa.Column("budget", sa.String(40), nullable=False),
        sa.Column("starts_at", sa.BigInteger, nullable=False),
        sa.Column("process", sa.String(40), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("budget", "starts_at", "process", name="pk_leases"),
    )


def _create_sums(name: str, *, batch: bool) -> None:
    keys = ("provider", "model", "deployment", "caller", "domain")
    op.create_table(
        name,
        sa.Column("start", sa.BigInteger, nullable=False),
        *(
            sa.Column(
                key,
                sa.Text if key in ("model", "deployment") else sa.String(64),
                nullable=False,
            )
            for key in keys
        ),
        *([sa.Column("batch_id", sa.String(40), nullable=False)] if batch else []),
        *(sa.Column(each, sa.BigInteger, nullable=False) for each in SUMS),
        sa.PrimaryKeyConstraint(
            "start", *keys, *(["batch_id"] if batch else []), name=f"pk_{name}"
        ),
    )


def downgrade() -> None:
    for name in ("leases", "budget_periods", "budgets", "cost_days", "cost_hours", "ledger"):
        op.drop_table(name)
    op.drop_column("batches", "resumes_at")
    op.drop_column("batches", "budget_usd")
