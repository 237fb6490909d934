"""Webhooks, events, deliveries, and every attempt at them."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

IS_PENDING = sa.text("state = 'pending'")


def upgrade() -> None:
    op.add_column("batches", sa.Column("callback_url", sa.Text))
    op.add_column("batches", sa.Column("progress_told_at", sa.BigInteger))
    op.add_column("accepted", sa.Column("callback_url", sa.Text))
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("caller", sa.String(64), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("event_types", sa.JSON, nullable=False),
        sa.Column("domains", sa.JSON, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("rate_limit", sa.Double),
        sa.Column("secrets", sa.Text),
        sa.Column("headers", sa.Text),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("failing_since", sa.BigInteger),
        sa.Column("disabled_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
    )
    op.create_index("ix_webhooks_caller_id", "webhooks", ["caller", "id"])
    op.create_table(
        "events",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(40), nullable=False),
        sa.Column("body", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_subject", "events", ["subject"])
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("webhook_id", sa.String(40), nullable=False),
        sa.Column("caller", sa.String(64), nullable=False),
        sa.Column("event", sa.BigInteger, nullable=False),
        sa.Column("url", sa.Text),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
    )
    op.create_index("ix_deliveries_webhook_id_id", "deliveries", ["webhook_id", "id"])
    op.create_index("ix_deliveries_caller_id", "deliveries", ["caller", "id"])
    op.create_index("ix_deliveries_event", "deliveries", ["event"])
    op.create_index(
        "ix_deliveries_webhook_id_due_at",
        "deliveries",
        ["webhook_id", "due_at"],
        sqlite_where=IS_PENDING,
        postgresql_where=IS_PENDING,
    )
    op.create_table(
        "attempts",
        sa.Column("delivery_id", sa.String(40), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("duration_ms", sa.Double, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.String(32)),
        sa.Column("answer", sa.Text),
        sa.PrimaryKeyConstraint("delivery_id", "number", name="pk_attempts"),
    )


def downgrade() -> None:
    for table in ("attempts", "deliveries", "events", "webhooks"):
        op.drop_table(table)
    for table, column in (
        ("accepted", "callback_url"),
        ("batches", "progress_told_at"),
        ("batches", "callback_url"),
    ):
        op.drop_column(table, column)
