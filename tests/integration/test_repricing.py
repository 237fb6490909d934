"""Calls that were booked with a wrong price, or with none, get the one of now."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app.analytics import Repriced, Repricing
from app.identifiers import BATCH, new_id
from app.prices import AgreedPrice, Factor, Price
from app.providers.profiles import ModelFamily, ModelTable
from app.result import Usage
from app.settings_groups import AzureOpenAISettings, DeploymentSettings, OpenAISettings
from app.storage import RepricingRepository
from app.storage.tables import batches, ledger
from tests.conftest import ROOT
from tests.entries import NOON, book, entry, saved
from tests.integration.calls import store
from tests.shell import Shell

pytestmark = pytest.mark.each_database

SINCE = NOON - timedelta(days=1)
PRICE = Price(input=Decimal(5_000), output=Decimal(200_000))
"""A call of an entry costs 1 + 1 = 2 dollars."""
AGREED = AgreedPrice(input=Decimal(10_000), output=Decimal(200_000))
"""And 2 + 1 = 3 so."""


def factor(times: int) -> Factor:
    return Factor(factor=Decimal(times), as_of=NOON.date(), source="")


MODELS = ModelTable(
    [ModelFamily(name="gpt-4o", price=PRICE)],
    {"global_standard": factor(1), "data_zone": factor(10)},
)


@pytest.fixture
def repricing(parts) -> Repricing:
    return Repricing(RepricingRepository(parts.database), MODELS, parts.settings)


async def costs(parts) -> list[Decimal | None]:
    """Of entries, in order of time."""
    query = sa.select(ledger.c.cost_usd).order_by(ledger.c.id)
    return await parts.database.read(lambda each: list(each.execute(query).scalars()))


async def total(parts, by: str = "day") -> tuple:
    report = await parts.costs.report(by, since=SINCE)
    amounts = report.total_usd, report.estimated_usd, report.unpriced_calls
    assert sum(each.total_usd for each in report.groups) == report.total_usd
    return tuple(map(float, amounts))


async def add_batch(parts, cost_usd: str) -> str:
    batch_id = new_id(BATCH)
    row = {
        "id": batch_id,
        "caller": "shop",
        "domain": "flowers",
        "lane": "batch",
        "batch_size": 10,
        "shard_size": 10,
        "on_error": "continue",
        "status": "completed",
        "cost_usd": Decimal(cost_usd),
        "created_at": NOON,
    }
    await parts.database.write(lambda each: each.execute(sa.insert(batches).values(row)).rowcount)
    return batch_id


async def add_result(parts, cost_usd: str | None) -> str:
    cost = None if cost_usd is None else Decimal(cost_usd)
    times = {"created_at": NOON, "completed_at": NOON + timedelta(seconds=1)}
    usage = Usage(prompt_tokens=1, completion_tokens=1, cost_usd=cost)
    return await store(parts, usage=usage, **times)


async def cost_of(parts, result_id: str) -> Decimal | None:
    return (await parts.results.get(result_id, caller=None)).usage.cost_usd


@pytest.mark.parametrize("rolled", [True, False])
async def test_a_mistyped_price_is_put_right(parts, repricing, rolled):
    """In sums, too, whether they have the entry or get it later."""
    await book(
        parts.database,
        entry(cost="0.000002"),
        entry(cost="20", estimated=True),
        saved("kept", worth="1"),
        rolled=rolled,
    )

    planned = await repricing.reprice(SINCE, dry_run=True)
    untouched = await costs(parts)
    done = await repricing.reprice(SINCE)

    assert planned == done == Repriced(2, Decimal("-16.000002"))
    assert untouched == [Decimal("0.000002"), 20, 0]
    assert await costs(parts) == [2, 2, 0]
    for _ in range(2):
        for by in ("day", "hour"):
            assert await total(parts, by) == (4, 2, 0)
        await book(parts.database)


@pytest.mark.parametrize("rolled", [True, False])
async def test_a_price_becomes_known(parts, repricing, rolled):
    await book(parts.database, entry(cost=None), entry(cost=None, model="none"), rolled=rolled)
    before = await total(parts)

    done = await repricing.reprice(SINCE)

    assert done == Repriced(1, Decimal(2))
    assert (before, await total(parts), await total(parts, "batch")) == (
        (0, 0, 2),
        (2, 0, 1),
        (2, 0, 1),
    )


async def test_once_is_enough(parts, repricing):
    await book(parts.database, entry(cost=None), entry(cost="7"))
    await repricing.reprice(SINCE)

    assert await repricing.reprice(SINCE) == Repriced(0, Decimal(0))
    assert await total(parts) == (4, 0, 0)


async def test_what_was_before_stays(parts, repricing):
    await book(parts.database, entry(SINCE - timedelta(milliseconds=1), "7"), entry(SINCE, "7"))

    assert (await repricing.reprice(SINCE)).entries == 1
    assert await costs(parts) == [7, 2]


async def test_a_price_that_is_not_known_now_leaves_what_was(parts, repricing):
    """The model is no more in the table, or the deployment's own price no more in the settings."""
    await book(parts.database, entry(cost="7", model="old"), entry(cost="8", tariff="provisioned"))

    assert (await repricing.reprice(SINCE)).entries == 0
    assert await costs(parts) == [7, 8]


