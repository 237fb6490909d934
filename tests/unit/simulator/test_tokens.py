"""The count of tokens, against examples that others published."""

import pytest

from app.simulator.models import NAMES, find_model
from app.simulator.tokens import PER_ANSWER, PER_MESSAGE, Fit, Patches, billed, estimated


@pytest.mark.parametrize(
    ("model", "size", "detail", "tokens"),
    [
        # OpenAI's guide "Images and vision", its own worked examples.
        ("gpt-4o", (1024, 1024), "high", 765),
        ("gpt-4o", (2048, 4096), "high", 1105),
        ("gpt-4o", (4096, 8192), "low", 85),
        # The same formulas, worked out by hand for the sizes that are used most.
        ("gpt-4o", (512, 512), "low", 85),
        ("gpt-4o", (512, 512), "high", 255),
        ("gpt-4o", (512, 512), "auto", 255),
        ("gpt-4.1", (2048, 1536), "high", 765),
        ("gpt-4o-mini", (512, 512), "low", 2833),
        ("gpt-4o-mini", (512, 512), "high", 8500),
        ("gpt-4o-mini", (2048, 1536), "high", 25501),
        ("gpt-5", (512, 512), "low", 70),
        ("gpt-5", (512, 512), "high", 210),
        ("gpt-5.1", (1024, 1024), "high", 630),
        ("gpt-4.1-mini", (512, 512), "low", 415),
        ("gpt-4.1-mini", (1024, 1024), "high", 1659),
        ("gpt-4.1-mini", (2048, 1536), "high", 4977),
        ("gpt-4.1-nano", (512, 512), "high", 630),
        ("gpt-4.1-nano", (1024, 1024), "high", 2520),
        ("gpt-4.1-nano", (2048, 1536), "low", 3572),
        ("gpt-5.2", (2048, 1536), "high", 3687),
        ("gpt-5.4", (2048, 1536), "low", 3687),
        ("gpt-5.4", (2048, 1536), "high", 2942),
        ("gpt-5.4-mini", (512, 512), "low", 308),
        ("gpt-5.5", (1024, 1024), "low", 308),
        ("gpt-5.5", (2048, 1536), "low", 231),
        ("gpt-5.5", (2048, 1536), "high", 2942),
        ("gpt-5.5", (2048, 1536), "original", 3687),
        ("gpt-5.6-luna", (2048, 1536), "auto", 3687),
        ("gpt-5-mini", (1024, 1024), "high", 1229),
        ("gpt-5-mini", (2048, 1536), "high", 1743),
        ("gpt-5-nano", (2048, 1536), "high", 2178),
    ],
)
def test_what_a_picture_takes(model, size, detail, tokens):
    assert find_model(model).image.tokens(*size, detail) == tokens


@pytest.mark.parametrize(
    ("size", "patches"), [((1024, 1024), 1024), ((1800, 2400), 1452), ((32, 32), 1)]
)
def test_patches_within_a_budget(size, patches):
    """The guide's examples for models of 1,536 patches."""
    small = Fit(65_535, 1536)

    assert Patches(100, small, small).tokens(*size, "high") == patches


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (20_000, 3), (8000, 8000)])
@pytest.mark.parametrize("detail", ["low", "high", "auto", "original"])
def test_every_model_counts_every_size(name, size, detail):
    """Thin, tiny and huge pictures, too, take at least one token."""
    assert find_model(name).image.tokens(*size, detail) >= 1


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("You miss 100% of the shots you don't take", 11),  # OpenAI's help, "What are tokens"
        ("Hello, how are you?", 6),
        ("What happens in a performance review?", 7),
        ("You are a bot.", 5),
        (
            "Assistant helps the company employees with their healthcare plan questions, and "
            "questions about the employee handbook. Be brief in your answers.",
            24,
        ),
        (
            "You are a helpful, pattern-following assistant that translates corporate jargon into "
            "plain English.",
            17,
        ),
    ],
)
def test_what_text_takes(text, tokens):
    """As GPT-4o counts it; on arrival, by its length, a fifth less to two thirds more."""
    assert billed(text) == tokens
    assert 0.8 * tokens <= estimated(len(text)) <= 1.67 * tokens


def test_each_line_end_is_billed():
    """As o200k_base counts it, by gpt-tokenizer 4."""
    assert billed("A = car\nB = bus\nC = boat") == 11


def test_what_frames_a_message():
    """Azure billed a prompt of "Hello, how are you?" alone 13 tokens with GPT-4o."""
    assert billed("Hello, how are you?") + PER_MESSAGE + PER_ANSWER == 13
