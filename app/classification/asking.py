"""Asking providers, once for all who want to know the same at the same time."""

import asyncio
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace

import structlog

from app.domains import Domain
from app.errors import ClassifierError, InternalError, Interrupted
from app.images import PreparedImage
from app.providers.base import ProviderAnswer
from app.storage import KeptAnswer
from app.traffic import Dispatcher, Spent
from app.usage import TokenUsage

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking.

    Attributes:
        spent: by this request; nothing where another one pays.
        again: the answer belongs to an earlier request, or to one at the same time.
    """

    outcome: ProviderAnswer | ClassifierError
    spent: Spent
    again: bool = False

    @classmethod
    def of(cls, kept: KeptAnswer) -> "Asked":
        """An answer that was kept."""
        answer = ProviderAnswer(
            kept.label,
            kept.probabilities,
            kept.confidence_source,
            kept.model,
            kept.deployment,
            image_tokens=0,
        )
        return cls(answer, Spent(provider=kept.provider), again=True)

    def shared(self) -> "Asked":
        """The same for another request, which pays nothing."""
        spent = replace(self.spent, usage=TokenUsage(), wait_s=0.0)
        if isinstance(self.outcome, ClassifierError):
            # Who fails is told the row of its own.
            return Asked(copy(self.outcome), spent, again=True)
        return Asked(replace(self.outcome, image_tokens=0), spent, again=True)


@dataclass(slots=True)
class _Call:
    task: asyncio.Task[Asked]
    spent: Spent
    waiting: int = 0


@dataclass(slots=True)
class Asking:
    """Who stops waiting stops nobody else; a call that nobody waits for any more is stopped."""

    dispatcher: Dispatcher
    _calls: dict[str, _Call] = field(default_factory=dict)

    async def ask(
        self, names: Sequence[str], image: PreparedImage, domain: Domain, *, key: str | None
    ) -> Asked:
        """Ask the providers in order, or join a call with this key; None asks alone.

        What goes wrong is the outcome, a cancellation too: what calls have cost must be kept.
        """
        running = self._calls.get(key) if key else None
        call = running or self._begin(names, image, domain, key)
        call.waiting += 1
        try:
            asked = await asyncio.shield(call.task)
        except asyncio.CancelledError:
            if call.waiting == 1:
                call.task.cancel()
                await asyncio.wait([call.task])
            stopped = Interrupted("The service stopped before the answer came.")
            asked = Asked(stopped, call.spent)
        finally:
            call.waiting -= 1
        return asked.shared() if running else asked

    def _begin(
        self, names: Sequence[str], image: PreparedImage, domain: Domain, key: str | None
    ) -> _Call:
        spent = Spent()
        call = _Call(asyncio.create_task(self._ask(names, image, domain, spent)), spent)
        if key:
            self._calls[key] = call
            call.task.add_done_callback(lambda _: self._calls.pop(key))
        return call

    async def _ask(
        self, names: Sequence[str], image: PreparedImage, domain: Domain, spent: Spent
    ) -> Asked:
        try:
            return Asked(await self.dispatcher.ask(names, image, domain, spent), spent)
        except ClassifierError as error:
            return Asked(error, spent)
        except Exception:
            log.exception("a provider met an unexpected error", provider=spent.provider)
            return Asked(InternalError("The service made a mistake; its log says more."), spent)
