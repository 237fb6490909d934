"""Asks providers, with one call for all requests that ask the same at the same time."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from decimal import Decimal

import structlog

from app.budget import Payer
from app.classification.cascade import Cascading
from app.domains import Domain
from app.errors import ClassifierError, InternalError, Interrupted
from app.images import PreparedImage
from app.ledger import LedgerEntry
from app.providers.base import ProviderAnswer
from app.storage import KeptAnswer
from app.traffic import Case, Lane, Spent
from app.usage import TokenUsage

log = structlog.stdlib.get_logger(__name__)

HELD_S = 60.0
MOST_HELD = 2_000
"""How many seconds an answer stays in memory, and how many answers do, for requests that looked for
a kept answer before this one was stored; such a lookup takes milliseconds."""

Key = tuple[str, tuple[str, ...], int | None, Lane]


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking.

    Attributes:
        spent: what this request spent; nothing where another one pays.
        saved_usd: what the answer cost, where somebody else paid for it; None: nothing was billed.
        again: the answer belongs to an earlier request, or to one at the same time.
        call: the call, which other requests may have joined; None for a kept answer.
    """

    outcome: ProviderAnswer | ClassifierError
    spent: Spent
    again: bool = False
    saved_usd: Decimal | None = None
    call: "_Call | None" = None

    @classmethod
    def of(cls, kept: KeptAnswer) -> "Asked":
        """From an answer that was kept."""
        saved_usd = (kept.cost_usd or Decimal(0)) if kept.is_billed else None
        spent = Spent(provider=kept.provider, contradicted=kept.contradicted)
        return cls(answer_of(kept), spent, again=True, saved_usd=saved_usd)

    @property
    def is_for_all(self) -> bool:
        """Whether other requests may use the answer, whoever pays for it."""
        return not (isinstance(self.outcome, ClassifierError) or self.is_makeshift)

    @property
    def is_makeshift(self) -> bool:
        """Whether another request may get a better answer: a budget was spent that need not apply
        to it, or some of the calls that the answer should rest on failed."""
        return self.spent.over_budget or self.spent.incomplete

    @property
    def entries(self) -> list[LedgerEntry]:
        """Ledger entries, to be stored with the result."""
        return self.spent.entries

    @property
    def worth_usd(self) -> Decimal | None:
        """What the answer cost, whoever paid for it; None: nothing was billed."""
        billed = [each.cost_usd or Decimal(0) for each in self.entries if each.kind == "asked"]
        if self.again or not billed:
            return self.saved_usd
        return sum(billed, Decimal(0))

    def shared(self) -> "Asked":
        """The same for another request, which pays nothing."""
        spent = replace(self.spent, usage=TokenUsage(), wait_s=0.0, entries=[])
        if isinstance(self.outcome, ClassifierError):
            # A copy, because each failed request is told its own row.
            return Asked(copy(self.outcome), spent, again=True)
        answer = replace(self.outcome, image_tokens=0)
        return Asked(answer, spent, again=True, saved_usd=self.worth_usd)

    def settled(self) -> None:
        """Note that the answer is stored: a lookup from now on finds it."""
        if self.call is not None:
            self.call.settled_at = time.monotonic()


def answer_of(kept: KeptAnswer) -> ProviderAnswer:
    """The kept answer, as it was given."""
    return ProviderAnswer(
        kept.label,
        kept.probabilities,
        kept.confidence_source,
        kept.model,
        kept.deployment,
        image_tokens=0,
        tail=kept.tail,
        out_of_domain=kept.out_of_domain,
        revision=kept.revision,
    )


@dataclass(slots=True)
class _Call:
    task: asyncio.Task[Asked]
    spent: Spent
    key: Key | None
    began_at: float = field(default_factory=time.monotonic)
    settled_at: float | None = None
    waiting: int = 0
    booked: bool = False


class Asking:
    """A request that stops waiting does not stop others; a call that nobody waits for any more is
    cancelled."""

    def __init__(self, cascading: Cascading, *, joinable_s: float) -> None:
        """`joinable_s`: an older call is not joined, because it may soon run out of time."""
        self._cascading = cascading
        self._joinable_s = joinable_s
        self._calls: dict[Key, _Call] = {}
        self._held: deque[tuple[float, _Call]] = deque()

    async def ask(
        self,
        names: Sequence[str],
        image: PreparedImage,
        domain: Domain,
        *,
        key: str | None,
        payer: Payer,
        lane: Lane = "interactive",
        looked_at: float | None = None,
    ) -> Asked:
        """Ask the providers in order, or join a call that asks the same; with `key` None, always
        ask. A call that others join is queued under the `payer` of the request that began it.

        `looked_at` is when (time.monotonic) a kept answer was looked for: one that came since is
        taken. Errors, and a cancellation, are returned as the outcome, so that what calls have cost
        is not lost.
        """
        case = Case(image, domain, payer, lane)
        if key is None:
            call = self._begin(names, case)
        else:
            # The lane is part of it: an interactive request must not wait as bulk work does.
            same = (key, tuple(names), domain.max_retries, lane)
            call = self._running(same, looked_at) or self._begin(names, case, same)
        call.waiting += 1
        try:
            asked = await asyncio.shield(call.task)
        except asyncio.CancelledError:
            if call.waiting > 1 or call.booked:
                return Asked(Interrupted(), Spent())
            self._forget(call)
            call.task.cancel()
            await asyncio.wait([call.task])
            return Asked(Interrupted(), call.spent)
        finally:
            call.waiting -= 1
        if call.booked:
            if asked.is_makeshift:
                return await self.ask(names, image, domain, key=None, payer=payer, lane=lane)
            return asked.shared()
        call.booked = True
        return replace(asked, call=call)

    def _running(self, key: Key, looked_at: float | None) -> _Call | None:
        call = self._calls.get(key)
        if call is None:
            return None
        if not call.task.done():
            return call if time.monotonic() - call.began_at <= self._joinable_s else None
        if looked_at is None:
            return None
        return call if call.settled_at is None or looked_at < call.settled_at else None

    def _begin(self, names: Sequence[str], case: Case, key: Key | None = None) -> _Call:
        call = _Call(asyncio.create_task(self._ask(names, case)), case.spent, key)
        if key:
            self._calls[key] = call
            call.task.add_done_callback(lambda task: self._ended(call, task))
        return call

    def _ended(self, call: _Call, task: asyncio.Task[Asked]) -> None:
        if task.cancelled() or not task.result().is_for_all:
            self._forget(call)
        else:
            self._hold(call)

    def _hold(self, call: _Call) -> None:
        now = time.monotonic()
        self._held.append((now + HELD_S, call))
        while self._held and (self._held[0][0] <= now or len(self._held) > MOST_HELD):
            self._forget(self._held.popleft()[1])

    def _forget(self, call: _Call) -> None:
        if call.key and self._calls.get(call.key) is call:
            del self._calls[call.key]

    async def _ask(self, names: Sequence[str], case: Case) -> Asked:
        spent = case.spent
        try:
            return Asked(await self._cascading.elicit(names, case), spent)
        except ClassifierError as error:
            return Asked(error, spent)
        except Exception:
            log.exception("a provider met an unexpected error", provider=spent.provider)
            return Asked(InternalError("The service made a mistake; its log says more."), spent)
