"""Budgets: their amounts are reserved before a call, settled after it, and never exceeded.

A process spends from its leases without asking the database. It asks for what it can't reserve
there, and gives back what it does not need, once a second.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from app.budget import Budget, Payer
from app.errors import (
    BudgetNotFound,
    BudgetReadOnly,
    ConfigurationError,
    PriceUnknown,
)
from app.providers.profiles import ModelTable
from app.settings import Settings
from app.storage import BudgetRepository, BudgetState, Purse
from app.storage.audit import By
from app.storage.leases import DEAD_AFTER, Lease, Request
from app.traffic import clock
from app.traffic.wallet import NOTHING, Hold, Wallet
from app.usage import TokenUsage

CALLS_AHEAD = 16
"""For how many calls a lease is taken, at least, where there is enough."""

SETTLES_WITHIN_S = 3.0
"""Seconds to wait for room: calls in progress cost less than is reserved for them, and other
processes give back what they do not need."""

LOOKED_AT_EVERY_S = 0.1

REFUSED_FOR_S = 1.0
"""Seconds for which a budget that was found to be spent is not looked at again."""

CUT_OFF_AFTER_S = DEAD_AFTER.total_seconds() / 2
"""Seconds without an answer from the database, after which leases are not spent from any more."""

_NEVER = float("-inf")
_FOR_EVER = datetime.max.replace(tzinfo=UTC)
_NO_WALLETS = (datetime.min.replace(tzinfo=UTC), ())

MAX_FOUND = 10_000


@dataclass(frozen=True, slots=True)
class _Found:
    """
    Attributes:
        lack: the first wallet that has no room, and what the sums say is spent of its budget; None:
            all have room.
    """

    wallets: tuple[Wallet, ...]
    at: datetime
    lack: tuple[Wallet, Decimal] | None = None


class Budgets:
    """Budgets from the settings, those given while the service runs, and those of batches."""

    def __init__(
        self,
        rows: BudgetRepository,
        configured: Sequence[Budget],
        *,
        process: str,
        clock: Callable[[], datetime],
    ) -> None:
        self.configured = tuple(configured)
        self.stored: tuple[Budget, ...] = ()
        self._rows = rows
        self._process = process
        self._clock = clock
        self._kept = tuple(each for each in self.configured if each.is_kept)
        self._found: dict[tuple[str, str], tuple[Budget, ...]] = {}
        self._wallets: dict[Purse, Wallet] = {}
        self.exhausted: dict[Purse, Budget] = {}
        """Budgets of which too little was left for a call, and whose owners are not notified
        yet."""
        self._present: dict[tuple[str, str], tuple[datetime, tuple[Wallet, ...]]] = {}
        self._lost: dict[Purse, Decimal] = {}
        """Amounts of leases that no wallet has."""
        self.settling = asyncio.Lock()
        """Held while leases are changed or read."""
        self._taking: set[asyncio.Task[object]] = set()
        self.unsure = False
        """Whether it is unknown if the last write of leases succeeded."""
        self.heard_at = _NEVER
        """When the database was last written to, by the event loop's clock."""
        self.changed = asyncio.Event()
        """Set when there is something to be written."""

    @property
    def all(self) -> tuple[Budget, ...]:
        return (*self.configured, *self.stored)

    @property
    def watched(self) -> list[Budget]:
        """Budgets whose owners are notified when they get spent."""
        of_batches = {each.budget for each in self._wallets.values() if each.budget.batch_id}
        return [*self.all, *of_batches]

    async def load(self) -> None:
        """Load the budgets that were given while the service runs: at the start, and after every
        change. Raises StorageUnavailable."""
        names = {each.name for each in self.configured}
        stored = tuple(each for each in await self._rows.all() if each.name not in names)
        if stored == self.stored:
            return
        self.stored = stored
        self._kept = tuple(each for each in self.all if each.is_kept)
        self._found.clear()
        self._present.clear()

    async def states(self, wanted: Iterable[Budget]) -> list[BudgetState]:
        """How much of these budgets is spent. Raises StorageUnavailable."""
        return await self._rows.states(wanted, self._clock())

    def find(self, name: str) -> Budget:
        """Raises BudgetNotFound."""
        for each in self.all:
            if each.name == name:
                return each
        raise BudgetNotFound(f"There is no budget {name!r}.")

    async def put(self, *budgets: Budget, only: bool = False, by: By) -> None:
        """Create or change budgets; `only`: all others that were given while the service runs are
        deleted. Raises BudgetReadOnly, StorageUnavailable."""
        self._refuse_configured(*(each.name for each in budgets))
        await self._rows.put(*budgets, only=only, by=by)
        await self.load()

    async def delete(self, name: str, *, by: By) -> None:
        """Raises BudgetNotFound, BudgetReadOnly, StorageUnavailable."""
        self._refuse_configured(name)
        if not await self._rows.delete(name, by=by):
            raise BudgetNotFound(f"There is no budget {name!r}.")
        await self.load()

    def _refuse_configured(self, *names: str) -> None:
        for each in self.configured:
            if each.name in names:
                raise BudgetReadOnly(f"The budget {each.name} is set in the settings.")

    def covers(self, payer: Payer, domain: str) -> bool:
        """Whether the cost of a call has to be reserved."""
        return bool(self.covering(payer, domain))

    async def wait_for_room(
        self, payer: Payer, domain: str, most: TokenUsage, *, until: float
    ) -> None:
        """Return when a call that costs at most `most` may be made. Raises BudgetSpent, and
        StorageUnavailable, because nothing may be spent that can't be counted."""
        until = min(until, clock.now() + SETTLES_WITHIN_S)
        amount = _amount(most, self.covering(payer, domain))
        while (lack := (await self._look(payer, domain, amount)).lack) is not None:
            wallet, known = lack
            could = wallet.budget.amount_usd - known - wallet.owed >= amount
            if not could or clock.now() >= until:
                wallet.refused = (clock.now() + REFUSED_FOR_S, known)
                self.exhausted[wallet.purse] = wallet.budget
                self.changed.set()
                raise wallet.spent(known)
            await asyncio.sleep(LOOKED_AT_EVERY_S)

    async def reserve(self, payer: Payer, domain: str, most: TokenUsage) -> Hold | None:
        """Reserve the cost of a call that is about to be made. None: other calls took the room."""
        amount = _amount(most, self.covering(payer, domain))
        found = await self._look(payer, domain, amount)
        if found.lack is not None:
            return None
        for each in found.wallets:
            each.held += amount
        return Hold(amount, found.wallets, found.at)

    def settle(self, hold: Hold, cost: Decimal) -> dict[Purse, Decimal]:
        """Settle what a call cost; returns what is owed of leases until the sums have it."""
        for each in hold.wallets:
            each.held -= hold.amount
            each.owed += cost
            each.lately += cost
        return {each.purse: cost for each in hold.wallets} if cost else {}

    def give_up(self) -> dict[Purse, Decimal]:
        """What each lease does not need to spend as much as lately, which may be nothing. To be
        called while `settling` is held."""
        given_up, self._lost = self._lost, {}
        for purse, wallet in list(self._wallets.items()):
            idle = wallet.room - wallet.lately
            wallet.lately = NOTHING
            if wallet.lease or wallet.held or wallet.owed:
                given_up[purse] = max(NOTHING, idle)
                wallet.lease -= given_up[purse]
            else:
                del self._wallets[purse]
                self._present.clear()
        return given_up

    def summed(self, owed: dict[Purse, Decimal]) -> None:
        """The sums have these amounts now, and the leases are that much less."""
        for purse, amount in owed.items():
            if purse in self._wallets:
                self._wallets[purse].owed -= amount
                self._wallets[purse].lease -= amount

    async def look_again(self) -> None:
        """Read the leases when it is unknown what was written of them. To be called while
        `settling` is held. Raises StorageUnavailable."""
        leases = await self._rows.leases(self._process, self._clock())
        for purse, wallet in self._wallets.items():
            wallet.lease = leases.pop(purse, NOTHING)
        self._lost = {purse: amount for purse, amount in leases.items() if amount}
        self.unsure, self.heard_at = False, clock.now()

    @property
    def has_leases(self) -> bool:
        return bool(self._wallets)

    def covering(self, payer: Payer, domain: str) -> tuple[Budget, ...]:
        """The budgets in which a call's cost is reserved; those that refuse come before those that
        degrade."""
        if not self._kept:
            return () if payer.budget is None else (payer.budget,)
        key = (payer.caller, domain)
        found = self._found.get(key)
        if found is None:
            covering = (
                each
                for each in self._kept
                if each.covers(caller=payer.caller, domain=domain, batch_id=None)
            )
            found = tuple(sorted(covering, key=lambda each: each.action))
            if len(self._found) < MAX_FOUND:
                self._found[key] = found
        return found if payer.budget is None else (payer.budget, *found)

    def _wallets_of(self, payer: Payer, domain: str, now: datetime) -> tuple[Wallet, ...]:
        """The wallets for the periods of `now`, which are found once for all calls of a period."""
        key = (payer.caller, domain)
        until, wallets = self._present.get(key, _NO_WALLETS)
        if now >= until or payer.budget is not None:
            wallets = tuple(
                self._wallet_at(each, each.starts_at(now)) for each in self.covering(payer, domain)
            )
            ends = [each.ends_at for each in wallets if each.ends_at is not None]
            if payer.budget is None:
                self._present[key] = (min(ends, default=_FOR_EVER), wallets)
        return wallets

    def _wallet_at(self, budget: Budget, starts_at: datetime) -> Wallet:
        purse = Purse(budget.name, starts_at)
        wallet = self._wallets.get(purse)
        if wallet is None:
            wallet = self._wallets[purse] = Wallet(budget, starts_at)
        elif wallet.budget != budget:  # it was changed
            wallet.budget, wallet.refused = budget, None
        return wallet

    async def _look(self, payer: Payer, domain: str, amount: Decimal) -> _Found:
        """Whether there is room; if there is none, a lease is asked for first. There is no await
        between the last look at a wallet and the return."""
        while True:
            now = self._clock()
            wallets = self._wallets_of(payer, domain, now)
            if not self._is_cut_off and all(each.room >= amount for each in wallets):
                return _Found(wallets, now)
            # Even if the caller stops waiting, it has to be known which lease was got.
            taking = asyncio.create_task(self._take(payer, domain, amount, now))
            self._taking.add(taking)
            taking.add_done_callback(self._taken)
            if (lack := await asyncio.shield(taking)) is not None:
                return _Found(wallets, now, lack)

    def _taken(self, taking: asyncio.Task[object]) -> None:
        """Retrieve a failure that nobody waits for any more, or the event loop would report it."""
        self._taking.discard(taking)
        if not taking.cancelled():
            taking.exception()

    async def _take(
        self, payer: Payer, domain: str, amount: Decimal, now: datetime
    ) -> tuple[Wallet, Decimal] | None:
        """Take leases where there is no room. Returns the first wallet whose budget has too little,
        and what the sums say is spent of it; None: there is room."""
        async with self.settling:
            if self.unsure or self._is_cut_off:
                await self.look_again()
            wallets = self._wallets_of(payer, domain, now)
            short = [each for each in wallets if each.room < amount]
            for each in short:
                if each.refused is not None and each.refused[0] > clock.now():
                    return each, each.refused[1]
            if not short:
                return None
            got = await self._lease(short, amount)
            lacking = (each for each in short if not got[each.purse].amount)
            return next(((each, got[each.purse].spent) for each in lacking), None)

    async def _lease(self, short: Sequence[Wallet], amount: Decimal) -> dict[Purse, Lease]:
        requests = [
            Request(
                each.budget,
                each.starts_at,
                needs=amount - each.room,
                wants=max(CALLS_AHEAD * amount, 2 * each.lately) - each.room,
            )
            for each in short
        ]
        self.changed.set()
        try:
            got = await self._rows.lease(self._process, requests, self._clock())
        except BaseException:
            self.unsure = True
            raise
        self.heard_at = clock.now()
        for each in short:
            each.lease += got[each.purse].amount
            each.refused = None
        return got

    @property
    def _is_cut_off(self) -> bool:
        """Whether the database was silent for so long that other processes may have taken this one
        for dead, and ended its leases."""
        return bool(self._wallets) and clock.now() > self.heard_at + CUT_OFF_AFTER_S


def check_budgets(settings: Settings, models: ModelTable) -> None:
    """Raises ConfigurationError if a budget is to be kept while it is unknown what calls cost."""
    kept = [each.name for each in settings.budgets if each.is_kept]
    unpriced = models.unpriced(settings)
    if kept and unpriced:
        raise ConfigurationError(
            f"the budget {kept[0]} can't be kept: the price of {', '.join(unpriced)} is not known; "
            "set the deployment's `price`, or that of the model in config/models.yaml"
        )


def _amount(most: TokenUsage, budgets: Sequence[Budget]) -> Decimal:
    """Raises PriceUnknown."""
    if most.cost_usd is None and budgets:
        raise PriceUnknown(
            f"The budget {budgets[0].name} can't be kept: the price of the deployment is not "
            "known. Set its `price`, or that of its model in config/models.yaml.",
            budget=budgets[0].name,
            degrades=all(each.action == "degrade" for each in budgets),
        )
    return most.cost_usd or NOTHING
