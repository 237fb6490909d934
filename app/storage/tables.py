"""The schema, as it is after the newest migration."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import get_args

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

from app.ledger import Kind
from app.moment import EPOCH

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)


class UtcTime(TypeDecorator[datetime]):
    """A point in time, stored as whole microseconds since 1970: exact, sortable, the same in every
    database."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:
        return None if value is None else self.stored(value)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else self.moment(value)

    @staticmethod
    def stored(moment: datetime) -> int:
        since = moment - EPOCH
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds

    @staticmethod
    def moment(stored: int) -> datetime:
        return EPOCH + timedelta(microseconds=stored)


class Usd(TypeDecorator[Decimal]):
    """Money, stored as whole millionths of a millionth of a dollar: sums stay exact."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: sa.Dialect) -> int | None:
        return None if value is None else self.stored(value)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> Decimal | None:
        return None if value is None else Decimal(value).scaleb(-12)

    @staticmethod
    def stored(amount: Decimal) -> int:
        return int(amount.scaleb(12).to_integral_value())

    @staticmethod
    def number(stored: int) -> float:
        """As in JSON."""
        return stored / 10**12


LABELLED = sa.text("expected IS NOT NULL")

_IS_SIMILAR = sa.text("similar_to IS NOT NULL")

_HAS_RESULT = sa.text("result_id IS NOT NULL")

results = sa.Table(
    "results",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
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
    sa.Column("degraded", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("image", sa.JSON),
    sa.Column("phash", sa.BigInteger),
    *(sa.Column(f"phash_{band}", sa.Integer) for band in range(4)),
    sa.Column("similar_to", sa.String(40)),
    sa.Column("prompt_tokens", sa.BigInteger),
    sa.Column("completion_tokens", sa.BigInteger),
    sa.Column("cost_usd", Usd),
    sa.Column("timings_ms", sa.JSON),
    sa.Column("error", sa.JSON),
    sa.Column("expected", sa.String(100)),
    sa.Column("expected_source", sa.String(16)),
    sa.Column("metadata", sa.JSON),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("completed_at", UtcTime),
    sa.Column("calibration", sa.String(40)),
    sa.Column("raw_confidence", sa.Double),
    sa.Column("raw_probabilities", sa.JSON),
    sa.Column("revision", sa.String(40)),
    sa.Column("tail", sa.Double),
    sa.Column("final_class", sa.String(100)),
    sa.Column("decided_by", sa.String(64)),
    sa.Index(None, "caller", "id"),
    sa.Index(None, "domain", "id"),
    sa.Index(None, "status", "id"),
    sa.Index(None, "similar_to", sqlite_where=_IS_SIMILAR, postgresql_where=_IS_SIMILAR),
    sa.Index(
        "ix_results_labelled",
        "domain",
        "id",
        sqlite_where=LABELLED,
        postgresql_where=LABELLED,
    ),
    *(sa.Index(None, "caller", f"phash_{band}", "id") for band in range(4)),
)

batches = sa.Table(
    "batches",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("caller", sa.String(64), nullable=False),
    sa.Column("name", sa.String(200)),
    sa.Column("domain", sa.String(64), nullable=False),
    sa.Column("provider", sa.String(64)),
    sa.Column("lane", sa.String(16), nullable=False),
    sa.Column("batch_size", sa.Integer, nullable=False),
    sa.Column("shard_size", sa.Integer, nullable=False),
    sa.Column("on_error", sa.String(16), nullable=False),
    sa.Column("deadline", UtcTime),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text),
    *(
        sa.Column(name, sa.BigInteger, nullable=False, server_default="0")
        for name in (
            *("total", "duplicates", "bad_rows", "next_shard"),
            *("accepted", "needs_review", "failed"),
            *("expected", "correct", "prompt_tokens", "completion_tokens"),
        )
    ),
    sa.Column("cost_usd", Usd, nullable=False, server_default="0"),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("started_at", UtcTime),
    sa.Column("completed_at", UtcTime),
    sa.Column("paced_from", UtcTime),
    sa.Column("paced_done", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("callback_url", sa.Text),
    sa.Column("progress_told_at", UtcTime),
    sa.Column("budget_usd", Usd),
    sa.Column("resumes_at", UtcTime),
    sa.Index(None, "caller", "id"),
    sa.Index(None, "status", "id"),
)

batch_shards = sa.Table(
    "batch_shards",
    metadata,
    sa.Column("batch_id", sa.String(40), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
    sa.Column("left", sa.Integer, nullable=False),
)

IS_UPLOAD = sa.text("substr(source, 1, 7) = 'sha256:'")
"""Condition on an item's source; in exactly this form, or the index is not used."""

