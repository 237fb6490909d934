"""Builds the way from a picture to a stored result, and what was learned from earlier ones."""

from dataclasses import dataclass

from app.calibration import LOOKED_EVERY_S, Calibrations, Surenesses, ThresholdFinder
from app.classification import (
    Accepting,
    Asking,
    Cascading,
    ClassificationService,
    Eliciting,
    Intake,
    Keeper,
    Once,
    Reviewing,
    Running,
    Savings,
    Showing,
    Standing,
    Storing,
)
from app.images import ImageReader
from app.parts.ground import Ground, build_egress
from app.parts.traffic import Traffic
from app.storage import (
    AcceptedRepository,
    AnswerRepository,
    CalibrationRepository,
    ExampleRepository,
    LabelledRepository,
    LessonRepository,
)
from app.storage.turns import Turns
from app.teaching import LOOKED_EVERY_S as LEARNED_EVERY_S
from app.teaching import Collecting, FromReviews, Lessons
from app.work import Work


@dataclass(frozen=True, slots=True)
class Learned:
    """What people said about earlier answers, and what is derived from it."""

    calibrations: Calibrations
    thresholds: ThresholdFinder
    surenesses: Surenesses
    standing: Standing
    examples: ExampleRepository
    showing: Showing
    lessons: LessonRepository


@dataclass(frozen=True, slots=True)
class Teaching:
    collecting: Collecting
    lessons: Lessons
    from_reviews: FromReviews


@dataclass(frozen=True, slots=True)
class Classification:
    intake: Intake
    running: Running
    savings: Savings
    storing: Storing
    service: ClassificationService
    accepting: Accepting
    once: Once


async def build_learned(ground: Ground) -> Learned:
    labelled = LabelledRepository(ground.database)
    calibrations = Calibrations(
        CalibrationRepository(ground.database),
        labelled,
        ground.domains,
        ground.metrics,
        turns=_turns(ground, "calibrations", LOOKED_EVERY_S),
        clock=ground.clock,
    )
    await calibrations.load()
    surenesses = Surenesses(labelled, calibrations, ground.domains, ground.providers)
    await surenesses.look()
    examples, lessons = ExampleRepository(ground.database), LessonRepository(ground.database)
    return Learned(
        calibrations=calibrations,
        thresholds=ThresholdFinder(labelled, calibrations, ground.domains),
        surenesses=surenesses,
        standing=Standing(calibrations, surenesses),
        examples=examples,
        showing=Showing(
            examples, lessons, ground.blobs, ground.workers, ground.providers, ground.taught
        ),
        lessons=lessons,
    )


async def build_classification(
    ground: Ground, traffic: Traffic, learned: Learned, pictures: Work
) -> Classification:
    """`pictures` is the queue through which other processes take what was accepted here."""
    settings, metrics = ground.settings, ground.metrics
    answers = await _load_answers(ground)
    intake = Intake(
        ImageReader(
            build_egress(settings),
            ground.workers,
            ground.blobs,
            ground.objects,
            max_bytes=settings.max_upload,
        ),
        ground.workers,
        ground.journal,
        answers,
        ground.providers,
        settings.quality,
        learned.standing,
        learned.showing,
    )
    running = Running(ground.results, metrics, shared=settings.shared)
    savings = Savings(traffic.books)
    storing = Storing(
        ground.results, traffic.ledger, answers, ground.tallies, traffic.books, metrics
    )
    service = ClassificationService(
        domains=ground.domains,
        providers=ground.providers,
        intake=intake,
        asking=Asking(
            Cascading(
                Eliciting(traffic.dispatcher, learned.showing), learned.standing, ground.providers
            ),
            joinable_s=settings.api.timeout / 2,
        ),
        savings=savings,
        calibrations=learned.calibrations,
        reviewing=Reviewing(intake, ground.blobs, random_share=settings.review.random_share),
        storing=storing,
        running=running,
        metrics=metrics,
        tracing=ground.tracing,
    )
    keeper = Keeper(
        AcceptedRepository(ground.database), ground.blobs, ground.results, clock=ground.clock
    )
    return Classification(
        intake=intake,
        running=running,
        savings=savings,
        storing=storing,
        service=service,
        accepting=Accepting(
            service,
            running,
            storing,
            ground.domains,
            intake,
            ground.results,
            keeper if ground.database.lasts else None,
            metrics,
            ground.tracing,
            pictures if settings.shared else None,
        ),
        once=Once(ground.idempotency, ground.results, running, patience_s=settings.api.timeout),
    )


async def build_teaching(ground: Ground, learned: Learned, intake: Intake) -> Teaching:
    collecting = Collecting(
        learned.examples, intake, ground.workers, ground.blobs, ground.providers, clock=ground.clock
    )
    lessons = Lessons(
        learned.lessons,
        learned.examples,
        collecting,
        ground.domains,
        ground.taught,
        ground.metrics,
        clock=ground.clock,
    )
    await lessons.load()
    from_reviews = FromReviews(
        learned.examples,
        collecting,
        lessons,
        ground.domains,
        ground.settings.teaching,
        turns=_turns(ground, "lessons", LEARNED_EVERY_S),
        clock=ground.clock,
    )
    return Teaching(collecting, lessons, from_reviews)


def _turns(ground: Ground, name: str, every_s: float) -> Turns:
    return Turns(ground.database, name, ground.process, every_s=every_s, clock=ground.clock)


async def _load_answers(ground: Ground) -> AnswerRepository:
    cache = ground.settings.cache
    answers = AnswerRepository(
        ground.database,
        ttl_s=cache.ttl,
        max_entries=cache.max_entries,
        clock=ground.clock,
        shared=ground.settings.shared,
    )
    if answers.enabled:
        await answers.load_models()
    return answers
