"""Migrations and tables say the same; moments and money come back as they went."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import uuid4

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import example, given
from hypothesis import strategies as st

from app.storage import Database, migrate, tables
from app.storage.migrate import HEAD, MIGRATIONS


@pytest.fixture(params=["memory", "file", "postgres"])
async def database(request, tmp_path):
    database = Database(new_url(request, tmp_path))
    yield database
    await database.close()


@pytest.fixture
async def migrated(request, database, tmp_path):
    """Another one of the same kind, by all migrations one after the other."""
    kind = request.node.callspec.params["database"]
    database = Database(new_url(request, tmp_path, kind))
    await database.write(lambda connection: upgrade(connection, "head"))
    yield database
    await database.close()


def new_url(request, tmp_path, kind: str | None = None) -> str:
    kind = kind or request.param
    if kind == "postgres":
        postgres = request.getfixturevalue("postgres")
        return postgres.url(postgres.new_database())
    return "sqlite://" if kind == "memory" else f"sqlite:///{tmp_path}/{uuid4()}.db"


def upgrade(connection: sa.Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


async def test_an_empty_database_gets_what_all_migrations_make(database, migrated):
    """Columns, keys, indexes and their conditions, counters, and the revision."""
    await migrate(database)

    made, by_migrations = await database.read(described), await migrated.read(described)

    assert made == by_migrations
    assert made["results"]["columns"]
    assert made["alembic_version"]["rows"] == [(HEAD,)]


def described(connection: sa.Connection) -> dict[str, dict]:
    inspector = sa.inspect(connection)
    found = {}
    for table in inspector.get_table_names():
        columns = inspector.get_columns(table)
        found[table] = {
            "columns": {
                each["name"]: (
                    str(each["type"]),
                    each["nullable"],
                    str(each["default"]).replace("'", ""),
                    each.get("identity"),
                )
                for each in columns
            },
            "key": inspector.get_pk_constraint(table),
            "indexes": set(),
            "options": set(),
            "rows": [tuple(row) for row in connection.execute(sa.text(f'SELECT * FROM "{table}"'))],
        }
    if connection.dialect.name == "postgresql":
        texts = connection.execute(
            sa.text(
                "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = current_schema()"
            )
        )
        for table, text in texts:
            found[table]["indexes"].add(text)
        return found
    texts = connection.execute(sa.text("SELECT type, tbl_name, sql FROM sqlite_master"))
    for kind, table, text in texts:
        if kind == "index" and text:
            found[table]["indexes"].add(" ".join(text.replace('"', "").split()))
        elif kind == "table" and table in found:
            options = ("AUTOINCREMENT", "WITHOUT ROWID")
            found[table]["options"] |= {each for each in options if each in text.upper()}
    return found


async def test_the_tables_are_as_they_are_declared(database):
    """Alembic finds nothing to add, to change or to remove; migrating again changes nothing."""
    await migrate(database)
    await migrate(database)

    def differences(connection: sa.Connection) -> list:
        context = MigrationContext.configure(connection, opts={"compare_type": _compare_type})
        return compare_metadata(context, tables.metadata)

    assert await database.read(differences) == []


def _compare_type(context, inspected, column, found, wanted) -> bool:
    """By the SQL they come to: UtcTime is kept as BIGINT."""
    dialect = context.dialect
    return found.compile(dialect) != wanted.compile(dialect)


async def test_indexes_are_those_of_the_tables(database):
    await migrate(database)

    def names(connection: sa.Connection) -> set[str]:
        inspector = sa.inspect(connection)
        return {
            index["name"]
            for table in tables.metadata.tables
            for index in inspector.get_indexes(table)
        }

    assert await database.read(names) == {
        index.name for table in tables.metadata.tables.values() for index in table.indexes
    }


def test_the_head_is_alembics_head():
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))

    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def round_trip(kind, value):
    dialect = sa.dialects.sqlite.dialect()
    return kind.process_result_value(kind.process_bind_param(value, dialect), dialect)


zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(moment=st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=zones))
@example(moment=datetime(1970, 1, 1, tzinfo=UTC))
@example(moment=datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
def test_a_moment_comes_back_to_the_microsecond(moment):
    """In UTC, also before 1970."""
    back = round_trip(tables.UtcTime(), moment)

    assert back == moment
    assert back.utcoffset() == timedelta(0)


@given(first=st.datetimes(timezones=st.just(UTC)), second=st.datetimes(timezones=st.just(UTC)))
def test_moments_sort_as_they_are_kept(first, second):
    kind, dialect = tables.UtcTime(), sa.dialects.sqlite.dialect()
    kept = [kind.process_bind_param(each, dialect) for each in (first, second)]

    assert (first < second) == (kept[0] < kept[1])


@given(amount=st.decimals(Decimal(0), Decimal(1_000_000), places=12))
def test_money_comes_back_exactly(amount):
    assert round_trip(tables.Usd(), amount) == amount


def test_nothing_comes_back_as_nothing():
    assert round_trip(tables.UtcTime(), None) is None
    assert round_trip(tables.Usd(), None) is None


async def test_kept_answers_of_before_know_their_pictures(database):
    """Or what is erased would be answered from them."""
    row = {"key": "k", "answer": '{"image": {"sha256": "abc"}}', "created_at": datetime.now(UTC)}

    def before(connection: sa.Connection) -> None:
        upgrade(connection, "0015")
        connection.execute(sa.insert(tables.answers), row)

    await database.write(before)
    await migrate(database)

    def pictures(connection: sa.Connection) -> list[str]:
        return list(connection.execute(sa.select(tables.answers.c.picture)).scalars())

    assert await database.read(pictures) == ["abc"]
