"""A simulated model, called as the service would call it, next to its true opinion."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx2
import openai
from PIL import Image

from app.budget import Payer
from app.classification.eliciting import Eliciting
from app.domains import Domain
from app.images import ImageWorkers, PreparedImage, prepare
from app.providers.base import ProviderAnswer
from app.providers.chat import ChatModel
from app.providers.profiles import ModelTable
from app.providers.question import NONE_OF_THESE
from app.settings import Settings
from app.simulator import DeploymentConfig, Latency, SimulatorConfig, create_simulator
from app.simulator.answers import DeclaredTruth
from app.telemetry.health import Health
from app.telemetry.metrics import Metrics
from app.traffic import Case, Dispatcher
from tests.fakes import Registry, unkept_books
from tests.pictures import encoded
from tests.service import ROOT

NAME = "azure_openai"
PER_MINUTE = 10**6


class Seeing:
    """
    Attributes:
        provider: for individual calls.
        calls: the number of calls made so far.
    """

    def __init__(self, provider: ChatModel, accuracy: float) -> None:
        self.provider = provider
        self.calls = 0
        self._accuracy = accuracy
        self._truth = DeclaredTruth(0, {})
        settings = Settings(rate_limit_rpm=PER_MINUTE)
        dispatcher = Dispatcher(Registry(provider), settings, Metrics(), Health(), unkept_books())
        self._eliciting = Eliciting(dispatcher)

    async def ask(self, image: PreparedImage, domain: Domain) -> ProviderAnswer:
        """With as many calls as the domain asks for."""
        case = Case(image, domain, Payer("test"))
        answer = await self._eliciting.elicit([NAME], case)
        self.calls += case.spent.calls
        return answer

    def truth(self, image: PreparedImage, domain: Domain) -> dict[str | None, float]:
        """The model's opinion of the picture, independent of the order of the classes."""
        offered = [*domain.labels, *([NONE_OF_THESE] if domain.allow_none else [])]
        seen = hashlib.sha256(image.jpeg).hexdigest()
        shares = self._truth.shares(seen, None, offered, self._accuracy, 1)
        return {None if label == NONE_OF_THESE else label: p for label, p in shares.items()}


@asynccontextmanager
async def seeing(
    model: str = "gpt-4o", accuracy: float = 0.8, **behaviour: object
) -> AsyncIterator[Seeing]:
    deployment = DeploymentConfig(
        name="eyes",
        model=model,
        accuracy=accuracy,
        latency=Latency.none(),
        rpm=PER_MINUTE,
        tpm=10**9,
        **behaviour,
    )
    simulator = create_simulator(SimulatorConfig(deployments=(deployment,)))
    workers = ImageWorkers(1)
    provider = ChatModel(
        openai.AsyncOpenAI(
            base_url="http://simulator/openai/v1/",
            api_key="any",
            max_retries=0,
            http_client=httpx2.AsyncClient(transport=httpx2.ASGITransport(simulator)),
        ),
        name=NAME,
        deployment="eyes",
        model=model,
        models=ModelTable.read(ROOT / "config" / "models.yaml"),
        workers=workers,
    )
    try:
        yield Seeing(provider, accuracy)
    finally:
        await provider.aclose()
        workers.close()


def images(count: int, first: int = 0) -> Iterator[PreparedImage]:
    """All different."""
    for number in range(first, first + count):
        shade = number.to_bytes(3)
        yield prepare(encoded(Image.new("RGB", (8, 8), tuple(shade))), longest=8)


def classes(count: int, **fields: object) -> Domain:
    return Domain(name="many", classes=[f"class {n}" for n in range(count)], **fields)


def shares(answer: ProviderAnswer, domain: Domain) -> dict[str | None, float]:
    """With "none of these" under None, where that is allowed."""
    found: dict[str | None, float] = dict(answer.probabilities)
    if domain.allow_none:
        found[None] = 1 - sum(answer.probabilities.values())
    return found
