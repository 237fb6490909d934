"""The table of model families: tokens of a picture, prices, and which row a model belongs to."""

from decimal import Decimal

import pytest

from app.prices import GLOBAL_STANDARD
from app.providers.profiles import ModelTable
from app.usage import TokenUsage
from app.yaml_file import config_dir


@pytest.fixture
def models():
    return ModelTable.read(config_dir() / "models.yaml")


@pytest.mark.parametrize(
    ("model", "size", "detail", "tokens"),
    [
        # Worked examples of OpenAI's guide "Images and vision", and its formulas by hand.
        ("gpt-4o", (512, 512), "low", 85),
        ("gpt-4o", (512, 512), "high", 255),
        ("gpt-4o", (1024, 1024), "high", 765),
        ("gpt-4o", (2048, 1536), "high", 765),
        ("gpt-4o", (2048, 4096), "high", 1105),
        ("gpt-4.1", (4096, 8192), "low", 85),
        ("gpt-4o-mini", (512, 512), "low", 2833),
        ("gpt-4o-mini", (512, 512), "high", 8500),
        ("gpt-4o-mini", (1024, 1024), "auto", 25501),
        ("gpt-5", (1024, 1024), "high", 630),
        ("gpt-5.1", (512, 512), "low", 70),
        ("gpt-4.1-mini", (512, 512), "low", 415),
        ("gpt-4.1-mini", (1024, 1024), "high", 1659),
        ("gpt-4.1-mini", (2048, 1536), "high", 4977),
        ("gpt-4.1-nano", (512, 512), "low", 630),
        ("gpt-4.1-nano", (1024, 1024), "low", 2520),
        ("gpt-4.1-nano", (2048, 1536), "low", 3572),
        ("gpt-5-mini", (1024, 1024), "high", 1229),
        ("gpt-5-mini", (2048, 1536), "high", 1743),
        ("gpt-5-nano", (2048, 1536), "high", 2178),
        ("gpt-5.2", (2048, 1536), "high", 3687),
        ("gpt-5.4", (512, 512), "high", 308),
        ("gpt-5.4", (2048, 1536), "low", 3687),
        ("gpt-5.4", (2048, 1536), "high", 2942),
        ("gpt-5.5", (1024, 1024), "low", 308),
        ("gpt-5.6-luna", (2048, 1536), "low", 231),
        ("gpt-5.6-luna", (2048, 1536), "auto", 3687),
    ],
)
def test_the_tokens_of_a_picture(models, model, size, detail, tokens):
    """By the published formula, to within the rounding of its multiplier."""
    assert models.family(model).image_tokens(*size, detail) == pytest.approx(tokens, abs=1)


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4o-2024-11-20", "gpt-4o"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-5.1-2025-11-13", "gpt-5.1"),
        ("gpt-5-2025-08-07", "gpt-5"),
        ("gpt-50", "unknown"),
        ("acme", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_model_belongs_to_the_longest_name(models, model, family):
    """`gpt-5.1` is no `gpt-5`."""
    assert models.family(model).name == family


def test_a_price_is_exact_and_cached_tokens_cost_less(models):
    """600 fresh and 400 cached prompt tokens, 10 of completion, with gpt-4o."""
    cost = models.price("gpt-4o", GLOBAL_STANDARD).of(TokenUsage(1000, 10, {"cached": 400}))

    assert (
        cost
        == Decimal("0.0021")
        == Decimal("600e-6") * Decimal("2.5")
        + Decimal("400e-6") * Decimal("1.25")
        + Decimal("10e-6") * 10
    )


@pytest.mark.parametrize(("model", "dollars"), [("gpt-5.6-sol", "0.0046"), ("gpt-4o", "0.0026")])
def test_filling_the_prompt_cache_costs_what_the_family_says(models, model, dollars):
    """600 fresh, 400 written to the cache, 10 of completion: gpt-5.6 charges 1.25 times the input's
    price for writing, gpt-4o nothing more."""
    cost = models.price(model, GLOBAL_STANDARD).of(TokenUsage(1000, 10, {"cache_write": 400}))

    assert cost == Decimal(dollars)


def test_an_unknown_price_is_none(models):
    """Null in the result, never a silent 0."""
    assert models.price("no-such-model", GLOBAL_STANDARD) is None
