"""What a chat model is asked, and the form its answer must have."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from app.domains import Domain
from app.errors import ProviderAnswerInvalid
from app.images import PreparedImage
from app.providers.base import Example
from app.providers.codes import codes
from app.result import NONE

PROMPT_VERSION = 2
"""Increased with every change of the question beyond the domain's own words: an answer to one
version does not stand in for an answer to another."""

FIELD = "label"
NONE_OF_THESE = "none of these"


class _Answer(BaseModel):
    label: str
    confidence: int | None = Field(None, ge=0, le=100)


@dataclass(frozen=True)
class ChatQuestion:
    """One domain's question, with its classes in the order in which they are offered.

    Attributes:
        stated: also ask how sure the model is, where its tokens do not show it.
        order: positions of the classes, all or some of them; the position after the last class
            stands for "none of these".
    """

    domain: Domain
    stated: bool
    order: Sequence[int] | None = None

    @cached_property
    def labels(self) -> dict[str, str | None]:
        """From code to label, None for "none of these"."""
        offered = self.domain.offered
        if self.order is not None:
            offered = tuple(offered[position] for position in self.order)
        return dict(zip(codes(len(offered)), offered, strict=True))

    @cached_property
    def system(self) -> str:
        described = {each.label: each.description for each in self.domain.classes}
        table = "\n".join(
            f"{code} {label or NONE_OF_THESE}"
            + (f": {described[label]}" if label and described[label] else "")
            for code, label in self.labels.items()
        )
        wanted = "Answer with its code"
        if self.stated:
            wanted += " and your confidence in percent"
        return f"{self.domain.prompt_template.replace('{classes}', table).strip()}\n{wanted}."

    @property
    def offers_all(self) -> bool:
        return len(self.labels) == self.domain.choices

    @property
    def is_sample(self) -> bool:
        """Whether this is one of several votes: these should differ where the model is not sure."""
        return self.stated and self.domain.votes > 1

    @property
    def response_format(self) -> dict[str, Any]:
        properties: dict[str, Any] = {FIELD: {"type": "string", "enum": list(self.labels)}}
        if self.stated:
            properties["confidence"] = {"type": "integer"}
        return {
            "type": "json_schema",
            "json_schema": {
                "name": "answer",
                "strict": True,
                "schema": {
                    "type": "object",
                    "properties": properties,
                    "required": list(properties),
                    "additionalProperties": False,
                },
            },
        }

    def messages(
        self, image: PreparedImage, examples: Sequence[Example] = ()
    ) -> list[dict[str, Any]]:
        """Takes CPU time when a picture's JPEG has to be encoded."""
        messages: list[dict[str, Any]] = [{"role": "system", "content": self.system}]
        code_of = {label: code for code, label in self.labels.items()}
        for example in examples:
            label = None if example.label == NONE else example.label
            if label not in code_of:
                continue
            messages.append(self._picture(example.image))
            messages.append({"role": "assistant", "content": self.answer(code_of[label])})
        return [*messages, self._picture(image)]

    def answer(self, code: str) -> str:
        """The answer to show with an example, in the form asked for."""
        shown: dict[str, Any] = {FIELD: code}
        if self.stated:
            shown["confidence"] = 100
        return json.dumps(shown)

    def _picture(self, image: PreparedImage) -> dict[str, Any]:
        url = f"data:image/jpeg;base64,{base64.b64encode(image.jpeg).decode()}"
        part = {"type": "image_url", "image_url": {"url": url, "detail": self.domain.detail}}
        return {"role": "user", "content": [part]}

    def parse(self, text: str | None) -> tuple[str, int | None]:
        """Return the code, and the stated confidence in percent. Raises ProviderAnswerInvalid: an
        answer that is none of the codes is never mapped to the nearest one."""
        try:
            answer = _Answer.model_validate_json(text or "")
        except ValidationError:
            raise ProviderAnswerInvalid("The model's answer is not of the agreed form.") from None
        if answer.label not in self.labels:
            raise ProviderAnswerInvalid("The model's answer is none of the classes.")
        if self.stated and answer.confidence is None:
            raise ProviderAnswerInvalid("The model did not say how sure it is.")
        return answer.label, answer.confidence
