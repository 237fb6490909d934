"""One answer for an Idempotency-Key, however often the request is sent."""

import hashlib
import json
from collections.abc import Awaitable, Callable

from app.classification.question import Question
from app.classification.running import Running
from app.errors import IdempotencyKeyInUse, ResultNotFound
from app.identifiers import RESULT, new_id
from app.images import Base64Text, Upload, Url
from app.result import Result
from app.storage import Claim, IdempotencyRepository, ResultRepository

Answer = Callable[[str], Awaitable[Result]]
"""Takes the id that the result is to have, and returns the result."""


class Once:
    """A failed request frees its key: when it is sent again, it is tried again."""

    def __init__(
        self,
        idempotency: IdempotencyRepository,
        results: ResultRepository,
        running: Running,
        *,
        patience_s: float,
    ) -> None:
        self._idempotency = idempotency
        self._results = results
        self._running = running
        self._patience_s = patience_s

    async def answer(self, key: str, question: Question, answer: Answer) -> Result:
        """Raises IdempotencyKeyReused, IdempotencyKeyInUse, and what `answer` raises."""
        mine = Claim(fingerprint(question), new_id(RESULT, question.asked_at))
        claim = await self._idempotency.claim(question.caller, key, mine)
        if claim.result_id != mine.result_id:
            earlier = await self._earlier(claim, question.caller)
            if earlier.status != "failed":
                return earlier
            await self._idempotency.release(question.caller, key, claim)
            return await self.answer(key, question, answer)
        with self._idempotency.holding(mine):
            try:
                return await answer(mine.result_id)
            except Exception:
                await self._idempotency.release(question.caller, key, mine)
                raise

    async def _earlier(self, claim: Claim, caller: str) -> Result:
        try:
            return await self._results.get(claim.result_id, caller=caller)
        except ResultNotFound:
            await self._running.wait_for(claim.result_id, seconds=self._patience_s)
        try:
            return await self._results.get(claim.result_id, caller=caller)
        except ResultNotFound:
            raise IdempotencyKeyInUse(
                "The first request with this Idempotency-Key has no answer yet, or its answer was "
                "deleted."
            ) from None


def fingerprint(question: Question) -> str:
    """SHA-256 over everything that two requests must share to count as the same."""
    match question.source:
        case Upload():
            source = hashlib.sha256(question.source.peek()).hexdigest()
        case Base64Text():
            source = hashlib.sha256(question.source.peek().encode()).hexdigest()
        case Url(url):
            source = hashlib.sha256(url.encode()).hexdigest()
    asked = [
        type(question.source).__name__,
        source,
        question.domain,
        question.provider,
        question.expected,
        question.metadata,
        *([question.callback_url] if question.callback_url else ()),
    ]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
