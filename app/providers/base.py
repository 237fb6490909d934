"""The contract of a provider. The author of a plug-in needs to read only this file.

A plug-in is a package with an entry point in the group `classifier.providers`. The entry point's
name is the provider's name, and its value is a factory:

    [project.entry-points."classifier.providers"]
    acme = "acme_classifier:create"

    def create(context: ProviderContext) -> Provider: ...

The factory may also return a list of providers, one for each deployment the service may choose
from.

`app/providers/local/provider.py` is a complete example.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, Protocol, runtime_checkable

from app.domains import Domain
from app.images import ImageWorkers, PreparedImage
from app.providers.image_tokens import ImageTokens
from app.providers.profiles import ModelTable
from app.providers.taught import Taught
from app.settings import Settings
from app.usage import QuotaReport, TokenUsage

ConfidenceSource = Literal["logprobs", "votes", "stated", "local"]

_VERSION = re.compile(r"-\d{4,8}(-\d{2}){0,2}")
"""The version suffix of a model's name: a date, whole or in part."""


@dataclass(frozen=True, slots=True)
class Example:
    """A picture of known class, to show to a model along with the question."""

    image: PreparedImage
    label: str


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What is currently known of a provider; may change with its first answer.

    Attributes:
        model: the model, as precisely as it is known.
        deployment: the name under which the model is reached; None where there is none.
        metered: calls count against the limit per minute and cost money.
        sees: the form in which it takes a picture; for `jpeg`, the JPEG is encoded together with
            the pixels.
        confidence_source: where the probabilities of the next answer will come from.
        answers_as: unchanged for as long as an old answer may stand in for a new one, also across
            restarts; if unset, `model` is used for that.
        tariff: the type of the deployment, on which the price of its model depends.
        embedded: it answers on this machine and costs only its time, so it may be called merely to
            measure how long it takes.
    """

    model: str
    deployment: str | None
    metered: bool
    confidence_source: ConfidenceSource
    answers_as: str | None = None
    sees: Literal["pixels", "jpeg"] = "jpeg"
    tariff: str = ""
    embedded: bool = False

    @property
    def takes_examples(self) -> bool:
        """Whether it makes use of examples (pictures of known class) shown along with the
        question."""
        return self.metered and self.sees == "jpeg"

    def may_be(self, model: str) -> bool:
        """Whether an answer by this model may have come from it: model names are known with or
        without a version. "gpt-4o-mini" is not a version of "gpt-4o"."""
        if self.model in ("unknown", model):
            return True
        return model.startswith(self.model) and bool(_VERSION.fullmatch(model, pos=len(self.model)))


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """What a provider sees in a picture.

    Attributes:
        label: one of the domain's labels, or None for "none of these".
        probabilities: of every label of the domain, 0 to 1. They may sum to less than 1: the
            remainder is the probability of "none of these".
        model: the model that answered.
        request_id: the provider's own id of the call, for its support.
        image_tokens: the prompt tokens that the picture took; None where tokens are not counted.
        image_tokens_estimated: `image_tokens` was neither reported nor computed by a published
            formula.
        quota: what the provider reported of its quota.
        tail: the largest possible error of a probability, 0 to 1, since the model reports only the
            most probable tokens.
        untold: the labels whose probability the model did not report, None for "none of these".
        out_of_domain: the picture looks like nothing that the model was taught for this domain.
        revision: of how the model was asked or taught, at most 40 characters. Under another
            revision the same probabilities mean something else, and calibrations start afresh.
        learned: what else the answer depends on, as `Learning.learned` reports it. The answer is
            kept for reuse only if this is what had been learned when the picture came.
    """

    label: str | None
    probabilities: Mapping[str, float]
    confidence_source: ConfidenceSource
    model: str
    deployment: str | None = None
    request_id: str | None = None
    usage: TokenUsage = field(default_factory=TokenUsage)
    image_tokens: int | None = None
    image_tokens_estimated: bool = False
    quota: QuotaReport = field(default_factory=QuotaReport)
    tail: float = 0.0
    untold: frozenset[str | None] = frozenset()
    out_of_domain: bool = False
    revision: str = "1"
    learned: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The text sent to a model along with the picture, verbatim. The order of the classes differs
    from picture to picture.

    Attributes:
        user: empty where the picture stands alone.
        schema: of the answer, as JSON; the model reads it, and it is billed.
    """

    system: str
    user: str
    schema: str | None


