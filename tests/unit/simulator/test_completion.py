"""The tokens of an answer."""

import math

import pytest

from app.simulator.asked import Field
from app.simulator.completion import IMPOSSIBLE, STYLES, Said, choice, written

FORM = (
    Field("label", "string", ("A", "B")),
    Field("confidence", "integer"),
    Field("why", "string"),
)
SAID = Said("B", {"A": 0.2, "B": 0.8})


@pytest.mark.parametrize(
    ("style", "texts"),
    [
        ("plain", ['{"', "label", '":"', "B", '","', "confidence", '":', "80", ',"', "why"]),
        ("split", ["{", '"', "label", '"', ":", '"', "B", '"', ",", '"', "confidence"]),
        ("open", ['{"', "label", '":', '"B', '","', "confidence"]),
        ("closed", ['{"', "label", '":"', 'B"', ',"', "confidence"]),
    ],
)
def test_quotes_are_cut_as_ordered(style, texts):
    tokens = [token.text for token in written(SAID, FORM, style)]

    assert tokens[: len(texts)] == texts
    assert "".join(tokens) == '{"label":"B","confidence":80,"why":"as it looks"}'


@pytest.mark.parametrize("style", STYLES)
def test_the_choice_carries_the_distribution(style):
    """The most probable first, with the quotes that belong to its token."""
    tokens = written(SAID, FORM, style)

    chosen = next(token for token in tokens if token.alternatives)
    assert [p for _, p in chosen.alternatives] == [0.8, 0.2]
    assert chosen.alternatives[0][0] == chosen.text
    assert chosen.alternatives[1][0] == chosen.text.replace("B", "A")


def test_fewer_logprobs_than_asked_for():
    """The least probable go; the token's own logprob stays."""
    said = Said("C", {"A": 0.5, "B": 0.3, "C": 0.2, "D": 0.0})

    [token] = choice(0, written(said, None, "plain"), top_logprobs=2)["logprobs"]["content"]

    assert token["token"] == "C"
    assert token["logprob"] == pytest.approx(math.log(0.2))
    assert [each["token"] for each in token["top_logprobs"]] == ["A", "B"]
    [token] = choice(0, written(said, None, "plain"), top_logprobs=9)["logprobs"]["content"]
    assert token["top_logprobs"][-1] == {"bytes": [68], "logprob": IMPOSSIBLE, "token": "D"}
