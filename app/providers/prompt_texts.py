"""Tokens of the text of a domain's prompts: bounded beforehand, known after the first answer."""

import json
from dataclasses import dataclass

from app.domains import Domain
from app.providers.chat_quote import PER_ANSWER, PER_MESSAGE
from app.providers.question import ChatQuestion
from app.remembered import Remembered

MAX_KEPT = 1_000
"""Texts; a domain has one for each form of the answer, and new ones after each change."""

MESSAGES = 2
"""The system message and the picture's."""

ELSEWHERE = 4
"""Additional tokens that the same classes may take in another order: the first and the last may
merge differently with the text around them."""


@dataclass(slots=True)
class PromptText:
    """The same for all pictures.

    Attributes:
        characters: of all text that the model reads, including the schema of the answer.
        most_tokens: an upper limit of its tokens: at first its bytes, since no token is less than a
            byte; then what a prompt was billed apart from its picture, plus a margin for the order
            of the classes.
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
        """Learn that this many tokens were billed."""
        if tokens > self._billed:
            self._billed = tokens
            self.most_tokens = tokens + ELSEWHERE


class PromptTexts:
    """The prompt texts of one deployment."""

    def __init__(self) -> None:
        self._known = Remembered[tuple[str, str, bool], PromptText](MAX_KEPT)

    def of(self, domain: Domain, *, stated: bool) -> PromptText:
        return self._known.of(
            (domain.name, domain.version, stated),
            lambda: PromptText.of(ChatQuestion(domain, stated=stated)),
        )
