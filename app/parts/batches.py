"""Builds the parts that process many pictures at a time."""

from dataclasses import dataclass

from app.batches import Affording, BatchRunner, Estimator, Reading, TakingIn
from app.parts.classification import Classification, Learned
from app.parts.ground import Ground
from app.parts.traffic import Traffic
from app.storage import BatchRepository, Committed, ReceivingRepository, ShardRepository
from app.work import Work


@dataclass(frozen=True, slots=True)
class Batches:
    rows: BatchRepository
    receiving: ReceivingRepository
    taking_in: TakingIn
    estimator: Estimator
    runner: BatchRunner


def build_batches(
    ground: Ground, traffic: Traffic, learned: Learned, classified: Classification, shards: Work
) -> Batches:
    settings, database = ground.settings, ground.database
    committed = None if settings.shared else Committed()
    rows = BatchRepository(database, ground.outbox, committed, clock=ground.clock)
    receiving = ReceivingRepository(database, clock=ground.clock)
    reading = Reading(settings.batch, ground.objects.allowed)
    affording = Affording(
        traffic.books.budgets,
        traffic.dispatcher,
        ground.providers,
        ground.results,
        receiving,
        classified.intake,
        learned.showing,
    )
    return Batches(
        rows=rows,
        receiving=receiving,
        taking_in=TakingIn(
            receiving,
            rows,
            ground.idempotency,
            ground.blobs,
            ground.domains,
            reading,
            affording,
            clock=ground.clock,
        ),
        estimator=Estimator(
            ground.domains,
            classified.intake,
            ground.metrics,
            reading,
            affording,
            learned.standing,
        ),
        runner=BatchRunner(
            rows,
            ShardRepository(
                database,
                ground.outbox,
                committed,
                classified.savings.of_duplicate,
                clock=ground.clock,
            ),
            classified.service,
            classified.storing,
            shards,
            ground.metrics,
            in_flight=settings.batch.in_flight,
            clock=ground.clock,
        ),
    )
