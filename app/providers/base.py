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
from typing import Literal, Protocol

from app.domains import Domain
from app.images import ImageWorkers, PreparedImage
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
    """

    model: str
    deployment: str | None
    metered: bool
    confidence_source: ConfidenceSource
    answers_as: str | None = None
    sees: Literal["pixels", "jpeg"] = "jpeg"


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


@dataclass(frozen=True, slots=True)
class ProviderContext:
    """What a factory may build on."""

    settings: Settings
    models: ModelTable
    workers: ImageWorkers
