"""Keeps what is needed to ask again about an accepted picture, until it is answered."""

from collections.abc import Callable
from datetime import datetime, timedelta

from app.classification.question import Question
from app.errors import ResultNotFound, StorageUnavailable
from app.images import Stored, Url
from app.storage import (
    Accepted,
    AcceptedRepository,
    BlobStore,
    ResultRepository,
    Unit,
)


class Keeper:
    """For a persistent database: a crash delays an accepted picture, and does not lose it."""

    def __init__(
        self,
        accepted: AcceptedRepository,
        blobs: BlobStore,
        results: ResultRepository,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._accepted = accepted
        self._blobs = blobs
        self._results = results
        self._clock = clock

    async def keep(self, result_id: str, question: Question, data: bytes | None) -> Unit[None]:
        """`data` is the picture, None where it has a URL. The unit that is returned is to be stored
        with the pending result. Raises StorageUnavailable."""
        url = question.source.url if isinstance(question.source, Url) else None
        if data is not None:
            await self._blobs.put_as(result_id, data)
        return self._accepted.keeping(
            Accepted(
                result_id,
                url,
                question.provider,
                fresh=question.fresh,
                callback_url=question.callback_url,
            )
        )

    def forgetting(self, result_id: str) -> Unit[None]:
        """The unit to store with the outcome."""
        return self._accepted.forgetting(result_id)

    async def let_go(self, result_id: str) -> None:
        """Delete the picture, which is not needed any more once the outcome is stored."""
        try:
            await self._blobs.delete(result_id)
        except StorageUnavailable:
            return  # that costs space, not the answer

    async def all(self) -> list[str]:
        """Ids of pending results, the oldest first."""
        return await self._accepted.all()

    async def waiting(self, *, seconds: float) -> list[str]:
        """Ids of those that have waited for at least `seconds`."""
        return await self._accepted.all(until=self._clock() - timedelta(seconds=seconds))

    async def count(self) -> int:
        return await self._accepted.count()

    async def kept(self, result_id: str) -> Question | None:
        """The question; None if it is answered or deleted."""
        kept = await self._accepted.find(result_id)
        question = None if kept is None else await self._question(kept)
        if kept is not None and question is None:
            await self._accepted.forget(result_id)
            await self.let_go(result_id)
        return question

    async def _question(self, kept: Accepted) -> Question | None:
        try:
            pending = await self._results.get(kept.result_id, caller=None)
        except ResultNotFound:
            return None
        if not pending.is_pending:
            return None
        return Question(
            Url(kept.url) if kept.url else Stored(kept.result_id),
            pending.domain,
            pending.caller,
            provider=kept.provider,
            expected=pending.expected,
            metadata=pending.metadata,
            fresh=kept.fresh,
            callback_url=kept.callback_url,
            asked_at=pending.created_at,
        )
