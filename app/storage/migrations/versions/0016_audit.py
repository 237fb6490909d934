"""Audit log; erasures; and indexes that find every trace of a picture."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

SIMILAR = sa.text("similar_to IS NOT NULL")
OF_RESULT = sa.text("result_id IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(100), nullable=False),
        sa.Column("change", sa.Text),
        sa.Column("request_id", sa.String(128)),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    for column in ("actor", "action", "subject"):
        op.create_index(f"ix_audit_{column}", "audit", [column, "id"])
    op.create_table(
        "erasures",
        sa.Column("caller", sa.String(64), nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(128)),
        sa.Column("counts", sa.JSON, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("caller", name="pk_erasures"),
    )
    op.add_column("answers", sa.Column("picture", sa.String(64)))
    op.execute(_OF_PICTURE[op.get_bind().dialect.name])
    op.create_index("ix_answers_picture", "answers", ["picture"])
    _index("ix_results_similar_to", "results", "similar_to", SIMILAR)
    _index("ix_ledger_result_id", "ledger", "result_id", OF_RESULT)


def downgrade() -> None:
    op.drop_index("ix_ledger_result_id", "ledger")
    op.drop_index("ix_results_similar_to", "results")
    op.drop_index("ix_answers_picture", "answers")
    op.drop_column("answers", "picture")
    op.drop_table("erasures")
    op.drop_table("audit")


def _index(name: str, table: str, column: str, where: sa.TextClause) -> None:
    op.create_index(name, table, [column], sqlite_where=where, postgresql_where=where)


_OF_PICTURE = {
    "sqlite": "UPDATE answers SET picture = json_extract(answer, '$.image.sha256')",
    "postgresql": "UPDATE answers SET picture = answer::json -> 'image' ->> 'sha256'",
}
