"""What the text of a domain's prompts takes: bounded beforehand, known after the first answer."""

import json
from dataclasses import dataclass

from app.domains import Domain
from app.providers.chat_quote import PER_ANSWER, PER_MESSAGE
from app.providers.question import ChatQuestion
from app.remembered import Remembered

MAX_KEPT = 1_000
"""Texts; a domain has one for each form of the answer, and another one after each change."""

MESSAGES = 2
"""A system message, and the picture's."""

ELSEWHERE = 4
"""Tokens that the same classes may take more in another order: the first and the last one may grow
together with the text around them."""


@dataclass(slots=True)
class PromptText:
    """The same for all pictures.

    Attributes:
        characters: that the model reads, the schema of the answer too.
        most_tokens: that they take: no token is less than a byte. What a prompt was billed beside
            its picture says it but for the order of the classes.
    """

    characters: int
    most_tokens: int
    _billed: int = 0

    @classmethod
    def of(cls, question: ChatQuestion) -> "PromptText":
        schema = question.response_format["json_schema"]["schema"]
        text = question.system + json.dumps(schema, separators=(",", ":"), ensure_ascii=False)
        return cls(len(text), len(text.encode()) + MESSAGES * PER_MESSAGE + PER_ANSWER)

    def learn(self, tokens: int) -> None:
        """So many were billed."""
        if tokens > self._billed:
            self._billed = tokens
            self.most_tokens = tokens + ELSEWHERE


class PromptTexts:
    """Of one deployment."""

    def __init__(self) -> None:
        self._known = Remembered[tuple[str, str, bool], PromptText](MAX_KEPT)

    def of(self, domain: Domain, *, stated: bool) -> PromptText:
        return self._known.of(
            (domain.name, domain.version, stated),
            lambda: PromptText.of(ChatQuestion(domain, stated=stated)),
        )
