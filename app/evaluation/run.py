"""Ask about every labelled picture, and judge the answers."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from itertools import islice
from pathlib import Path

from app.classification import ClassificationService, Question
from app.errors import ClassifierError
from app.evaluation.report import NONE, Judged
from app.images import Upload

CALLER = "evaluation"


async def judge_all(
    service: ClassificationService,
    pictures: Sequence[tuple[Path, str]],
    *,
    domain: str,
    provider: str | None,
    at_once: int,
) -> AsyncIterator[Judged]:
    """Judgements as they come, `at_once` pictures under way. Answers are stored like any other."""
    waiting = iter(pictures)

    async def one(path: Path, expected: str) -> Judged:
        began = time.perf_counter()
        try:
            question = Question(
                source=Upload(await asyncio.to_thread(path.read_bytes)),
                domain=domain,
                caller=CALLER,
                provider=provider,
                expected=None if expected == NONE else expected,
            )
            result = await service.classify(question)
        except (ClassifierError, OSError) as error:
            seconds = time.perf_counter() - began
            return Judged(str(path), expected, None, 0.0, seconds, error=str(error))
        return Judged(
            str(path),
            expected,
            result.predicted_class or NONE,
            result.confidence or 0.0,
            time.perf_counter() - began,
        )

    running = {asyncio.create_task(one(*each)) for each in islice(waiting, at_once)}
    while running:
        done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            yield task.result()
            if (following := next(waiting, None)) is not None:
                running.add(asyncio.create_task(one(*following)))
