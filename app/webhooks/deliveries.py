"""Scheduling of deliveries: each webhook with something due is drained, even after its process
died."""

import asyncio
from collections.abc import Callable, Iterable
from contextvars import Context
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

import structlog

from app.errors import (
    ConfigurationError,
    EventForgotten,
    StorageUnavailable,
    WebhookNotFound,
)
from app.settings_groups import WebhookSettings
from app.storage import DeliveryRepository, Outbox, WebhookRepository
from app.storage.audit import By
from app.storage.delivery_rows import DeliveryRow
from app.telemetry.metrics import Metrics
from app.webhooks.drain import Drain, Sending, settled
from app.webhooks.endpoints import Receiver, Webhooks
from app.webhooks.lane import Lane
from app.webhooks.schedule import Schedule
from app.webhooks.sender import Sender
from app.work import STOPPING_S, Work

log = structlog.stdlib.get_logger(__name__)

DRAIN = "webhook"

AT_ONCE = 1_000
"""Webhooks drained at a time by one process: mostly they wait for their receivers."""

GATHERED_S = 0.05
"""Delay between an event and the kick of the task that sends it: events that arrive together share
a task, and a task that is just ending has ended."""

AHEAD_S = 60.0
"""A task waits for deliveries due this soon; later ones are found when they are due."""

UNREADABLE_S = 60.0
"""Until the next attempt to read a secret whose key is missing."""

CALLBACKS_AT_ONCE, CROWDED_S = 100, 2.0
"""Hosts of one caller's callbacks that are sent to at a time, and seconds until the next host is
tried again: a caller may name thousands that never answer."""

HELD_S = 1.0
"""While a lane is held for longer than this, new events do not kick a task for it."""

TWIN_S = 1.0

UNSENT_AFTER_S = 30.0
"""A test that was not even attempted by then is sent by a drain."""


