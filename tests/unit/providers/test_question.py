"""What a question costs beside its picture, and in what form it is put."""

import pytest

from app.domains import Domain
from app.providers.question import ChatQuestion
from tests.o200k import MANY, completion, prompt, shipped, tokens

MOST_PROMPT, MOST_COMPLETION = 140, 12


@pytest.mark.parametrize("stated", [False, True])
@pytest.mark.parametrize("domain", shipped(), ids=lambda each: each.name)
def test_shipped_domains_are_asked_about_with_few_tokens(domain, stated):
    """Schema and frame included. Words that tests/o200k.json does not know count too many: then
    `python -m tests.o200k` has to learn them."""
    assert prompt(domain, stated=stated) <= MOST_PROMPT
    assert completion(domain, stated=stated) <= MOST_COMPLETION


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Decide which object is the main subject of the image.\nA car\nB bicycle\n", 18),
        ('{"label":"A","confidence":97}', 9),
        ("Answer with its code and your confidence in percent.", 10),
        ('["001","002"]', 5),
    ],
)
def test_tokens_are_counted_as_by_the_tokenizer(text, count):
    """As js-tiktoken 1.0.21 counts them with o200k_base."""
    assert tokens(text) == count


def test_five_hundred_classes_take_less_than_eight_tokens_each():
    assert prompt(MANY, stated=False) < 8 * len(MANY.labels)


def test_some_classes_are_offered_in_the_order_that_is_told():
    """With codes from the first one on; the last place is "none of these"."""
    domain = Domain(name="pets", classes=("cat", "dog", "bird"), allow_none=True)
    question = ChatQuestion(domain, stated=False, order=(3, 1))

    assert question.labels == {"A": None, "B": "dog"}
    assert "A none of these\nB dog\n" in question.system
    assert not question.offers_all
