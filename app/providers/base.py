"""What a provider is. This file is all that the author of a plug-in has to read.

A plug-in is a package with an entry point in the group `classifier.providers`, whose name is the
provider's and whose value is a factory:

    [project.entry-points."classifier.providers"]
    acme = "acme_classifier:create"

    def create(context: ProviderContext) -> Provider: ...

or a list of them, one for each deployment among which the service may choose.

`app/providers/local/provider.py` is a complete example.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, Protocol, runtime_checkable

from app.domains import Domain
from app.images import ImageWorkers, PreparedImage
from app.providers.image_tokens import ImageTokens
from app.providers.profiles import ModelTable
from app.settings import Settings
from app.usage import QuotaReport, TokenUsage

ConfidenceSource = Literal["logprobs", "votes", "stated", "local"]


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


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is told beside the picture, word for word.

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
        text_tokens: of the prompt without the picture.
        most_completion_tokens: more than `completion_tokens` where nobody can tell how long the
            model will reason.
    """

    prompt: Prompt
    text_tokens: int
    completion_tokens: int
    most_completion_tokens: int


class Provider(Protocol):
    """Classifies pictures. One instance serves all requests at once."""

    @property
    def name(self) -> str: ...

    def capabilities(self) -> Capabilities: ...

    def estimate_tokens(self, image: PreparedImage, domain: Domain) -> int:
        """Prompt and completion tokens that a call will take at most, about; 0 when not metered."""
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
        """One call, never retried here.

        `timeout` is in seconds. `code_order` permutes the classes as they are offered to a model
        that chooses among codes. Raises a ProviderError; ProviderAdjusting when the call taught how
        to ask, so that the next one may succeed at once.
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
