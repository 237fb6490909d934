"""Classifies every labelled picture, and judges the answers."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from itertools import islice
from pathlib import Path

from app.classification import ClassificationService, Question
from app.errors import ClassifierError
from app.evaluation.judged import Judged
from app.exports import values_of
from app.images import Upload
from app.labelled_folder import as_text

CALLER = "evaluation"


async def judge_all(
    service: ClassificationService,
    pictures: Sequence[tuple[Path, str]],
    *,
    domain: str,
    provider: str | None,
    at_once: int,
) -> AsyncIterator[Judged]:
    """Yields judgements as they complete, with `at_once` pictures in flight. Answers are stored
    like any others, with their labels."""
    waiting = iter(pictures)

    async def one(path: Path, expected: str) -> Judged:
        began, sha256 = time.perf_counter(), None
        name = as_text(path)
        try:
            data = await asyncio.to_thread(path.read_bytes)
            sha256 = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
            question = Question(
                source=Upload(data),
                domain=domain,
                caller=CALLER,
                provider=provider,
                expected=expected,
            )
            result = await service.classify(question)
        except (ClassifierError, OSError) as error:
            return Judged(
                name,
                expected,
                predicted=None,
                confidence=0.0,
                seconds=time.perf_counter() - began,
                error=str(error),
                status="failed",
                sha256=sha256,
                result_id=getattr(error, "result_id", None),
            )
        seconds = time.perf_counter() - began
        return Judged.of(values_of(None, result), name=name, seconds=seconds)

    running = {asyncio.create_task(one(*each)) for each in islice(waiting, at_once)}
    while running:
        done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            yield task.result()
            if (following := next(waiting, None)) is not None:
                running.add(asyncio.create_task(one(*following)))
