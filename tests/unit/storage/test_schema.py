"""Migrations and tables say the same; moments and money come back as they went."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

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
    urls = {"memory": "sqlite://", "file": f"sqlite:///{tmp_path}/a.db"}
    if request.param == "postgres":
        postgres = request.getfixturevalue("postgres")
        urls["postgres"] = postgres.url(postgres.new_database())
    database = Database(urls[request.param])
    yield database
    await database.close()


async def test_the_migrations_make_the_tables(database):
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
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0015")
        connection.execute(sa.insert(tables.answers), row)

    await database.write(before)
    await migrate(database)

    def pictures(connection: sa.Connection) -> list[str]:
        return list(connection.execute(sa.select(tables.answers.c.picture)).scalars())

    assert await database.read(pictures) == ["abc"]
