"""Calibrations of confidence, and evaluations of answers."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("results", sa.Column("calibration", sa.String(40)))
    op.add_column("results", sa.Column("raw_confidence", sa.Double))
    op.add_column("results", sa.Column("raw_probabilities", sa.JSON))
    op.add_column("results", sa.Column("revision", sa.String(40)))
    op.add_column("results", sa.Column("tail", sa.Double))
    labelled = sa.text("expected IS NOT NULL")
    op.create_index(
        "ix_results_labelled",
        "results",
        ["domain", "id"],
        sqlite_where=labelled,
        postgresql_where=labelled,
    )
    op.create_table(
        "calibrations",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("domain", sa.String(64), nullable=False),
        sa.Column("domain_version", sa.String(16), nullable=False),
        sa.Column("provider", sa.String(64), nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("confidence_source", sa.String(16), nullable=False),
        sa.Column("revision", sa.String(40), nullable=False),
        sa.Column("method", sa.String(16), nullable=False),
        sa.Column("labels", sa.Integer, nullable=False),
        sa.Column("ece_before", sa.Double, nullable=False),
        sa.Column("ece_after", sa.Double, nullable=False),
        sa.Column("fitted", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("withdrawn_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_calibrations"),
    )
    op.create_index("ix_calibrations_domain_id", "calibrations", ["domain", "id"])
    op.create_table(
        "evaluations",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("caller", sa.String(64), nullable=False),
        sa.Column("domain", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200)),
        sa.Column("report", sa.Text, nullable=False),
        sa.Column("outcomes", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_evaluations"),
    )
    op.create_index("ix_evaluations_caller_id", "evaluations", ["caller", "id"])


def downgrade() -> None:
    op.drop_table("evaluations")
    op.drop_table("calibrations")
    # What is left must be what the provider said: nothing would tell any more that it is not.
    op.execute(
        "UPDATE results SET confidence = raw_confidence, probabilities = raw_probabilities "
        "WHERE calibration IS NOT NULL"
    )
    op.drop_index("ix_results_labelled", "results")
    op.drop_column("results", "tail")
    op.drop_column("results", "revision")
    op.drop_column("results", "raw_probabilities")
    op.drop_column("results", "raw_confidence")
    op.drop_column("results", "calibration")
