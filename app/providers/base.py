"""What a provider is. This file is all that the author of a plug-in has to read.

A plug-in is a package with an entry point in the group `classifier.providers`, whose name is the
provider's and whose value is a factory:

    [project.entry-points."classifier.providers"]
    acme = "acme_classifier:create"

    def create(context: ProviderContext) -> Provider: ...

or a list of them, one for each deployment among which the service may choose.

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
"""What follows a model's name: a date, whole or in part."""


@dataclass(frozen=True, slots=True)
class Example:
    """A picture whose class is known, to show to a model beside the question."""

    image: PreparedImage
    label: str


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What is known of a provider right now; may change with its first answer.

    Attributes:
        model: the model, as precisely as it is known.
        deployment: the name under which the model is reached, None where there is none.
        metered: calls count against the limit per minute, and cost money.
        sees: what it takes of a picture; the JPEG is then made together with the pixels.
        confidence_source: where the next answer's probabilities will come from.
        answers_as: stays the same as long as an old answer may stand for a new one, also over a
            restart; unset: as long as `model` does.
        tariff: the type of the deployment, on which the price of its model depends.
        embedded: it answers on this machine and costs only its time: it may be asked just to see
            how long it takes.
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
        """Whether it makes use of pictures whose class is known, shown beside the question."""
        return self.metered and self.sees == "jpeg"

    def may_be(self, model: str) -> bool:
        """Whether an answer of this model may come from it: models are known with or without their
        version. "gpt-4o-mini" is no version of "gpt-4o"."""
        if self.model in ("unknown", model):
            return True
        return model.startswith(self.model) and bool(_VERSION.fullmatch(model, pos=len(self.model)))


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """What a provider saw.

    Attributes:
        label: one of the domain's labels, or None for "none of these".
        probabilities: of every label of the domain, 0 to 1. They may sum to less than 1: the rest
            is what speaks for none of them.
        model: that answered.
        request_id: the provider's own id of the call, for its support.
        image_tokens: what the picture took of the prompt; None where no tokens are counted.
        image_tokens_estimated: nobody told, and no published formula says so.
        quota: what the provider said of its quota.
        tail: how far a probability may be off at most, for the model told only its most probable
            ones, 0 to 1.
        untold: the labels of which it told none, None for "none of these".
        out_of_domain: the picture looks like nothing that the model was taught for this domain.
        revision: of how the model was asked or taught, at most 40 characters: with another one the
            same probabilities mean something else, and calibrations begin anew.
        learned: that it hangs on besides, as `Learning.learned` tells it: it is kept for what was
            known when the picture came, and for nothing else.
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
    """What a model is told beside the picture, word for word; of each picture the classes stand in
    an order of its own.

    Attributes:
        user: empty where the picture stands alone.
        schema: of the answer, as JSON; the model reads it, and it is billed.
    """

    system: str
    user: str
    schema: str | None


@dataclass(frozen=True, slots=True)
class Quote:
    """What one call about a domain will be billed beside its picture, about.

    Attributes:
        calls: that a picture takes at least, when none fails.
        most_calls: more than `calls` where it depends on what they say.
        text_tokens: of the prompt without the picture, and without those of examples, whose answers
            are text.
        most_completion_tokens: more than `completion_tokens` where nobody can tell how long the
            model will reason.
    """

    prompt: Prompt
    text_tokens: int
    completion_tokens: int
    most_completion_tokens: int
    calls: int = 1
    most_calls: int = 1


@runtime_checkable
class Learning(Protocol):
    """What a provider has besides that learns while the service runs."""

    def learned(self, domain: Domain) -> str:
        """Stays the same as long as it has learned nothing new for the domain: so long an old
        answer may stand for a new one."""
        ...


@runtime_checkable
class Examined(Protocol):
    """What a provider has besides that was examined with pictures it had not been taught."""

    async def sure_from(self, domain: Domain, accuracy: float) -> float | None:
        """The confidence from which on its answers about the domain were right so often then, 0 to
        1; None: nobody knows."""
        ...


class Provider(Protocol):
    """Classifies pictures. One instance serves all requests at once."""

    @property
    def name(self) -> str: ...

    def capabilities(self) -> Capabilities: ...

    def estimate_tokens(self, image: PreparedImage, domain: Domain) -> int:
        """Prompt and completion tokens that a call will take at most, about, with as many examples
        as the domain wants shown; 0 when not metered."""
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
        """One call, never retried here. `examples` are shown before the question, in this order.

        `timeout` is in seconds. `code_order` is for a model that chooses among codes: the places of
        the classes in the order in which they are offered, one place more standing for "none of
        these". Two or more of them will do: what is not offered has the probability 0.

        Raises a ProviderError; ProviderAdjusting when the call taught how to ask, so that the next
        one may succeed at once.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections. No call is made afterwards."""
        ...


@runtime_checkable
class Quoting(Protocol):
    """What a provider has besides that can tell, without a call, what calls will be billed. Of
    others batches are estimated from what they billed before, or from `estimate_tokens`."""

    def quote(self, domain: Domain) -> Quote: ...

    def image_tokens(self, image: PreparedImage, domain: Domain) -> ImageTokens:
        """What the picture takes of the prompt."""
        ...

    def cost(self, usage: TokenUsage) -> Decimal | None:
        """US dollars; None when the price is not known."""
        ...

    def most(self, image: PreparedImage, domain: Domain) -> TokenUsage:
        """What one call may be billed, and not more: reserved in budgets, and booked where nobody
        says what it was billed."""
        ...


@dataclass(frozen=True, slots=True)
class ProviderContext:
    """What a factory may build on."""

    settings: Settings
    models: ModelTable
    workers: ImageWorkers
    taught: Taught = field(default_factory=Taught)
