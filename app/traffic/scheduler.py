"""Admission to deployments: which calls wait, for how long, and which deployment each gets."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

import structlog

from app.errors import Overloaded, ProviderError, ProviderPaused, ProviderRateLimited
from app.traffic import clock
from app.traffic.deployment import Deployment, Ticket
from app.traffic.queue import BURST_S, NOWHERE, Lane, Waiter, WaitingQueue, Ways
from app.traffic.quota import Amounts

log = structlog.stdlib.get_logger(__name__)

SHORTEST_RETRY_AFTER_S = 1.0
NEVER = float("inf")

GAPS = 0.05
"""Share of a window that calls leave unused, at most, where they are not tiny."""


class Scheduler:
    """Schedules calls to one provider's deployments. They wait in one queue, whichever deployment
    becomes free.

    The next call keeps its turn, even if it takes more than is free now: smaller calls that
    overtook it might keep it waiting for ever. So the deployments that it may go to are held for
    it. Calls behind it may go to others meanwhile, and hold these when there is no room either.
    """

    def __init__(
        self, deployments: Sequence[Deployment], *, batch_share: float, most_waiting: int
    ) -> None:
        self.deployments = deployments
        self._queue = WaitingQueue(batch_share=batch_share)
        self._most_waiting = most_waiting
        # Without Redis, an offer never waits, so no other call can come in between.
        self._at_once = not any(each.quota.is_shared for each in deployments)
        self._again_at = NEVER
        """When there is room for the next call; infinite: that is not known."""
        self._changed = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None

    @property
    def is_metered(self) -> bool:
        return any(each.limits is not None for each in self.deployments)

    def waiting(self, lane: Lane) -> int:
        return self._queue.length(lane)

    async def admit(self, waiter: Waiter) -> Ticket:
        """Wait for admission.

        Raises Overloaded when too many calls wait already, and ProviderRateLimited or
        ProviderPaused, at once, when there will be no room before the deadline; each says when
        there would be.
        """
        if self._at_once and not len(self._queue):
            offer = await self._offer(waiter)
            if isinstance(offer, Ticket):
                return offer
        self._refuse_hopeless(waiter)
        if len(self._queue) >= self._most_waiting:
            self._make_room(waiter)
        self._queue.add(waiter)
        self._wake()
        try:
            return await waiter.leave
        except asyncio.CancelledError:
            self._queue.remove(waiter)
            leave = waiter.leave
            if leave.done() and not leave.cancelled() and leave.exception() is None:
                self.give_back(leave.result())
            self._changed.set()
            raise

    def has_room(self, amounts: Mapping[Deployment, Amounts], lane: Lane) -> bool:
        """Whether a call that takes `amounts` would be admitted at once."""
        now, burst_s = clock.now(), BURST_S[lane]
        return not len(self._queue) and any(
            each.free_at(now, taken, burst_s=burst_s) <= now for each, taken in amounts.items()
        )

    def give_back(self, ticket: Ticket) -> None:
        """The call is not made after all."""
        ticket.deployment.give_back(clock.now(), ticket)
        self._changed.set()

    def changed(self) -> None:
        """A call ended, or taught something: look again."""
        self._changed.set()

    async def aclose(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
            with suppress(asyncio.CancelledError):
                await self._serving

    def _wake(self) -> None:
        self._changed.set()
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        """Admit calls as long as any wait, with one timer for all."""
        while len(self._queue):
            # What changes while Redis is asked must not be missed.
            self._changed.clear()
            held, again_at = NOWHERE, NEVER
            while (waiter := self._queue.next(held)) is not None:
                try:
                    offer = await self._serve_next(waiter, held)
                except Exception as error:
                    # The others must not wait for ever.
                    log.exception("a waiting call met an unexpected error")
                    self._refuse(waiter, error)
                    offer = None
                if offer is None:
                    break
                held, again_at = held | waiter.ways, min(again_at, offer)
            else:
                if len(held) == len(self.deployments):
                    self._again_at = again_at
                await self._let_pass(again_at)
        self._again_at = NEVER

    async def _serve_next(self, waiter: Waiter, held: Ways) -> float | None:
        """Admit the call whose turn it is, or refuse it, and return None; else return the time at
        which there is room for it."""
        if waiter.leave.done():
            self._queue.remove(waiter)
            return None
        offer = await self._offer(waiter, held)
        if isinstance(offer, Ticket):
            self._grant(waiter, offer)
            self._again_at = NEVER
            return None
        if waiter.deadline < offer < NEVER and held.isdisjoint(waiter.ways):
            self._refuse(waiter, self._refusal(waiter, offer))
            return None
        return offer

    async def _let_pass(self, until: float) -> None:
        """Let time pass, or refuse the call that has none left."""
        first = self._queue.earliest_deadline()
        if first is None:
            return
        if first.deadline <= clock.now():
            self._queue.remove(first)
            self._refuse(first, self._refusal(first, self._after_all(first)))
            return
        await self._sleep(min(until, first.deadline))

    async def _sleep(self, until: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(None if until == NEVER else until):
                await self._changed.wait()

    def _grant(self, waiter: Waiter, ticket: Ticket) -> None:
        if waiter.leave.done():
            self.give_back(ticket)
        else:
            self._queue.serve(waiter)
            waiter.leave.set_result(ticket)

    async def _offer(self, waiter: Waiter, held: Ways = NOWHERE) -> Ticket | float:
        """A ticket, or the time at which to look again, for deployments that are not `held` for
        other calls."""
        now, burst_s = clock.now(), BURST_S[waiter.lane]
        again_at = NEVER
        for each in self._by_preference(waiter, now):
            if each in held:
                continue
            offer = await each.admit(now, waiter.amounts[each], burst_s=burst_s)
            if isinstance(offer, Ticket):
                return offer
            again_at = min(again_at, offer)
        return again_at

    def _by_preference(self, waiter: Waiter, now: float) -> Iterable[Deployment]:
        """Deployments due for a probe come first: otherwise one that failed would never be found
        well again while another has room for all."""
        if len(waiter.amounts) == 1:
            return waiter.amounts
        return sorted(
            waiter.amounts,
            key=lambda each: (
                each.breaker.state(now) == "closed",
                each.priority,
                -each.attraction(now),
            ),
        )

    def _refuse_hopeless(self, waiter: Waiter) -> None:
        """Refuse a call at once when those before it take all the time that it has."""
        if self._through_at(waiter) > waiter.deadline:
            raise self._refusal(waiter, self._after_all(waiter))

    def _make_room(self, waiter: Waiter) -> None:
        """The caller with the most waiting calls loses the newest of them. Raises Overloaded when
        that is the caller of this call."""
        newest = self._queue.newest_of_longest()
        if newest is None or self._queue.waiting_for(waiter) + 1 >= self._queue.waiting_for(newest):
            raise self._overload(waiter)
        self._refuse(newest, self._overload(newest))

    def _after_all(self, waiter: Waiter) -> float:
        """About when all waiting calls are through. As long as the others' work lasts, a call that
        comes back finds as many before it again."""
        now, at = clock.now(), self._through_at(waiter, of_all=True)
        return now + (at - now) * (1 + GAPS)

    def _through_at(self, waiter: Waiter, *, of_all: bool = False) -> float:
        """About when a call that comes now is let through (`of_all`: and all that wait). All calls
        go at the pace of all deployments; those that may go only where this one may go, at the pace
        of these."""
        now, everywhere = clock.now(), frozenset(self.deployments)
        begins_at = self._again_at if now < self._again_at < NEVER else now
        return begins_at + max(
            self._lasts_s(self._queue.ahead(waiter, ways, of_all=of_all), ways, now)
            for ways in {everywhere, waiter.ways}
        )

    def _lasts_s(self, ahead: Amounts, ways: Ways, now: float) -> float:
        closed = [each for each in ways if each.breaker.state(now) == "closed"]
        rates = [each.per_second(now) for each in closed or ways]
        return max(
            (amount / sum(each[name] for each in rates) for name, amount in ahead.items()),
            default=0.0,
        )

    def _refuse(self, waiter: Waiter, error: Exception) -> None:
        self._queue.remove(waiter)
        if not waiter.leave.done():
            waiter.leave.set_exception(error)

    def _overload(self, waiter: Waiter) -> Overloaded:
        return Overloaded(
            "Too many calls wait for the provider's quota.",
            retry_after_s=self._retry_after_s(waiter, self._after_all(waiter)),
        )

    def _refusal(self, waiter: Waiter, at: float) -> ProviderError:
        now, retry_after_s = clock.now(), self._retry_after_s(waiter, at)
        if all(each.breaker.state(now) != "closed" for each in waiter.amounts):
            return ProviderPaused(
                "The last calls failed, and the next one is not due yet.",
                retry_after_s=retry_after_s,
            )
        return ProviderRateLimited("The quota leaves no room in time.", retry_after_s=retry_after_s)

    def _retry_after_s(self, waiter: Waiter, at: float) -> float:
        """A call that comes back then, and can wait as long again, needs at most half of that
        time."""
        now = clock.now()
        return max(SHORTEST_RETRY_AFTER_S, at - now - max(0.0, waiter.deadline - now) / 2)
