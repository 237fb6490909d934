"""People who ask about one picture: synchronously or later, with or without a key, new or
repeated."""

import asyncio
import hashlib
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

from app.images import prepare
from tests.pictures import jpeg
from tests.soak.caller import Caller
from tests.soak.paid import Origin

PEOPLE = 6
PAUSES_S = 0.6
"""The mean pause between an answer and the next question."""

AGAIN_AFTER_S = 1.0
"""What failed later is asked again."""

LATER = {"prefer": "respond-async"}

SENT_PX = 512
"""`image_size` of the domain."""


@dataclass
class Question:
    """
    Attributes:
        number: unique to this question; sent as its metadata.
        picture: the seed that generates it.
        key: for `Idempotency-Key`.
        answer: the result as first returned.
        took_s: from the first attempt on.
    """

    number: int
    picture: int
    key: str | None
    later: bool
    asked_at: float = field(default_factory=time.time)
    answer: dict[str, Any] | None = None
    took_s: float = 0.0


class People:
    """
    Attributes:
        complaints: about answers that were not as promised.
    """

    def __init__(self, caller: Caller, seed: int) -> None:
        self.questions: list[Question] = []
        self.complaints: list[str] = []
        self._caller = caller
        self._chance = random.Random(f"{seed} people")

    @property
    def answered(self) -> list[Question]:
        return [each for each in self.questions if each.answer is not None]

    def origins(self) -> dict[int, Origin]:
        """Of all pictures, by their seeds."""
        found: dict[int, Origin] = {}
        for each in self.questions:
            origin = found.setdefault(each.picture, Origin(f"picture {each.picture}"))
            if each.later:
                origin.later = True
            else:
                origin.at_once = True
        return found

    async def ask(self, until: float) -> None:
        await asyncio.gather(*(self._person(until) for _ in range(PEOPLE)))

    async def _person(self, until: float) -> None:
        while time.time() < until:
            question = self._next()
            self.questions.append(question)
            await self._ask(question)
            question.took_s = time.time() - question.asked_at
            if question.key and self._chance.random() < 0.1:
                await self._ask_again(question)
            await asyncio.sleep(self._chance.expovariate(1 / PAUSES_S))

    def _next(self) -> Question:
        number, picture = len(self.questions), len(self.questions)
        answered = self.answered[-200:]
        if answered and self._chance.random() < 0.2:
            picture = self._chance.choice(answered).picture
        later = self._chance.random() < 0.25
        has_key = later or self._chance.random() < 0.8
        return Question(number, picture, f"question-{number}" if has_key else None, later)

    async def _ask(self, question: Question) -> None:
        """Retry until there is an answer that is not a failure."""
        while question.answer is None:
            told = await self._post(question)
            if told["status"] == "pending":
                told = await self._wait(told["id"])
            if told["status"] == "failed":
                await asyncio.sleep(AGAIN_AFTER_S)
            else:
                question.answer = told

    async def _ask_again(self, question: Question) -> None:
        assert question.answer
        told = await self._post(question)
        if told["id"] != question.answer["id"]:
            self.complaints.append(
                f"{question.key} was answered by {question.answer['id']} and by {told['id']}"
            )

    async def _post(self, question: Question) -> dict[str, Any]:
        headers = LATER if question.later else {}
        if question.key:
            headers = headers | {"idempotency-key": question.key}
        response = await self._caller.ask(
            "later" if question.later else "at once",
            "POST",
            "/classify",
            data={"domain": "flowers", "metadata": json.dumps({"number": question.number})},
            files={"file": ("a.jpg", await asyncio.to_thread(picture, question.picture))},
            headers=headers,
        )
        response.raise_for_status()
        return response.json()

    async def _wait(self, result_id: str) -> dict[str, Any]:
        while True:
            path = f"/results/{result_id}"
            response = await self._caller.ask("result", "GET", path, params={"wait": 5})
            response.raise_for_status()
            if response.json()["status"] != "pending":
                return response.json()


def picture(seed: int) -> bytes:
    return jpeg(64, 64, seed=seed)


def sent(seed: int) -> str:
    """The SHA-256 of what Azure is sent of it."""
    return hashlib.sha256(prepare(picture(seed), longest=SENT_PX).jpeg).hexdigest()