class Deliveries:
    """There is one task for each webhook that has something due; the deliveries are in the
    database."""

    def __init__(
        self,
        outbox: Outbox,
        stored: DeliveryRepository,
        rows: WebhookRepository,
        webhooks: Webhooks,
        sender: Sender,
        work: Work,
        metrics: Metrics,
        settings: WebhookSettings,
        *,
        kicks: bool,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        linger_s: float,
    ) -> None:
        """`kicks` False: other processes find and send the events of this one. `linger_s`: how long
        a drain waits for more when everything is sent."""
        self._stored = stored
        self._webhooks = webhooks
        self._work = work
        self._metrics = metrics
        self._settings = settings
        self._kicks = kicks
        self._clock = clock
        self._monotonic = monotonic
        self._schedule = Schedule(
            settings.schedule,
            jitter=settings.jitter,
            longest_retry_after_s=settings.max_retry_after,
        )
        self._sender = sender
        self._stopping = asyncio.Event()
        self._drains: dict[str, tuple[Drain, asyncio.Task[Any]]] = {}
        self._lanes: dict[str, tuple[datetime | None, Lane]] = {}
        self._to_kick: set[str] = set()
        self._kicking: asyncio.Task[None] | None = None
        self._sending = Sending(
            stored,
            rows,
            sender,
            self._schedule,
            metrics,
            timedelta(days=settings.disable_after),
            clock,
            self._stopping,
            linger_s,
        )
        work.register(DRAIN, self.drain)
        outbox.on_told(self.wake)

    def wake(self, webhook_ids: Iterable[str]) -> None:
        """These webhooks have new deliveries."""
        for each in webhook_ids:
            if each in self._drains:
                self._drains[each][0].wake()
            elif self._kicks and not self._is_held(each):
                self._to_kick.add(each)
        if self._to_kick and self._kicking is None:
            # In an empty context: the task serves more than the request that happens to start it.
            self._kicking = asyncio.create_task(self._kick_soon(), context=Context())

    async def look(self) -> None:
        """Kick tasks for everything due by now: some of it may have lost its task."""
        waiting = await self._stored.waiting()
        soon = self._clock() + timedelta(seconds=AHEAD_S)
        for each in waiting:
            if each.due_at <= soon and each.webhook_id not in self._drains:
                await self._work.kick_again(DRAIN, each.webhook_id)
        self._metrics.webhooks_pending(sum(each.count for each in waiting))

    async def drain(self, webhook_id: str) -> float | None:
        """Send what is due; returns the seconds until there is more, None: not soon."""
        if self._stopping.is_set():
            return STOPPING_S
        if webhook_id in self._drains:
            return TWIN_S
        try:
            receiver = await self._webhooks.find(webhook_id)
            if receiver.row.status == "disabled":
                await self._stored.miss_pending(webhook_id, self._clock())
                return None
            return await self._drain(receiver)
        except WebhookNotFound:
            await self._stored.delete_of(webhook_id)  # deleted just as the event was published
            return None
        except ConfigurationError as error:
            log.error("a webhook can't be sent to", webhook_id=webhook_id, reason=str(error))  # noqa: TRY400
            return UNREADABLE_S

    async def _drain(self, receiver: Receiver) -> float | None:
        webhook_id = receiver.row.id
        if receiver.is_callback and self._callbacks_of(receiver.row.caller) >= CALLBACKS_AT_ONCE:
            return CROWDED_S
        lane = self._lane(receiver)
        drain = Drain(receiver, lane, self._sending)
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._drains[webhook_id] = drain, task
        try:
            await drain.run()
            due = await self._stored.next_due(webhook_id)
        finally:
            del self._drains[webhook_id]
        if due is None and not drain.has_more:
            return None
        due_s = 0.0 if drain.has_more or due is None else (due - self._clock()).total_seconds()
        wait_s = max(due_s, lane.free_in_s(), 0.0)
        return wait_s if wait_s <= AHEAD_S else None

    def _callbacks_of(self, caller: str) -> int:
        rows = (drain.row for drain, _ in self._drains.values())
        return sum(each.kind == "callback" and each.caller == caller for each in rows)

    async def test(self, webhook_id: str, *, caller: str | None) -> DeliveryRow:
        """Send a `ping` now, once, even to a disabled webhook. Raises WebhookNotFound,
        ConfigurationError."""
        endpoint = await self._webhooks.get(webhook_id, caller=caller)
        receiver = await self._webhooks.receiver(endpoint.row)
        due_at = self._clock() + timedelta(seconds=UNSENT_AFTER_S)
        delivery = await self._stored.add_ping(webhook_id, endpoint.row.caller, due_at)
        if delivery.body is None:
            raise EventForgotten("The test was forgotten before it was sent.")
        sent = await self._sender.send(receiver, delivery, delivery.body)
        self._metrics.webhook_attempt(sent.outcome)
        attempted = settled(delivery, sent, self._clock(), self._schedule, once=True)
        await self._stored.record(attempted)
        return await self._stored.get(delivery.id, caller=caller)

    async def redeliver(self, delivery_id: str, *, caller: str | None) -> DeliveryRow:
        """Send it again, from the start of the schedule. Raises DeliveryNotFound, WebhookDisabled,
        EventForgotten."""
        delivery = await self._stored.get(delivery_id, caller=caller)
        await self._webhooks.check_enabled(delivery.webhook_id)
        await self._stored.redeliver(delivery_id, self._clock())
        self._lanes.pop(delivery.webhook_id, None)  # sent by hand, it is tried at once
        self.wake([delivery.webhook_id])
        return replace(delivery, state="pending", due_at=self._clock(), ended_at=None)

    async def replay(
        self,
        webhook_id: str,
        *,
        since: datetime | None,
        until: datetime | None,
        delivered: bool,
        caller: str | None,
    ) -> int:
        """Send again everything that failed or was missed, with `delivered` also what succeeded;
        returns how many. Raises WebhookNotFound, WebhookDisabled."""
        await self._webhooks.get(webhook_id, caller=caller)
        await self._webhooks.check_enabled(webhook_id)
        now = self._clock()
        states = ("failed", "missed", *(("delivered",) if delivered else ()))
        count = await self._stored.replay(webhook_id, states, since, until or now, now)
        self._lanes.pop(webhook_id, None)
        self.wake([webhook_id])
        return count

    async def delete(self, webhook_id: str, *, caller: str | None, by: By) -> None:
        """Delete a webhook and all its deliveries. Raises WebhookNotFound."""
        await self._webhooks.delete(webhook_id, caller=caller, by=by)
        await self._stored.delete_of(webhook_id)

    async def stop(self, *, seconds: float) -> None:
        """Start no more attempts, and let those under way finish; those that don't in time are made
        again."""
        self._stopping.set()
        if self._kicking is not None:
            self._kicking.cancel()
        tasks = []
        for drain, task in self._drains.values():
            drain.wake()
            tasks.append(task)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()

    async def _kick_soon(self) -> None:
        await asyncio.sleep(GATHERED_S)
        ids, self._to_kick = self._to_kick, set()
        self._kicking = None
        for each in ids:
            try:
                await self._work.kick(DRAIN, each)
            except StorageUnavailable:
                log.warning("a webhook is sent to later", webhook_id=each)

    def _is_held(self, webhook_id: str) -> bool:
        """Because its receiver failed: a task is scheduled for the end of the hold, or `look` finds
        it then."""
        _, lane = self._lanes.get(webhook_id, (None, None))
        return lane is not None and lane.free_in_s() > HELD_S

    def _lane(self, receiver: Receiver) -> Lane:
        """Keeps the receiver's recent state; a webhook that was changed starts anew."""
        row = receiver.row
        version = None if receiver.is_callback else row.changed_at
        known, lane = self._lanes.get(row.id, (None, None))
        if lane is None or known != version:
            if len(self._lanes) >= 10 * AT_ONCE:
                self._lanes.clear()
            lane = Lane(
                at_once=self._settings.at_once,
                per_second=row.rate_limit,
                longest_hold_s=self._settings.max_retry_after,
                clock=self._monotonic,
            )
            self._lanes[row.id] = version, lane
        return lane