async def test_the_type_of_the_deployment_counts(parts, repricing):
    await book(parts.database, entry(cost="7", tariff="data_zone"))
    await repricing.reprice(SINCE)

    assert await costs(parts) == [20]


async def test_what_was_agreed_for_a_deployment_wins(parts):
    settings = parts.settings.model_copy(
        update={
            "azure_openai": AzureOpenAISettings(),
            "deployments": (
                DeploymentSettings(name="eyes", price=AGREED),
                DeploymentSettings(name="east"),
            ),
            "openai": OpenAISettings(model="own", price=AgreedPrice(input=0, output=0)),
        }
    )
    repricing = Repricing(RepricingRepository(parts.database), MODELS, settings)
    own = {"provider": "openai_compatible", "deployment": "own", "model": "own-7b"}
    await book(
        parts.database,
        entry(NOON, "7", tariff="provisioned"),
        entry(NOON + timedelta(seconds=1), "7", deployment="east"),
        entry(NOON + timedelta(seconds=2), None, **own),
    )
    await repricing.reprice(SINCE)

    assert await costs(parts) == [3, 2, 0]


async def test_tokens_from_the_cache_cost_what_they_cost(parts):
    cached = PRICE.model_copy(update={"cached": Decimal(0)})
    models = ModelTable([ModelFamily(name="gpt-4o", price=cached)], {"global_standard": factor(1)})
    repricing = Repricing(RepricingRepository(parts.database), models, parts.settings)
    await book(parts.database, entry(cost="2", cached_tokens=100))
    await repricing.reprice(SINCE)

    assert await costs(parts) == [Decimal("1.5")]


async def test_results_and_batches_follow(parts, repricing):
    """But for what no result was stored with: it never was in the costs of the batch."""
    batch_id = await add_batch(parts, "19")
    one, two = await add_result(parts, "3"), await add_result(parts, "7")
    within = {"batch_id": batch_id}
    await book(
        parts.database,
        entry(cost="1", result_id=one, outcome="timeout", answers=0, **within),
        entry(cost="2", result_id=one, **within),
        entry(cost="7", result_id=two, **within),
        entry(cost="9", outcome="interrupted", **within),
    )

    await repricing.reprice(SINCE)

    assert [await cost_of(parts, each) for each in (one, two)] == [4, 2]
    assert (await parts.batches.get(batch_id)).cost_usd == 8
    assert await total(parts, "batch") == (8, 0, 0)


async def test_a_result_costs_nobody_knows_what_while_one_of_its_calls_does(parts, repricing):
    """Also where they are on two pages."""
    known, unknown, other = [await add_result(parts, None) for _ in range(3)]
    batch_id = await add_batch(parts, "2")
    await book(
        parts.database,
        entry(NOON, None, result_id=known, batch_id=batch_id),
        entry(NOON, "2", result_id=known, batch_id=batch_id),
        entry(NOON, None, result_id=unknown),
        entry(NOON, None, result_id=unknown, model="none"),
        entry(NOON, None, result_id=other),
        *(entry(NOON + timedelta(seconds=1), "7") for _ in range(500)),
        entry(NOON + timedelta(seconds=2), None, result_id=other),
    )

    await repricing.reprice(SINCE)

    assert [await cost_of(parts, each) for each in (known, unknown, other)] == [4, None, 4]
    assert (await parts.batches.get(batch_id)).cost_usd == 4


async def test_two_at_once_change_it_once(parts, repricing):
    await book(parts.database, *(entry(cost="7") for _ in range(20)))
    found = await asyncio.gather(*(repricing.reprice(SINCE) for _ in range(3)))

    assert sum(each.entries for each in found) == 20
    assert await total(parts) == (40, 0, 0)


class TestCommand:
    @pytest.fixture
    def shell(self, tmp_path, lasting_url):
        """With a price for a model that had none."""
        (tmp_path / "config").mkdir()
        for each in (ROOT / "config").glob("*.yaml"):
            text = each.read_text()
            if each.name == "models.yaml":
                text += "    price: {input: 5000, output: 200000}\n"
            (tmp_path / "config" / each.name).write_text(text)
        shell = Shell(tmp_path)
        shell.variables = {"DATABASE_URL": lasting_url, "CONFIG_DIR": str(tmp_path / "config")}
        return shell

    @pytest.fixture
    def settings(self, settings, lasting_url):
        return settings.model_copy(update={"database_url": lasting_url})

    async def test_reprices_by_the_table_as_it_is_now(self, shell, parts):
        await book(parts.database, entry(datetime.now(UTC), None, model="o4-mini"))

        def run(*options: str) -> str:
            since = ("ledger", "reprice", "--since", "2026-01-01")
            done = shell.run(*since, *options, **shell.variables)
            assert (done.returncode, done.stderr) == (0, "")
            return done.stdout

        assert run("--dry-run") == "would change 1 entries by +2.000000 USD\n"
        assert run() == "changed 1 entries by +2.000000 USD\n"
        assert json.loads(run("--json")) == {"dry_run": False, "entries": 0, "usd": 0}
        assert (await parts.costs.report("day")).total_usd == 2

    def test_needs_a_time(self, shell):
        done = shell.run("ledger", "reprice", **shell.variables)

        assert done.returncode == 2
        assert "--since" in done.stderr
