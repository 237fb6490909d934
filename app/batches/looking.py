"""Looks at a few pictures of a batch, as is done before a provider is asked."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from app.batches.reading import source_of
from app.batches.route import Route
from app.batches.runner import IN_FLIGHT_HERE
from app.classification import Intake, Question, Standing, Stopwatch
from app.domains import Domain
from app.errors import (
    ImageHarmful,
    ImageRejected,
    ImageTooLarge,
    ImageUnreadable,
    ProviderError,
    UploadTooLarge,
    UrlRefused,
    UrlTooLarge,
    UrlUnreachable,
)
from app.images import PreparedImage, Upload
from app.providers.base import Provider, ProviderAnswer, Quoting
from app.providers.image_tokens import ImageTokens
from app.storage import KeptAnswer
from app.telemetry.metrics import Metrics

UNUSABLE = (
    *(ImageHarmful, ImageRejected, ImageTooLarge, ImageUnreadable, UploadTooLarge),
    *(UrlRefused, UrlTooLarge, UrlUnreachable),
)
"""Errors that occur before any provider is asked, and cost nothing."""

ANSWERED_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Looked:
    """
    Attributes:
        fate: `asked` costs something. The others cost nothing: an answer is `kept`, the picture is
            `unreadable`, or an earlier provider of the cascade has `settled` it.
        image_tokens: None where they are not known.
        reserved: tokens that a call takes of the quota when it arrives, for each deployment.
    """

    fate: Literal["asked", "kept", "settled", "unreadable"]
    image_tokens: ImageTokens | None = None
    reserved: tuple[int, ...] = ()


class Looking:
    """Looks at pictures of one batch, and holds each no longer than that takes."""

    def __init__(
        self,
        intake: Intake,
        metrics: Metrics,
        domain: Domain,
        route: Route,
        standing: Standing,
    ) -> None:
        self._intake = intake
        self._metrics = metrics
        self._domain = domain
        self._route = route
        self._deployments = [each.provider for each in route.deployments]
        self._standing = standing
        self._room = asyncio.Semaphore(IN_FLIGHT_HERE)
        self._embedded = self._deployments[0].capabilities().embedded
        self._answers = True
        self._seconds = 0.0
        self._timed = 0
        self.found: dict[int, Looked] = {}

    @property
    def picture_s(self) -> float | None:
        """Seconds per picture, answer included, with several in progress as in a batch. None unless
        a model on this machine is asked, at least first, and answered all of them."""
        here = self._embedded or self._route.before
        if not here or not self._answers or not self._timed:
            return None
        return self._seconds / self._timed

    async def at(self, pictures: Mapping[int, str | bytes]) -> None:
        """Look at all of them, by their ranks. Raises Overloaded, StorageUnavailable."""
        left = dict(pictures)
        if left and not self.found:
            # The first picture loads what the others find loaded, and is not timed.
            first = next(iter(left))
            await self._one(first, left.pop(first))
        began = time.monotonic()
        await asyncio.gather(*(self._one(*each) for each in left.items()))
        self._seconds += time.monotonic() - began
        self._timed += len(left)

    async def _one(self, rank: int, picture: str | bytes) -> None:
        async with self._room:
            self.found[rank] = await self._look(picture)

    async def _look(self, picture: str | bytes) -> Looked:
        source = source_of(picture) if isinstance(picture, str) else Upload(picture)
        question = Question(source, self._domain.name, caller="")
        try:
            taken = await self._intake.take(
                question, self._domain, self._route.names, Stopwatch(self._metrics)
            )
        except UNUSABLE:
            return Looked("unreadable")
        if isinstance(taken.basis, KeptAnswer):
            return Looked("kept")
        for embedded in self._route.before:
            answer = await self._answer(embedded, taken.basis)
            if answer and await self._standing.stands(answer, embedded.name, self._domain):
                return Looked("settled")
        if self._embedded:
            await self._answer(self._deployments[0], taken.basis)
        return self._asked(taken.basis)

    def _asked(self, image: PreparedImage) -> Looked:
        first = self._deployments[0]
        return Looked(
            "asked",
            first.image_tokens(image, self._domain) if isinstance(first, Quoting) else None,
            tuple(each.estimate_tokens(image, self._domain) for each in self._deployments),
        )

    async def _answer(self, embedded: Provider, image: PreparedImage) -> ProviderAnswer | None:
        """Answer on this machine, to see how long that takes and how sure the answer is."""
        answer = None
        with suppress(ProviderError):
            answer = await embedded.classify(image, self._domain, timeout=ANSWERED_WITHIN_S)
        self._answers &= answer is not None
        return answer
