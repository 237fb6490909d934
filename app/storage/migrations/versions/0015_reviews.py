"""Reviews, examples and lessons of the local model, and savings of cascades."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

COSTS = ("cost_hours", "cost_days")


def upgrade() -> None:
    op.add_column("results", sa.Column("final_class", sa.String(100)))
    op.add_column("results", sa.Column("decided_by", sa.String(64)))
    op.execute(
        "UPDATE results SET final_class = predicted_class, decided_by = 'model' "
        "WHERE status = 'accepted'"
    )
    for table in COSTS:
        for name in ("cascade", "saved_cascade_usd"):
            op.add_column(table, sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    _create_reviews()
    op.create_table(
        "review_steps",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("result_id", sa.String(40), nullable=False),
        sa.Column("reviewer", sa.String(64), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("label", sa.String(100)),
        sa.Column("note", sa.Text),
        sa.Column("before", sa.JSON),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_review_steps"),
    )
    op.create_index("ix_review_steps_result_id", "review_steps", ["result_id"])
    op.create_table(
        "examples",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("domain", sa.String(64), nullable=False),
        sa.Column("label", sa.String(100), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("picture", sa.String(64)),
        sa.Column("embedding", sa.LargeBinary, nullable=False),
        sa.Column("embedded_by", sa.String(64), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("result_id", sa.String(40)),
        sa.Column("caller", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("set_aside", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_examples"),
    )
    is_aside = sa.text("set_aside IS NOT NULL")
    op.create_index(
        "ix_examples_aside",
        "examples",
        ["domain"],
        sqlite_where=is_aside,
        postgresql_where=is_aside,
    )
    op.create_index("ix_examples_domain_sha256", "examples", ["domain", "sha256"], unique=True)
    for columns in (["domain", "label", "id"], ["picture"], ["result_id"]):
        op.create_index(f"ix_examples_{'_'.join(columns)}", "examples", columns)
    op.create_table(
        "lessons",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("domain", sa.String(64), nullable=False),
        sa.Column("cause", sa.String(16), nullable=False),
        sa.Column("examples", sa.Integer, nullable=False),
        sa.Column("score", sa.Double),
        sa.Column("head", sa.Text, nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("withdrawn_at", sa.BigInteger),
        sa.Column("reason", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_lessons"),
    )
    op.create_index(
        "ix_lessons_domain_id_withdrawn_at", "lessons", ["domain", "id", "withdrawn_at"]
    )


def _create_reviews() -> None:
    op.create_table(
        "reviews",
        sa.Column("result_id", sa.String(40), nullable=False),
        sa.Column("caller", sa.String(64), nullable=False),
        sa.Column("domain", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("share", sa.Double, nullable=False),
        sa.Column("rank", sa.Double, nullable=False),
        sa.Column("picture", sa.String(64)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("skips", sa.Integer, nullable=False, server_default="0"),
        sa.Column("claimed_by", sa.String(64)),
        sa.Column("claimed_until", sa.BigInteger),
        sa.Column("action", sa.String(16)),
        sa.Column("label", sa.String(100)),
        sa.Column("reviewer", sa.String(64)),
        sa.Column("decided_at", sa.BigInteger),
        sa.Column("learned", sa.String(100)),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("result_id", name="pk_reviews"),
    )
    is_open = sa.text("state = 'open'")
    for name, columns in (
        ("ix_reviews_open", ["kind", "skips", "rank"]),
        ("ix_reviews_open_of_domain", ["domain", "kind", "skips", "rank", "caller"]),
        ("ix_reviews_open_of_caller", ["caller", "kind", "skips", "rank", "domain"]),
    ):
        op.create_index(name, "reviews", columns, sqlite_where=is_open, postgresql_where=is_open)
    is_claimed = sa.text("claimed_by IS NOT NULL")
    op.create_index(
        "ix_reviews_claimed_by",
        "reviews",
        ["claimed_by"],
        sqlite_where=is_claimed,
        postgresql_where=is_claimed,
    )
    is_decided = sa.text("decided_at IS NOT NULL")
    for of, columns in (("", []), ("_of_domain", ["domain"])):
        op.create_index(
            f"ix_reviews_decided{of}",
            "reviews",
            [*columns, "decided_at", "kind", "action", "reviewer", "caller"],
            sqlite_where=is_decided,
            postgresql_where=is_decided,
        )
    same = ["picture", "domain", "caller"]
    op.create_index("ix_reviews_picture_domain_caller", "reviews", same)
    # What waited before the queue existed, highest confidence first; its pictures were not kept.
    op.execute(
        "INSERT INTO reviews (result_id, caller, domain, kind, share, rank, state, created_at) "
        "SELECT id, caller, domain, 'unsure', 1, 2 - confidence, 'open', created_at FROM results "
        "WHERE status = 'needs_review' AND expected IS NULL AND confidence IS NOT NULL"
    )


def downgrade() -> None:
    for table in ("lessons", "examples", "review_steps", "reviews"):
        op.drop_table(table)
    for table in COSTS:
        op.drop_column(table, "saved_cascade_usd")
        op.drop_column(table, "cascade")
    op.execute(
        "UPDATE results SET expected_source = 'later' "
        "WHERE expected_source IN ('review', 'random_review')"
    )
    op.drop_column("results", "decided_by")
    op.drop_column("results", "final_class")
