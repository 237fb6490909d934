"""Drains one webhook: sends what is due, as fast as its receiver accepts it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeVar

import structlog

from app.errors import StorageUnavailable, WebhookNotFound
from app.storage import DeliveryRepository, WebhookRepository
from app.storage.delivery_rows import Attempted, Due, Failing
from app.storage.patience import patiently, until_set
from app.storage.webhooks import WebhookRow
from app.telemetry.metrics import Metrics
from app.webhooks.endpoints import Receiver
from app.webhooks.lane import Lane
from app.webhooks.schedule import Schedule
from app.webhooks.sender import Sender, Sent

T = TypeVar("T")

log = structlog.stdlib.get_logger(__name__)

LASTS_S = 60.0
"""After that, it is the turn of other webhooks."""

PAGE = 50
"""Deliveries fetched at once."""

LOOKED_EVERY_S = 1.0
"""Interval at which a running drain looks for events of other processes."""


@dataclass(frozen=True, slots=True)
class Sending:
    """Shared by all drains.

    Attributes:
        disabled_after: time with nothing but failures after which a webhook is disabled.
        linger_s: how long a drain waits for more when everything is sent.
    """

    stored: DeliveryRepository
    webhooks: WebhookRepository
    sender: Sender
    schedule: Schedule
    metrics: Metrics
    disabled_after: timedelta
    clock: Callable[[], datetime]
    stopping: asyncio.Event
    linger_s: float


class Drain:
    """For one webhook. Only one runs across all processes, unless a process was wrongly taken for
    dead: then a delivery may be sent twice, but is counted once."""

    def __init__(self, receiver: Receiver, lane: Lane, sending: Sending) -> None:
        self._receiver = receiver
        self._id = receiver.row.id
        self._lane = lane
        self._sending = sending
        self._failing_since = receiver.row.failing_since
        # There may be many callback origins, each with few events.
        most_s = LOOKED_EVERY_S if receiver.is_callback else sending.linger_s
        self._linger_s = min(most_s, sending.linger_s)
        self._waiting: deque[Due] = deque()
        self._read_at = 0.0
        self._in_flight: set[str] = set()
        self._changed = asyncio.Event()
        self._more = True
        self._disabled = False
        self._outdated = False

    @property
    def row(self) -> WebhookRow:
        return self._receiver.row

    @property
    def has_more(self) -> bool:
        """Whether there are deliveries it has not read: new ones, or those for the webhook as
        changed."""
        return self._more or self._outdated

    def wake(self) -> None:
        """There are new deliveries, or it is time to stop."""
        self._more = True
        self._changed.set()

    async def run(self) -> None:
        """Until everything due is sent, for a minute at most."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + LASTS_S
        async with asyncio.TaskGroup() as group:
            while not self._is_over() and loop.time() < ends_at:
                self._changed.clear()
                await self._read()
                while self._waiting and self._lane.room():
                    delivery = self._waiting.popleft()
                    self._in_flight.add(delivery.id)
                    probe = await self._lane.turn()
                    group.create_task(self._deliver(delivery, probe=probe))
                if not await self._pause():
                    break
        if self._disabled:
            await self._sending.stored.miss_pending(self._id, self._sending.clock())

    def _is_over(self) -> bool:
        return self._sending.stopping.is_set() or self._disabled or self._outdated

    async def _read(self) -> None:
        """Reads what is due, unless that was done recently: deliveries may have been deleted, or
        the webhook changed. If the database does not answer, it is asked again in a second."""
        now = asyncio.get_running_loop().time()
        if now < self._read_at + LOOKED_EVERY_S and (self._waiting or not self._more):
            return
        self._more, self._read_at = False, now
        self._waiting.clear()
        # Taken before the query: a delivery under way may be read as pending, and be recorded as
        # delivered before the query returns.
        under_way = frozenset(self._in_flight)
        limit = PAGE + len(under_way)
        try:
            self._outdated = await self._is_changed()
            if self._outdated:
                return
            found = await self._sending.stored.due(self._id, self._sending.clock(), limit=limit)
        except StorageUnavailable:
            return
        self._more = self._more or len(found) == limit
        self._waiting.extend(each for each in found if each.id not in under_way)

    async def _is_changed(self) -> bool:
        """A changed webhook is left to a new drain. Raises StorageUnavailable."""
        if self._receiver.is_callback:
            return False  # a callback can't be changed
        known = self._receiver.row
        try:
            row = await self._sending.webhooks.get(self._id, caller=None)
        except WebhookNotFound:
            return True
        return (row.changed_at, row.secrets) != (known.changed_at, known.secrets)

    async def _pause(self) -> bool:
        """Waits until there is something to do; False: nothing is left, or not for a while."""
        if self._waiting:
            held_s = self._lane.free_in_s()
            if held_s > min(self._linger_s, LOOKED_EVERY_S) and not self._in_flight:
                return False
            await self._woken(held_s or LASTS_S)
            return True
        if self._more:
            return True
        if self._in_flight:
            await self._woken(LOOKED_EVERY_S)
            return True
        await self._woken(await self._idle_s())
        if not self._more:
            self._read_at = -LOOKED_EVERY_S
            await self._read()
        return self._more or bool(self._waiting)

    async def _idle_s(self) -> float:
        """Until a later delivery is due, or it is time to make room for others."""
        due = None
        with suppress(StorageUnavailable):
            due = await self._sending.stored.next_due(self._id)
        if due is None:
            return self._linger_s
        return min(self._linger_s, max(0.0, (due - self._sending.clock()).total_seconds()))

    async def _woken(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _deliver(self, delivery: Due, *, probe: bool) -> None:
        sent = None
        try:
            if delivery.body is None:
                await self._stored(
                    lambda: self._sending.stored.give_up(delivery, self._sending.clock())
                )
                return
            sent = await self._sending.sender.send(self._receiver, delivery, delivery.body)
            self._sending.metrics.webhook_attempt(sent.outcome)
            await self._settle(delivery, sent)
        finally:
            self._lane.ended(
                probe=probe,
                failed=None if sent is None else sent.outcome != "delivered",
                overloaded=sent is not None and sent.outcome == "overloaded",
                retry_after_s=None if sent is None else sent.retry_after_s,
            )
            self._in_flight.discard(delivery.id)
            self._changed.set()

    async def _settle(self, delivery: Due, sent: Sent) -> None:
        """Records the attempt, and what follows for the webhook."""
        now = self._sending.clock()
        attempted = settled(
            delivery,
            sent,
            now,
            self._sending.schedule,
            once=delivery.event_type == "ping" or (self._receiver.is_callback and _gone(sent)),
        )
        before = self._failing_since
        if sent.outcome == "delivered":
            self._failing_since = None
            self._sending.metrics.webhook_delivered((now - delivery.created_at).total_seconds())
        else:
            self._failing_since = before or sent.attempt.at
        failing = None
        if self._failing_since != before and not self._receiver.is_callback:
            failing = Failing(self._failing_since, self._receiver.row.changed_at)
        await self._stored(lambda: self._sending.stored.record(attempted, failing))
        if not self._receiver.is_callback and sent.outcome != "delivered":
            await self._disable_when_hopeless(sent, now)

    async def _stored(self, write: Callable[[], Awaitable[T]]) -> T:
        """Retries while the database is locked or full: otherwise the delivery would be sent
        again."""
        return await patiently(write, until_set(self._sending.stopping))

    async def _disable_when_hopeless(self, sent: Sent, now: datetime) -> None:
        since, days = self._failing_since, self._sending.disabled_after
        kind: Literal["failing", "gone"]
        if _gone(sent):
            reason, kind = "The receiver answered 410 Gone.", "gone"
        elif since is not None and now - since >= days:
            reason, kind = f"Nothing but failures for {days / timedelta(days=1):g} days.", "failing"
        else:
            return
        row = self._receiver.row
        if await self._stored(lambda: self._sending.webhooks.disable(row, reason, now)):
            self._disabled = True
            self._sending.metrics.webhook_disabled(kind)
            log.warning("a webhook is disabled", webhook_id=self._id, reason=reason)


def settled(
    delivery: Due, sent: Sent, now: datetime, schedule: Schedule, *, once: bool
) -> Attempted:
    """The delivery's state after an attempt; `once`: it is not retried."""
    if sent.outcome == "delivered":
        return Attempted(delivery, sent.attempt, "delivered", now)
    again = None
    if not once:
        again = schedule.next(delivery.tries + 1, now, retry_after_s=sent.retry_after_s)
    if again is None:
        return Attempted(delivery, sent.attempt, "failed", now)
    return Attempted(delivery, sent.attempt, "pending", again)


def _gone(sent: Sent) -> bool:
    return sent.outcome == "gone"
