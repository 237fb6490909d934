"""Keeps track of every call that may be billed, from before it is made until the ledger has it."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import structlog

from app.budget import Payer
from app.errors import ProviderError, StorageUnavailable
from app.ledger import Kind, LedgerEntry, new_call_id
from app.providers.base import Provider, ProviderAnswer
from app.recurring import Recurring
from app.storage import BudgetRepository, LedgerRepository, Purse
from app.storage.leases import DEAD_AFTER
from app.traffic import clock
from app.traffic.budgets import Budgets
from app.traffic.call_journal import CallJournal
from app.traffic.wallet import FREE, Hold
from app.usage import TokenUsage

log = structlog.stdlib.get_logger(__name__)

SUMMED_EVERY_S = 1.0
"""Seconds between adding entries to sums, and giving back leases that are not needed."""

LOOKED_AT_EVERY_S = 60.0
"""Seconds between looks at entries of this process that another one may have added to the sums."""

FOLLOWED_EVERY_S = 2.0
"""Seconds until a budget that one process changed takes effect in all."""

STORED_WITHIN_S = 30.0
"""Seconds after a call. Then its entry is written without the result that it was made for."""

LONGEST_NAME = 100
"""Bytes of a model or deployment that are kept."""


@dataclass(slots=True)
class OpenCall:
    """A call in progress.

    Attributes:
        most: what it costs at most.
        slot: of the journal.
    """

    entry: LedgerEntry
    provider: Provider
    most: TokenUsage
    hold: Hold
    slot: int


@dataclass(frozen=True, slots=True)
class _Ended:
    entry: LedgerEntry
    slot: int
    at: float


class Books:
    """The books of this process. The entry of a call is stored together with the call's result; an
    entry without a result is stored alone, and those that a dead process left are stored by the
    process that finds them."""

    def __init__(
        self,
        process: str,
        journal: CallJournal,
        rows: LedgerRepository,
        budgets: Budgets,
        leases: BudgetRepository,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self.budgets = budgets
        self._process = process
        self._journal = journal
        self._rows = rows
        self._leases = leases
        self._clock = clock
        self._ended: dict[str, _Ended] = {}
        self._owed: dict[str, dict[Purse, Decimal]] = {}
        self._unpriced: set[str] = set()
        self._looked_at = float("-inf")
        self._keeping = Recurring()

    async def open(self) -> None:
        """Take over what dead processes left, then keep books. Raises StorageUnavailable."""
        await self.budgets.load()
        await self.recover()
        self._journal.open()
        self._keeping.every(0, "sums of costs", self._sum_when_changed)
        # Other processes change budgets, too.
        self._keeping.every(
            FOLLOWED_EVERY_S, "budgets", self.budgets.load, first_after_s=FOLLOWED_EVERY_S
        )

    async def aclose(self) -> None:
        """Write the entries that were not stored with a result, and give back what was reserved."""
        await self._keeping.aclose()
        summed = True
        try:
            if self.budgets.changed.is_set() or self._ended or self.budgets.has_leases:
                await self._book_unstored(older_than_s=0, lost=True)
                await self._sum()
                await self._leases.end_leases(self._process)
        except StorageUnavailable:
            summed = False
            log.exception("entries of the ledger wait for the next start", count=len(self._ended))
        self._journal.close(summed=summed)

    def begin(
        self, provider: Provider, payer: Payer, domain: str, most: TokenUsage, hold: Hold = FREE
    ) -> OpenCall:
        """Note a call before it is made. Raises StorageUnavailable."""
        now, capabilities = hold.at or self._clock(), provider.capabilities()
        entry = LedgerEntry(
            id=new_call_id(now),
            at=now,
            process=self._process,
            provider=provider.name,
            model=_name(capabilities.model),
            deployment=_name(capabilities.deployment or provider.name),
            tariff=capabilities.tariff,
            caller=payer.caller,
            domain=domain,
            batch_id=payer.batch_id,
        )
        _bill(entry, most, estimated=True)
        try:
            slot = self._journal.begin(entry)
        except StorageUnavailable:
            self.budgets.settle(hold, Decimal(0))
            raise
        return OpenCall(entry, provider, most, hold, slot)

    def end(
        self, call: OpenCall, outcome: ProviderAnswer | BaseException, image_tokens: int
    ) -> LedgerEntry | None:
        """Note how a call ended, and return its entry; None: it certainly costs nothing."""
        entry = call.entry
        entry.outcome, entry.answers = "interrupted", 0
        told: TokenUsage | None = None
        may_be_billed = True
        if isinstance(outcome, ProviderAnswer):
            entry.outcome, entry.answers, told = "answered", 1, outcome.usage
            entry.model = _name(outcome.model)
        elif isinstance(outcome, ProviderError):
            entry.outcome, told = outcome.kind, outcome.usage
            entry.model = _name(call.provider.capabilities().model)  # it may be known by now
            may_be_billed = outcome.may_be_billed
        entry.image_tokens = image_tokens
        if told is not None and told.is_told:
            _bill(entry, told, estimated=False)
        elif not may_be_billed:
            self.budgets.settle(call.hold, Decimal(0))
            self._journal.forget(call.slot)
            return None
        if entry.cost_usd is None and call.hold.wallets:
            # No budget allows a call of unknown cost: it counts as what was reserved.
            entry.cost_usd, entry.estimated = call.hold.amount, True
        if entry.cost_usd is None:
            self._warn_unpriced(entry)
        cost = entry.cost_usd or Decimal(0)
        if owed := self.budgets.settle(call.hold, cost):
            self._owed[entry.id] = owed
        self._journal.end(call.slot, entry)
        self._ended[entry.id] = _Ended(entry, call.slot, clock.now())
        self.budgets.changed.set()
        return entry

    def saved(
        self,
        kind: Kind,
        payer: Payer,
        domain: str,
        *,
        provider: str,
        model: str,
        deployment: str | None,
        worth_usd: Decimal,
    ) -> LedgerEntry:
        """The entry for an answer that took no call of its own."""
        now = self._clock()
        return LedgerEntry(
            id=new_call_id(now),
            at=now,
            process=self._process,
            provider=provider,
            model=_name(model),
            deployment=_name(deployment or provider),
            tariff="",
            caller=payer.caller,
            domain=domain,
            batch_id=payer.batch_id,
            kind=kind,
            outcome="answered",
            answers=1,
            saved_usd=worth_usd,
        )

    def booked(self, entries: Iterable[LedgerEntry]) -> None:
        """Note that these entries are in the ledger."""
        for entry in entries:
            ended = self._ended.pop(entry.id, None)
            if ended is not None:
                self._journal.forget(ended.slot)
        self.budgets.changed.set()

    async def recover(self) -> None:
        """Book what dead processes of this machine left. Raises StorageUnavailable."""
        with self._journal.dead_processes() as dead:
            for each in dead:
                await self._rows.book(each.entries, lost=True)
                await self._sum_of(each.name)
                await self._leases.end_leases(each.name)
                if each.entries:
                    log.warning(
                        "calls that a dead process left are in the ledger now",
                        count=len(each.entries),
                    )

    async def sum_of_the_dead(self) -> None:
        """Sum the entries that a process wrote and did not live to sum, and end the leases that
        none can give back."""
        before = self._clock() - DEAD_AFTER
        for process in await self._rows.processes_behind(before):
            if process != self._process:
                await self._sum_of(process)
        await self._leases.end_dead_leases(self._clock())

    async def _sum_of(self, process: str) -> None:
        more = True
        while more:
            rolled = await self._rows.roll(process, self.budgets.watched, {}, {}, {}, self._clock())
            more = rolled.more

    async def _sum_when_changed(self) -> None:
        await self.budgets.changed.wait()
        await asyncio.sleep(SUMMED_EVERY_S)
        await self._book_unstored(older_than_s=STORED_WITHIN_S)
        await self._sum()

    async def _book_unstored(self, *, older_than_s: float, lost: bool = False) -> None:
        late = clock.now() - older_than_s
        unstored = [each.entry for each in self._ended.values() if each.at <= late]
        await self._rows.book(unstored, lost=lost)
        self.booked(unstored)

    async def _sum(self) -> None:
        self.budgets.changed.clear()
        try:
            while await self._sum_some():
                pass
        except BaseException:
            self.budgets.changed.set()
            raise
        if self._ended or self.budgets.has_leases:
            self.budgets.changed.set()

    async def _sum_some(self) -> bool:
        """Sum some entries; returns whether there are more."""
        budgets = self.budgets
        async with budgets.settling:
            # What another process summed, because it took this one for dead, is not owed any more.
            if budgets.unsure or (self._owed and clock.now() > self._looked_at + LOOKED_AT_EVERY_S):
                self._looked_at = clock.now()
                self._forget_owed(await self._rows.rolled(list(self._owed)))
                await budgets.look_again()
            exhausted = dict(budgets.exhausted)
            try:
                rolled = await self._rows.roll(
                    self._process,
                    budgets.watched,
                    self._owed,
                    budgets.give_up(),
                    exhausted,
                    self._clock(),
                )
            except BaseException:
                budgets.unsure = True
                raise
            self._forget_owed(rolled.ids)
            budgets.heard_at = clock.now()
        for purse in exhausted:
            budgets.exhausted.pop(purse, None)
        return rolled.more

    def _forget_owed(self, ids: Iterable[str]) -> None:
        for entry_id in ids:
            self.budgets.summed(self._owed.pop(entry_id, {}))

    def _warn_unpriced(self, entry: LedgerEntry) -> None:
        name = f"{entry.deployment} {entry.model}"
        if name not in self._unpriced:
            self._unpriced.add(name)
            log.warning(
                "the price of a deployment is not known: its costs are null",
                deployment=entry.deployment,
                model=entry.model,
            )


def _bill(entry: LedgerEntry, usage: TokenUsage, *, estimated: bool) -> None:
    entry.prompt_tokens, entry.completion_tokens = usage.prompt, usage.completion
    entry.cached_tokens = usage.parts.get("cached", 0)
    entry.cache_write_tokens = usage.parts.get("cache_write", 0)
    entry.reasoning_tokens = usage.parts.get("reasoning", 0)
    entry.cost_usd, entry.price, entry.estimated = usage.cost_usd, usage.price, estimated


def _name(text: str) -> str:
    """The name as any database takes it, and no longer than the journal has room for."""
    if not text.isprintable():
        text = "".join(filter(str.isprintable, text))
    return text.encode()[:LONGEST_NAME].decode(errors="ignore")
