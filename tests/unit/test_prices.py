"""What tokens cost: by model, by type of deployment, as it was agreed."""

from decimal import Decimal

import pytest
from pydantic import ValidationError

from app.budget import Budget
from app.errors import ConfigurationError
from app.prices import GLOBAL_STANDARD, AgreedPrice, Price, Tariff
from app.providers.profiles import ModelTable
from app.settings import Settings
from app.traffic.budgets import check_budgets
from app.usage import TokenUsage
from app.yaml_file import config_dir

CALL = TokenUsage(1_000, 10, {"cached": 400})


@pytest.fixture(scope="module")
def models():
    return ModelTable.read(config_dir() / "models.yaml")


@pytest.mark.parametrize(
    ("kind", "times"),
    [("global_standard", 1), ("data_zone", "1.1"), ("standard", "1.1"), ("batch", "0.5")],
)
def test_a_type_of_deployment_multiplies(models, kind, times):
    """gpt-4o: 600 fresh, 400 cached, 10 of the answer are 0.0021 USD."""
    price = models.price("gpt-4o-2024-11-20", Tariff(kind))

    assert price.of(CALL) == Decimal("0.0021") * Decimal(times)


def test_a_family_may_have_factors_of_its_own(models):
    """20 % more in a data zone; no price for Global Batch."""
    there = models.price("gpt-6-sol", Tariff("data_zone"))

    assert (there.input, there.output) == (Decimal("2.4"), Decimal(12))
    assert models.price("gpt-6-sol", Tariff("batch")) is None


def test_what_was_agreed_wins(models):
    agreed = AgreedPrice(input=Decimal(2), output=Decimal(8))
    price = models.price("gpt-4o", Tariff("data_zone", agreed))

    assert price.of(CALL) == Decimal("1000e-6") * 2 + Decimal("10e-6") * 8


def test_provisioned_throughput_is_spread_over_its_tokens(models):
    """30 USD an hour for 50,000 prompt tokens a minute: 10 USD a million; what is cached takes
    nothing, and a token of the answer as much as four of the prompt."""
    assert models.price("gpt-4o", Tariff("provisioned")) is None
    agreed = AgreedPrice(usd_per_hour=Decimal(30), tokens_per_minute=50_000)
    price = models.price("gpt-4o", Tariff("provisioned", agreed))

    assert price.of(CALL) == Decimal("600e-6") * 10 + Decimal("10e-6") * 40


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"input": 1},
        {"usd_per_hour": 1},
        {"input": 1, "output": 1, "usd_per_hour": 1, "tokens_per_minute": 1},
        {"input": -1, "output": 1},
    ],
    ids=str,
)
def test_half_a_price_is_none(wrong):
    with pytest.raises(ValidationError):
        AgreedPrice(**wrong)


def test_another_price_has_another_version(models):
    four = models.price("gpt-4o", GLOBAL_STANDARD)
    same = Price(input=Decimal("2.50"), cached=Decimal("1.25"), output=Decimal("10.0"))
    other = four.model_copy(update={"output": Decimal(11)})

    assert four.version == same.version != other.version


def test_an_unknown_model_may_be_the_dearest(models):
    assert models.price("no-such-model", GLOBAL_STANDARD) is None
    assert models.dearest(GLOBAL_STANDARD).output == 50


def test_the_settings_have_types_and_prices_by_deployment(models):
    settings = Settings(
        azure_openai={"endpoint": "https://x", "api_key": "k", "deployment": "unused"},
        deployments=[
            {"name": "west", "model": "gpt-4o", "type": "data_zone"},
            {"name": "ptu", "price": {"usd_per_hour": 30, "tokens_per_minute": 50_000}},
        ],
    )
    west, ptu = settings.azure_deployments

    assert models.price("gpt-4o", west.tariff).output == 11
    assert models.price("gpt-4o", ptu.tariff).output == 40


def test_at_most_all_of_a_prompt_fills_the_cache(models):
    """gpt-5.6-sol charges 5 USD for what it writes there, 4 for what it reads."""
    price = models.price("gpt-5.6-sol", GLOBAL_STANDARD)

    assert price.most(1_000, 10).cost_usd == Decimal("1000e-6") * 5 + Decimal("10e-6") * 20
    assert models.dearest(GLOBAL_STANDARD).input == Decimal("12.5")


class TestAtTheStart:
    BUDGET = Budget(name="all", amount_usd=Decimal(5))

    def settings(self, **options) -> Settings:
        azure = {"endpoint": "https://x", "api_key": "k", "deployment": "eyes"}
        return Settings(azure_openai={**azure, **options}, budgets=(self.BUDGET,))

    def test_a_budget_needs_a_price(self, models):
        with pytest.raises(ConfigurationError, match=r"budget all .* price of o4-mini"):
            check_budgets(self.settings(model="o4-mini"), models)

    def test_one_that_was_agreed_will_do(self, models):
        check_budgets(self.settings(model="o4-mini", price={"input": 1, "output": 4}), models)

    def test_a_model_that_is_found_out_is_waited_for(self, models):
        check_budgets(self.settings(), models)
