"""Builds running parts from settings, from the ground up; they are closed in reverse order."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from random import SystemRandom

from app.analytics import Costs, Qualities, Repricing
from app.erasing import Erasing
from app.evaluation import Evaluations, Labelled
from app.parts.background import begin
from app.parts.batches import build_batches
from app.parts.classification import build_classification, build_learned, build_teaching
from app.parts.ground import lay_ground, now
from app.parts.parts import Parts
from app.parts.telling import build_alerting, build_telling
from app.parts.traffic import build_traffic
from app.parts.work import build_queues
from app.retention import Retention
from app.reviews import Pictures, Reviews
from app.settings import Settings
from app.storage import (
    AuditRepository,
    CostRepository,
    ErasureRepository,
    EvaluationRepository,
    ExportRepository,
    RepricingRepository,
    RetentionRepository,
    ReviewChanges,
    ReviewRepository,
)


@asynccontextmanager
async def build_parts(
    settings: Settings, *, serving: bool = False, clock: Callable[[], datetime] = now
) -> AsyncIterator[Parts]:
    """Build and start all parts; at the end, drain and close them.

    `serving`: this process does the work in its database. Unless several processes share the work,
    it locks others out and settles what an earlier one left unfinished. Raises ConfigurationError.
    """
    async with AsyncExitStack() as stack:
        yield await _build(settings, stack, serving=serving, clock=clock)


async def _build(
    settings: Settings, stack: AsyncExitStack, *, serving: bool, clock: Callable[[], datetime]
) -> Parts:
    ground = await lay_ground(settings, stack, clock=clock, lock=serving and not settings.shared)
    traffic = await build_traffic(ground, stack)
    queues = await build_queues(ground, stack, serving=serving)
    learned = await build_learned(ground)
    classified = await build_classification(ground, traffic, learned, queues.pictures)
    teaching = await build_teaching(ground, learned, classified.intake)
    batches = build_batches(ground, traffic, learned, classified, queues.shards)
    telling = await build_telling(ground, queues.webhooks, serving=serving)

    async def drain() -> None:
        """Drain all at the same time, so that a shutdown waits for one timeout, not for three."""
        await asyncio.gather(
            *(
                each(seconds=settings.drain_timeout)
                for each in (
                    classified.running.drain,
                    batches.runner.stop,
                    telling.deliveries.stop,
                )
            )
        )

    stack.push_async_callback(drain)
    database, domains, results = ground.database, ground.domains, ground.results
    exports = ExportRepository(database, results)
    reviews, costs = ReviewRepository(database), CostRepository(database)
    evaluations, retention = EvaluationRepository(database), RetentionRepository(database)
    parts = Parts(
        settings=settings,
        health=ground.health,
        metrics=ground.metrics,
        tracing=ground.tracing,
        database=database,
        domains=domains,
        providers=ground.providers,
        books=traffic.books,
        dispatcher=traffic.dispatcher,
        board=traffic.board,
        idempotency=ground.idempotency,
        results=results,
        exports=exports,
        costs=Costs(costs, clock=ground.clock),
        tallies=ground.tallies,
        qualities=Qualities(ground.tallies, clock=ground.clock),
        evaluations=Evaluations(
            evaluations,
            Labelled(exports, batches.rows, domains),
            domains,
            ground.blobs,
            clock=ground.clock,
        ),
        repricing=Repricing(RepricingRepository(database), ground.models, settings),
        batches=batches.rows,
        receiving=batches.receiving,
        objects=ground.objects,
        targets=ground.targets,
        taking_in=batches.taking_in,
        estimator=batches.estimator,
        runner=batches.runner,
        calibrations=learned.calibrations,
        thresholds=learned.thresholds,
        examples=learned.examples,
        collecting=teaching.collecting,
        lessons=teaching.lessons,
        from_reviews=teaching.from_reviews,
        surenesses=learned.surenesses,
        classification=classified.service,
        running=classified.running,
        accepting=classified.accepting,
        once=classified.once,
        reviews=Reviews(
            reviews,
            ReviewChanges(database, ground.outbox),
            results,
            domains,
            ground.metrics,
            claim_s=settings.review.claim,
            clock=ground.clock,
            random=SystemRandom(),
        ),
        pictures=Pictures(reviews, ground.blobs, classified.intake, domains),
        retention=Retention(retention, ground.blobs, settings.retention, clock=ground.clock),
        alerting=build_alerting(
            ground, traffic.board, costs, telling.webhook_rows, learned.examples
        ),
        outbox=ground.outbox,
        webhooks=telling.webhooks,
        publisher=telling.publisher,
        deliveries=telling.deliveries,
        delivery_rows=telling.delivery_rows,
        audit=AuditRepository(database),
        erasing=Erasing(
            ErasureRepository(database),
            retention,
            results,
            evaluations,
            ground.blobs,
            ground.outbox,
            clock=clock,
        ),
    )
    stack.push_async_callback(parts.erasing.aclose)
    if serving:
        queues.start()
        await begin(parts, stack)
    return parts
