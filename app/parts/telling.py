"""Builds the notifications: webhooks for callers, and alerts for people on duty."""

import time
from dataclasses import dataclass

from app.alerts import Alerting, Rules, Sources, open_targets
from app.egress import Allowance
from app.parts.ground import Ground, build_egress
from app.storage import (
    AlertRepository,
    CostRepository,
    DeliveryRepository,
    ExampleRepository,
    PublishedRepository,
    WebhookRepository,
)
from app.traffic import Board
from app.webhooks import (
    Deliveries,
    Publisher,
    Sender,
    Webhooks,
    configured_callback_secret,
    configured_vault,
)
from app.work import Work
from app.yaml_file import config_dir

SHARED_LINGER_S, LINGER_S = 1.0, 10.0
"""Seconds that a task waits for more to send to its webhook before it ends: starting a new task
costs more than many deliveries. Until it ends it does not notice events of other processes."""


@dataclass(frozen=True, slots=True)
class Telling:
    webhooks: Webhooks
    publisher: Publisher
    deliveries: Deliveries
    webhook_rows: WebhookRepository
    delivery_rows: DeliveryRepository


async def build_telling(ground: Ground, queue: Work, *, serving: bool) -> Telling:
    settings, database, outbox = ground.settings, ground.database, ground.outbox
    webhook_rows = WebhookRepository(database, outbox)
    delivery_rows = DeliveryRepository(database, outbox)
    webhooks = Webhooks(
        database,
        webhook_rows,
        outbox,
        await configured_vault(settings),
        ground.domains,
        Allowance.parse(settings.egress_allow),
        callback_secret=configured_callback_secret(settings),
        clock=ground.clock,
    )
    timeout_s = settings.webhooks.timeout
    deliveries = Deliveries(
        outbox,
        delivery_rows,
        webhook_rows,
        webhooks,
        Sender(
            build_egress(settings, silence_s=timeout_s, within_s=timeout_s),
            ground.tracing,
            clock=ground.clock,
        ),
        queue,
        ground.metrics,
        settings.webhooks,
        kicks=serving or settings.shared,
        clock=ground.clock,
        monotonic=time.monotonic,
        linger_s=SHARED_LINGER_S if settings.shared else LINGER_S,
    )
    published = PublishedRepository(database, outbox, clock=ground.clock)
    publisher = Publisher(outbox.types, published, ground.domains)
    return Telling(webhooks, publisher, deliveries, webhook_rows, delivery_rows)


def build_alerting(
    ground: Ground,
    board: Board,
    costs: CostRepository,
    webhooks: WebhookRepository,
    examples: ExampleRepository,
) -> Alerting:
    monitoring = ground.settings.monitoring
    return Alerting(
        Rules(config_dir() / "alerts.yaml", monitoring.alert_thresholds),
        Sources(ground.tallies, costs, board, webhooks, examples),
        AlertRepository(ground.database, ground.outbox),
        open_targets(monitoring.notify),
        ground.metrics,
        process=ground.process,
        every_s=monitoring.alerts_every,
        clock=ground.clock,
    )
