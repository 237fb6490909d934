"""The rule by which text is counted before it was billed."""

import pytest

from app.domains import Domain
from app.providers.chat_quote import quote, text_tokens
from app.providers.question import ChatQuestion

ENGLISH = """You are a botanist. Decide which flower is the main subject of the image.
A = dandelion
B = rose
C = sunflower
D = daisy
Answer with the code of the class that fits best."""
GERMAN = """Du bist Botaniker. Entscheide, welche Blume das Hauptmotiv des Bildes ist.
A = Löwenzahn: gelbe Korbblüte mit gezähnten Blättern
B = Rose: gefüllte Blüte mit Stacheln am Stängel
C = Sonnenblume
D = Gänseblümchen
Antworte mit dem Code der Klasse, die am besten passt."""
CHINESE = """你是植物学家。判断图片的主体是哪种花。
A = 蒲公英
B = 玫瑰
C = 向日葵
D = 雏菊
用最合适的类别代码回答。"""


@pytest.mark.parametrize(
    ("text", "o200k"),
    [(ENGLISH, 47), (GERMAN, 87), (CHINESE, 53), ('{"label":"A"}', 5), ("", 0)],
)
def test_it_is_near_what_the_tokenizer_counts(text, o200k):
    """`o200k`: as gpt-tokenizer 4 counted it with o200k_base."""
    assert text_tokens(text) == pytest.approx(o200k, rel=0.1)


@pytest.mark.parametrize(
    ("asked", "stated", "calls"),
    [
        ({}, False, (1, 1)),
        ({"orders": 2}, False, (2, 2)),
        ({"orders": 2, "votes": 5}, False, (2, 2)),
        ({"votes": 5}, True, (3, 5)),
        ({"votes": 4, "orders": 2}, True, (3, 4)),
        ({"votes": 1, "orders": 2}, True, (2, 2)),
        ({"votes": 5, "confidence_threshold": 0.9}, True, (4, 5)),
        ({"votes": 5, "confidence_threshold": 0.95}, True, (3, 5)),
    ],
)
def test_it_tells_how_many_calls_a_picture_takes(asked, stated, calls):
    """Votes: when all agree, and at most; who tells probabilities is not asked to vote."""
    domain = Domain(name="pets", classes=("cat", "dog"), **asked)
    told = quote(ChatQuestion(domain, stated=stated), thinks=False)

    assert (told.calls, told.most_calls) == calls