@dataclass(frozen=True, slots=True)
class Quote:
    """Roughly what calls about a domain will be billed, apart from their pictures.

    Attributes:
        calls: the fewest calls that a picture takes when none fails.
        most_calls: more than `calls` where the number depends on the answers.
        text_tokens: of one call's prompt, including the answers of examples but no picture.
        most_completion_tokens: more than `completion_tokens` where the length of the model's
            reasoning can't be known.
    """

    prompt: Prompt
    text_tokens: int
    completion_tokens: int
    most_completion_tokens: int
    calls: int = 1
    most_calls: int = 1


@runtime_checkable
class Learning(Protocol):
    """Optional protocol of a provider that learns while the service runs."""

    def learned(self, domain: Domain) -> str:
        """A value that stays the same as long as nothing new was learned for the domain; until it
        changes, an old answer may stand in for a new one."""
        ...


@runtime_checkable
class Examined(Protocol):
    """Optional protocol of a provider that was tested on pictures it had not been taught."""

    async def sure_from(self, domain: Domain, accuracy: float) -> float | None:
        """The confidence, 0 to 1, at or above which its answers about the domain reached this
        accuracy in that test; None: not known."""
        ...


class Provider(Protocol):
    """Classifies pictures. One instance serves all concurrent requests."""

    @property
    def name(self) -> str: ...

    def capabilities(self) -> Capabilities: ...

    def estimate_tokens(self, image: PreparedImage, domain: Domain) -> int:
        """Roughly the most prompt and completion tokens that a call will take, with as many
        examples as the domain wants shown; 0 when not metered."""
        ...

    async def classify(
        self,
        image: PreparedImage,
        domain: Domain,
        *,
        timeout: float,
        code_order: Sequence[int] | None = None,
        examples: Sequence[Example] = (),
    ) -> ProviderAnswer:
        """Make one call; never retry here. `examples` are shown before the question, in this order.

        `timeout` is in seconds. `code_order` is for a model that chooses among codes: the positions
        of the classes in the order in which to offer them; the position after the last class stands
        for "none of these". It may list only some of them, at least two: what is not offered gets
        the probability 0.

        Raises a ProviderError; in particular ProviderAdjusting when the call revealed how the model
        has to be asked, so that the next call may succeed at once.
        """
        ...

    async def aclose(self) -> None:
        """Close connections. No call is made afterwards."""
        ...


@runtime_checkable
class Quoting(Protocol):
    """Optional protocol of a provider that can tell, without a call, what calls will be billed. For
    other providers, batches are estimated from what earlier calls were billed, or from
    `estimate_tokens`."""

    def quote(self, domain: Domain) -> Quote: ...

    def image_tokens(self, image: PreparedImage, domain: Domain) -> ImageTokens:
        """The prompt tokens that the picture takes."""
        ...

    def cost(self, usage: TokenUsage) -> Decimal | None:
        """The price in US dollars; None when it is not known."""
        ...

    def most(self, image: PreparedImage, domain: Domain) -> TokenUsage:
        """The upper limit of what one call may be billed: reserved in budgets, and booked where the
        bill is not reported."""
        ...


@dataclass(frozen=True, slots=True)
class ProviderContext:
    """What a factory is given to build a provider."""

    settings: Settings
    models: ModelTable
    workers: ImageWorkers
    taught: Taught = field(default_factory=Taught)