batch_items = sa.Table(
    "batch_items",
    metadata,
    sa.Column("batch_id", sa.String(40), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True),
    sa.Column("item_id", sa.String(255), nullable=False),
    sa.Column("source", sa.String(2_100), nullable=False),
    sa.Column("expected", sa.String(100)),
    sa.Column("metadata", sa.JSON),
    sa.Column("same_as", sa.BigInteger),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("result_id", sa.String(40)),
    sa.Index(None, "batch_id", "same_as"),
    sa.Index(None, "source", sqlite_where=IS_UPLOAD, postgresql_where=IS_UPLOAD),
    sa.Index(None, "result_id", sqlite_where=_HAS_RESULT, postgresql_where=_HAS_RESULT),
)

batch_errors = sa.Table(
    "batch_errors",
    metadata,
    sa.Column("batch_id", sa.String(40), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True),
    sa.Column("place", sa.String(255), nullable=False),
    sa.Column("reason", sa.String(500), nullable=False),
)

accepted = sa.Table(
    "accepted",
    metadata,
    sa.Column("result_id", sa.String(40), primary_key=True),
    sa.Column("url", sa.Text),
    sa.Column("provider", sa.String(64)),
    sa.Column("fresh", sa.Boolean, nullable=False),
    sa.Column("callback_url", sa.Text),
)

webhooks = sa.Table(
    "webhooks",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
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
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("changed_at", UtcTime, nullable=False),
    sa.Column("failing_since", UtcTime),
    sa.Column("disabled_at", UtcTime),
    sa.Index(None, "caller", "id"),
)

events = sa.Table(
    "events",
    metadata,
    # SQLite autoincrements only this type.
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("id", sa.String(40), nullable=False),
    sa.Column("type", sa.String(64), nullable=False),
    sa.Column("subject", sa.String(40), nullable=False),
    sa.Column("body", sa.Text),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Index(None, "subject"),
    sqlite_autoincrement=True,  # or numbers restart when all rows are deleted
)

