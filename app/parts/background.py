"""What a serving process does periodically, besides answering requests."""

import signal
from contextlib import AsyncExitStack
from functools import partial

import structlog

from app.batches import RECEIVED_WITHIN_S
from app.calibration import LOOKED_EVERY_S, SURE_AFTER_S
from app.errors import DatabaseInUse, Interrupted
from app.parts.parts import Parts
from app.recurring import Recurring
from app.result import Failure
from app.storage import Database
from app.storage.audit import SERVICE
from app.teaching import LOOKED_EVERY_S as LEARNED_EVERY_S
from app.telemetry.event_loop import LagWatch

log = structlog.stdlib.get_logger(__name__)

LOOKED_THROUGH_EVERY_S = 60.0
"""Seconds between searches for work whose task was lost by Redis or with a process."""

CHECKED_EVERY_S = 15.0
"""Seconds between the checks that /health reports, so that metrics have them without a request."""

RETENTION_AFTER_S, RETENTION_EVERY_S, FITTED_AFTER_S = 60.0, 3_600.0, 60.0
"""The first run of each waits, because a process that starts has other things to do."""

ROLLED_EVERY_S = 1.0
FORGOTTEN_EVERY_S = 3_600.0

DOMAINS_EVERY_S = 2.0
FOLLOWED_EVERY_S = 0.5
"""Seconds until a change made by one process takes effect in all: to domains, webhooks and
calibrations, or to a batch."""

LOCK_KEPT_EVERY_S = 1.0
"""Seconds between checks of the lock on a PostgreSQL that this process has to itself: if the lock
is lost, another process that starts meanwhile takes it."""

HELD_AGAIN_EVERY_S = 5.0
"""Seconds between renewals of the Idempotency-Keys that requests in progress hold."""


async def begin(parts: Parts, stack: AsyncExitStack) -> None:
    """Resume unfinished work, and look periodically for work that other processes left."""
    await _note_configured(parts)
    stack.push_async_callback(parts.alerting.aclose)
    recurring = Recurring()
    stack.push_async_callback(recurring.aclose)
    if parts.settings.shared:
        # Other processes may still be receiving uploads: only those too old were abandoned.
        left_behind = partial(parts.receiving.forget_unreceived, older_than_s=RECEIVED_WITHIN_S)
        recurring.every(LOOKED_THROUGH_EVERY_S, "left behind", left_behind)
    else:
        recurring.every(LOCK_KEPT_EVERY_S, "lock", partial(_keep_lock, parts.database))
        await parts.receiving.forget_unreceived(older_than_s=0)
        await parts.idempotency.release_unanswered()
        if count := await parts.accepting.resume():
            log.info("accepted pictures of an earlier process are gone on with", count=count)
        if count := await parts.results.fail_interrupted(Failure.of(Interrupted())):
            log.warning("accepted pictures were cut off by a crash and are failed now", count=count)
    recurring.every(LOOKED_THROUGH_EVERY_S, "accepted", parts.accepting.look)
    recurring.every(HELD_AGAIN_EVERY_S, "keys", parts.idempotency.renew)
    # Commands and other processes change these.
    recurring.every(DOMAINS_EVERY_S, "domains", parts.domains.load_stored)
    recurring.every(DOMAINS_EVERY_S, "webhooks", parts.outbox.load)
    recurring.every(DOMAINS_EVERY_S, "calibrations", parts.calibrations.load)
    recurring.every(DOMAINS_EVERY_S, "lessons", parts.lessons.load)
    recurring.every(SURE_AFTER_S, "cascades", parts.surenesses.look)
    if parts.settings.calibration.automatic:
        recurring.every(
            LOOKED_EVERY_S, "fits", parts.calibrations.look, first_after_s=FITTED_AFTER_S
        )
    if parts.settings.teaching.automatic:
        recurring.every(
            LEARNED_EVERY_S, "examples", parts.from_reviews.look, first_after_s=FITTED_AFTER_S
        )
    recurring.every(ROLLED_EVERY_S, "tallies", parts.tallies.roll)
    recurring.every(FORGOTTEN_EVERY_S, "old sums", parts.tallies.forget)
    lag = LagWatch(parts.metrics)
    lag.start()
    stack.callback(lag.stop)
    recurring.every(CHECKED_EVERY_S, "checks", parts.health.check)
    recurring.every(LOOKED_THROUGH_EVERY_S, "calls", parts.books.recover)
    recurring.every(LOOKED_THROUGH_EVERY_S, "sums", parts.books.sum_of_the_dead)
    recurring.every(LOOKED_THROUGH_EVERY_S, "erasures", parts.erasing.look)
    recurring.every(LOOKED_THROUGH_EVERY_S, "reviews", parts.reviews.count_waiting)
    recurring.every(LOOKED_THROUGH_EVERY_S, "batches", parts.runner.look)
    recurring.every(LOOKED_THROUGH_EVERY_S, "deliveries", parts.deliveries.look)
    alerts_every_s = parts.settings.monitoring.alerts_every
    recurring.every(alerts_every_s, "alerts", parts.alerting.look, first_after_s=alerts_every_s)
    recurring.every(DOMAINS_EVERY_S, "batches of others", parts.runner.notice)
    recurring.every(FOLLOWED_EVERY_S, "batches at work", parts.runner.follow)
    recurring.every(
        RETENTION_EVERY_S,
        "retention",
        parts.retention.keep_to_policy,
        first_after_s=RETENTION_AFTER_S,
    )


async def _note_configured(parts: Parts) -> None:
    """Record what was changed in the configuration since the last start."""
    budgets = {each.name: each.model_dump(mode="json") for each in parts.settings.budgets}
    note = partial(parts.audit.add_when_new, SERVICE)
    await note("keys.changed", {"": keys} if (keys := parts.settings.key_fingerprints) else {})
    await note("budget.configured", budgets)
    await note("domain.configured", parts.domains.configured)


async def _keep_lock(database: Database) -> None:
    try:
        await database.keep_lock()
    except DatabaseInUse:
        # The other process took this one for dead, and continues its work.
        log.critical("the database is another process's now: this one ends")
        signal.raise_signal(signal.SIGTERM)
