"""A picture, a model that says what it is told to, and all that stands between them."""

from PIL import Image

from app.budget import Payer
from app.classification.eliciting import Eliciting
from app.domains import Domain
from app.images import prepare
from app.providers.base import ProviderAnswer
from app.settings import Settings
from app.telemetry.health import Health
from app.telemetry.metrics import Metrics
from app.traffic import Case, Dispatcher, Spent
from tests.fakes import FakeProvider, PricedProvider, Registry, unkept_books
from tests.pictures import encoded

IMAGE = prepare(encoded(Image.new("RGB", (8, 8))), longest=8)
PETS = ("cat", "dog", "bird")


def domain(**fields) -> Domain:
    return Domain(name="pets", **{"classes": PETS, **fields})


def said(label="cat", sure=0.8, source="logprobs", model="fake-1", **more) -> ProviderAnswer:
    shares = dict.fromkeys(PETS, (1 - sure) / 2) | {label: sure}
    return ProviderAnswer(label, shares, source, model, **more)


def voted(label, sure=0.8) -> ProviderAnswer:
    return said(label, sure, "stated")


class Model(PricedProvider):
    """Keeps the orders in which it was offered the classes."""

    def __init__(self, *steps, **options) -> None:
        super().__init__("fake", *steps, **options)
        self.orders = []

    async def classify(self, image, domain, *, code_order=None, **how):
        self.orders.append(tuple(code_order))
        return await super().classify(image, domain, code_order=code_order, **how)


class Eyes:
    """All that stands between a picture and the model."""

    def __init__(self, *providers, **settings) -> None:
        self.spent = Spent()
        self.dispatcher = Dispatcher(
            Registry(*providers, FakeProvider("local")),
            Settings(rate_limit_rpm=60_000, **settings),
            Metrics(),
            Health(),
            unkept_books(),
            jitter=lambda: 0.0,
        )
        self.eliciting = Eliciting(self.dispatcher)

    async def look(
        self, domain: Domain, image=IMAGE, names=("fake",), spent=None, lane="interactive"
    ) -> ProviderAnswer:
        """`spent`: apart from that of all others."""
        spent = self.spent if spent is None else spent
        return await self.eliciting.elicit(names, Case(image, domain, Payer("test"), lane, spent))