IS_PENDING = sa.text("state = 'pending'")
"""Condition on a delivery; in exactly this form, or the index is not used."""

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("webhook_id", sa.String(40), nullable=False),
    sa.Column("caller", sa.String(64), nullable=False),
    sa.Column("event", sa.BigInteger, nullable=False),
    sa.Column("url", sa.Text),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("due_at", UtcTime, nullable=False),
    sa.Column("ended_at", UtcTime),
    sa.Index(None, "webhook_id", "id"),
    sa.Index(None, "caller", "id"),
    sa.Index(None, "event"),
    sa.Index(None, "webhook_id", "due_at", sqlite_where=IS_PENDING, postgresql_where=IS_PENDING),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("delivery_id", sa.String(40), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("duration_ms", sa.Double, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("error", sa.String(32)),
    sa.Column("answer", sa.Text),
)

TOKENS = (
    "prompt_tokens",
    "image_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "completion_tokens",
    "reasoning_tokens",
)

IS_UNSUMMED = sa.text("NOT rolled")
"""Condition on an entry not in any sum; in exactly this form, or the index is not used."""

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("at", UtcTime, nullable=False),
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
    sa.Column("cost_usd", Usd),
    sa.Column("price", sa.String(16)),
    sa.Column("estimated", sa.Boolean, nullable=False),
    sa.Column("answers", sa.Integer, nullable=False),
    sa.Column("saved_usd", Usd, nullable=False),
    sa.Column("rolled", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index(None, "process", "id", sqlite_where=IS_UNSUMMED, postgresql_where=IS_UNSUMMED),
    sa.Index(None, "result_id", sqlite_where=_HAS_RESULT, postgresql_where=_HAS_RESULT),
)

SPENT_BY = ("provider", "model", "deployment", "caller", "domain")
COUNTED = ("calls", "estimated_calls", "unpriced_calls")
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Answers, by how they came about; `asked` is the first."""
SUMS = (
    *COUNTED,
    *KINDS,
    *TOKENS,
    *("cost_usd", "estimated_usd"),
    *(f"saved_{kind}_usd" for kind in KINDS[1:]),
)


def _sums() -> list[sa.Column[object]]:
    return [
        sa.Column(
            name,
            Usd if name.endswith("_usd") else sa.BigInteger,
            nullable=False,
            server_default="0" if "cascade" in name else None,  # these columns were added later
        )
        for name in SUMS
    ]


def _spent_by() -> list[sa.Column[object]]:
    return [
        sa.Column(name, sa.Text if name in ("model", "deployment") else sa.String(64))
        for name in SPENT_BY
    ]


HAS_BATCH = sa.text("batch_id <> ''")

cost_hours = sa.Table(
    "cost_hours",
    metadata,
    sa.Column("start", UtcTime),
    *_spent_by(),
    sa.Column("batch_id", sa.String(40)),
    *_sums(),
    sa.PrimaryKeyConstraint("start", *SPENT_BY, "batch_id"),
    sa.Index(None, "batch_id", sqlite_where=HAS_BATCH, postgresql_where=HAS_BATCH),
)

cost_days = sa.Table(
    "cost_days",
    metadata,
    sa.Column("start", UtcTime),
    *_spent_by(),
    *_sums(),
    sa.PrimaryKeyConstraint("start", *SPENT_BY),
)

tally_news = sa.Table(
    "tally_news",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("start", UtcTime, nullable=False),
    sa.Column("caller", sa.String(64), nullable=False),
    sa.Column("domain", sa.String(64), nullable=False),
    sa.Column("counts", sa.Text, nullable=False),
)

tallies = sa.Table(
    "tallies",
    metadata,
    sa.Column("level", sa.String(8), primary_key=True),
    sa.Column("caller", sa.String(64), primary_key=True),
    sa.Column("start", UtcTime, primary_key=True),
    sa.Column("domain", sa.String(64), primary_key=True),
    sa.Column("counts", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

budgets = sa.Table(
    "budgets",
    metadata,
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("definition", sa.Text, nullable=False),
    sa.Column("changed_at", UtcTime, nullable=False),
)

budget_periods = sa.Table(
    "budget_periods",
    metadata,
    sa.Column("budget", sa.String(40), primary_key=True),
    sa.Column("starts_at", UtcTime, primary_key=True),
    sa.Column("since", UtcTime, nullable=False),
    sa.Column("told", sa.Integer, nullable=False, server_default="0"),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("budget", sa.String(40), primary_key=True),
    sa.Column("starts_at", UtcTime, primary_key=True),
    sa.Column("process", sa.String(40), primary_key=True),
    sa.Column("amount", Usd, nullable=False),
    sa.Column("seen_at", UtcTime, nullable=False),
)

STANDS = sa.text("state <> 'resolved'")
"""Condition on an alert; in exactly this form, or the index is not used."""

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("rule", sa.String(64), nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("domain", sa.String(64)),
    sa.Column("signal", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("severity", sa.String(16), nullable=False),
    sa.Column("value", sa.Double, nullable=False),
    sa.Column("threshold", sa.Double, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("runbook", sa.Text, nullable=False),
    sa.Column("since", UtcTime, nullable=False),
    sa.Column("seen_at", UtcTime, nullable=False),
    sa.Column("fired_at", UtcTime),
    sa.Column("resolved_at", UtcTime),
    sa.Column("reason", sa.String(16)),
    sa.Column("told", sa.JSON, nullable=False),
    sa.Index(None, "rule", "subject", unique=True, sqlite_where=STANDS, postgresql_where=STANDS),
    sa.Index(None, "resolved_at"),
)

calibrations = sa.Table(
    "calibrations",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
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
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("withdrawn_at", UtcTime),
    sa.Index(None, "domain", "id"),
)

evaluations = sa.Table(
    "evaluations",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("caller", sa.String(64), nullable=False),
    sa.Column("domain", sa.String(64), nullable=False),
    sa.Column("name", sa.String(200)),
    sa.Column("report", sa.Text, nullable=False),
    sa.Column("outcomes", sa.Text, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Index(None, "caller", "id"),
)

IS_OPEN_REVIEW = sa.text("state = 'open'")
"""In exactly this form, or the index is not used."""

IS_CLAIMED = sa.text("claimed_by IS NOT NULL")
"""Condition on a review."""

IS_DECIDED = sa.text("decided_at IS NOT NULL")
"""Condition on a review; the index covers all that statistics read."""

reviews = sa.Table(
    "reviews",
    metadata,
    sa.Column("result_id", sa.String(40), primary_key=True),
    sa.Column("caller", sa.String(64), nullable=False),
    sa.Column("domain", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("share", sa.Double, nullable=False),
    sa.Column("rank", sa.Double, nullable=False),
    sa.Column("picture", sa.String(64)),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("skips", sa.Integer, nullable=False, server_default="0"),
    sa.Column("claimed_by", sa.String(64)),
    sa.Column("claimed_until", UtcTime),
    sa.Column("action", sa.String(16)),
    sa.Column("label", sa.String(100)),
    sa.Column("reviewer", sa.String(64)),
    sa.Column("decided_at", UtcTime),
    sa.Column("learned", sa.String(100)),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Index(
        "ix_reviews_open",
        *("kind", "skips", "rank"),
        sqlite_where=IS_OPEN_REVIEW,
        postgresql_where=IS_OPEN_REVIEW,
    ),
    sa.Index(
        "ix_reviews_open_of_domain",
        *("domain", "kind", "skips", "rank", "caller"),
        sqlite_where=IS_OPEN_REVIEW,
        postgresql_where=IS_OPEN_REVIEW,
    ),
    sa.Index(
        "ix_reviews_open_of_caller",
        *("caller", "kind", "skips", "rank", "domain"),
        sqlite_where=IS_OPEN_REVIEW,
        postgresql_where=IS_OPEN_REVIEW,
    ),
    sa.Index(None, "claimed_by", sqlite_where=IS_CLAIMED, postgresql_where=IS_CLAIMED),
    *(
        sa.Index(
            f"ix_reviews_decided{of}",
            *columns,
            *("decided_at", "kind", "action", "reviewer", "caller"),
            sqlite_where=IS_DECIDED,
            postgresql_where=IS_DECIDED,
        )
        for of, columns in (("", ()), ("_of_domain", ("domain",)))
    ),
    sa.Index(None, "picture", "domain", "caller"),
)

review_steps = sa.Table(
    "review_steps",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("result_id", sa.String(40), nullable=False),
    sa.Column("reviewer", sa.String(64), nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("label", sa.String(100)),
    sa.Column("note", sa.Text),
    sa.Column("before", sa.JSON),
    sa.Column("at", UtcTime, nullable=False),
    sa.Index(None, "result_id"),
)

IS_SET_ASIDE = sa.text("set_aside IS NOT NULL")
"""In exactly this form, or the index is not used."""

examples = sa.Table(
    "examples",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("domain", sa.String(64), nullable=False),
    sa.Column("label", sa.String(100), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("picture", sa.String(64)),
    sa.Column("embedding", sa.LargeBinary, nullable=False),
    sa.Column("embedded_by", sa.String(64), nullable=False),
    sa.Column("source", sa.String(16), nullable=False),
    sa.Column("result_id", sa.String(40)),
    sa.Column("caller", sa.String(64), nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("set_aside", sa.Text),
    sa.Column("asked_by", sa.String(64)),
    sa.Index(None, "domain", "sha256", unique=True),
    sa.Index(None, "domain", "label", "id"),
    sa.Index(
        "ix_examples_aside",
        "domain",
        sqlite_where=IS_SET_ASIDE,
        postgresql_where=IS_SET_ASIDE,
    ),
    sa.Index(None, "picture"),
    sa.Index(None, "result_id"),
)

lessons = sa.Table(
    "lessons",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("domain", sa.String(64), nullable=False),
    sa.Column("cause", sa.String(16), nullable=False),
    sa.Column("examples", sa.Integer, nullable=False),
    sa.Column("score", sa.Double),
    sa.Column("head", sa.Text, nullable=False),
    sa.Column("report", sa.Text, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("withdrawn_at", UtcTime),
    sa.Column("reason", sa.Text),
    sa.Index(None, "domain", "id", "withdrawn_at"),
)

boards = sa.Table(
    "boards",
    metadata,
    sa.Column("process", sa.String(40), primary_key=True),
    sa.Column("told", sa.Text, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
)

turns = sa.Table(
    "turns",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("process", sa.String(40), nullable=False),
    sa.Column("at", UtcTime, nullable=False),
)

installation = sa.Table(
    "installation",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

domains = sa.Table(
    "domains",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("definition", sa.Text, nullable=False),
    sa.Column("updated_at", UtcTime, nullable=False),
)

answers = sa.Table(
    "answers",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("answer", sa.Text, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("picture", sa.String(64)),
    sa.Index(None, "created_at"),
    sa.Index(None, "picture"),
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("caller", sa.String(64), primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("result_id", sa.String(40), nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Index(None, "created_at"),
    sa.Index(None, "result_id"),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("subject", sa.String(100), nullable=False),
    sa.Column("change", sa.Text),
    sa.Column("request_id", sa.String(128)),
    *(sa.Index(f"ix_audit_{each}", each, "id") for each in ("actor", "action", "subject")),
)

erasures = sa.Table(
    "erasures",
    metadata,
    sa.Column("caller", sa.String(64), primary_key=True),
    sa.Column("asked_at", UtcTime, nullable=False),
    sa.Column("actor", sa.String(64), nullable=False),
    sa.Column("request_id", sa.String(128)),
    sa.Column("counts", sa.JSON, nullable=False),
    sa.Column("ended_at", UtcTime),
)
