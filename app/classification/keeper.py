"""What it takes to ask again about an accepted picture, kept until it is answered."""

from app.classification.question import Question
from app.domains import DomainRegistry
from app.errors import DomainNotFound, ResultNotFound, StorageUnavailable
from app.images import Stored, Url
from app.storage import (
    Accepted,
    AcceptedRepository,
    BlobStore,
    ResultRepository,
    Unit,
)


class Keeper:
    """For a database that lasts: a crash costs an accepted picture nothing but time."""

    def __init__(
        self,
        accepted: AcceptedRepository,
        blobs: BlobStore,
        results: ResultRepository,
        domains: DomainRegistry,
    ) -> None:
        self._accepted = accepted
        self._blobs = blobs
        self._results = results
        self._domains = domains

    async def keep(self, result_id: str, question: Question, data: bytes | None) -> Unit[None]:
        """`data` is the picture, None where it has a URL. What it returns is to be stored with the
        pending result. Raises StorageUnavailable."""
        url = question.source.url if isinstance(question.source, Url) else None
        if data is not None:
            await self._blobs.put_as(result_id, data)
        return self._accepted.keeping(
            Accepted(result_id, url, question.provider, fresh=question.fresh)
        )

    def forgetting(self, result_id: str, beside: Unit[None] | None) -> Unit[None]:
        """To be stored with the outcome, `beside` too."""
        return self._accepted.forgetting(result_id, beside)

    async def let_go(self, result_id: str) -> None:
        """The outcome is stored: the picture is not needed any more."""
        try:
            await self._blobs.delete(result_id)
        except StorageUnavailable:
            return  # it costs room, and no answer

    async def all(self) -> list[tuple[str, Question]]:
        """By the ids of their pending results. What nobody can ask about any more is settled."""
        found = []
        for each in await self._accepted.all():
            question = await self._question(each)
            if question is not None:
                found.append((each.result_id, question))
                continue
            await self._accepted.forget(each.result_id)
            await self.let_go(each.result_id)
        return found

    async def _question(self, kept: Accepted) -> Question | None:
        try:
            pending = await self._results.get(kept.result_id, caller=None)
            self._domains.get(pending.domain)
        except (ResultNotFound, DomainNotFound):
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
            asked_at=pending.created_at,
        )
