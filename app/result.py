"""One classified picture: what is stored, returned and exported."""

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from app.errors import PROBLEMS, ClassifierError, InvalidRequest, MetadataTooLarge
from app.image_quality import Quality

Status = Literal["pending", "accepted", "needs_review", "failed"]
ANSWERED: tuple[Status, ...] = ("accepted", "needs_review")
"""With these there is an answer, whether or not a person has to look at it."""

LabelSource = Literal["request", "later", "review", "random_review"]
LABEL_SOURCES: tuple[LabelSource, ...] = get_args(LabelSource)
UsdAmount = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]


MODEL = "model"
"""Who decided, where no person did; no reviewer may have this name."""

NONE = "none"
"""The true class of a picture that shows none of the domain's; no class may have this name."""

MAX_METADATA = 16_384
"""Bytes of a result's metadata, as JSON in UTF-8."""


def metadata_bytes(metadata: Mapping[str, Any]) -> int:
    """Raises ValueError, which says what can't be stored."""
    try:
        return len(json.dumps(dict(metadata), allow_nan=False, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        raise ValueError("holds half a character") from None
    except TypeError as error:
        raise ValueError(f"can't be written as JSON: {error}") from None
    except ValueError:
        # 1e999 is well-formed JSON, but not finite.
        raise ValueError("holds a number that is not finite") from None


def check_metadata(metadata: Mapping[str, Any]) -> None:
    """Raises InvalidRequest, MetadataTooLarge."""
    try:
        size = metadata_bytes(metadata)
    except ValueError as error:
        raise InvalidRequest(f"metadata: {error}.") from None
    if size > MAX_METADATA:
        raise MetadataTooLarge(f"The metadata is larger than {MAX_METADATA:,} bytes.")


def none_of_these(probabilities: Mapping[Any, float]) -> float:
    """The probability that a picture shows none of the classes: what theirs leave of 1."""
    return max(0.0, 1 - sum(probabilities.values()))


class ImageFacts(BaseModel):
    """The picture as it arrived."""

    sha256: str = Field(
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    )
    format: str = Field(examples=["JPEG"])
    width: int = Field(description="Pixels, with the picture upright.", examples=[640])
    height: int = Field(description="Pixels, with the picture upright.", examples=[427])
    bytes: int = Field(examples=[91_234])
    phash: str | None = Field(
        None,
        description="Perceptual hash, 64 bits in hex; null for a picture of nearly one colour.",
        examples=["c3d1f0e0b4a49686"],
    )
    prepared_width: int | None = Field(
        None, description="Width of the picture that a provider gets.", examples=[512]
    )
    prepared_height: int | None = Field(
        None, description="Height of the picture that a provider gets.", examples=[342]
    )
    tokens: int | None = Field(
        None,
        description="Prompt tokens that the picture took; null if none are counted, 0 if the "
        "answer was `cached`.",
        examples=[85],
    )
    tokens_estimated: bool = Field(
        default=False,
        description="True: the model's formula is not published, so that `tokens` is learned.",
    )
    quality: Quality | None = None
    warnings: list[str] = Field(
        examples=[[]],
        description="What was unusual about the picture, and what is wrong with its quality.",
    )


class Usage(BaseModel):
    """Tokens and cost of the answer, all attempts together."""

    prompt_tokens: int = Field(examples=[214])
    completion_tokens: int = Field(examples=[5])
    cost_usd: UsdAmount | None = Field(
        description="US dollars; null if the price is not known.", examples=[0.000585]
    )


class Timings(BaseModel):
    """Milliseconds spent in each stage."""

    fetch: float = Field(0, description="Downloading the URL.", examples=[0.0])
    prepare: float = Field(0, description="Decoding, rotating, resizing.", examples=[4.1])
    wait: float = Field(0, description="Waiting for quota, and between attempts.", examples=[0.0])
    provider: float = Field(0, description="Calls to the provider.", examples=[5.2])
    total: float = Field(0, examples=[10.6])


class Failure(BaseModel):
    """Why there is no answer, in the words of the problem that the caller got."""

    type: str = Field(examples=["/problems/provider-timeout"])
    detail: str = Field(examples=["No answer within 30 s."])

    @classmethod
    def of(cls, error: ClassifierError) -> Self:
        return cls(type=error.type(), detail=str(error))

    @property
    def kind(self) -> str:
        """`provider-timeout`."""
        return self.type.removeprefix(PROBLEMS)


class Result(BaseModel):
    """One classified picture."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(examples=["cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"])
    domain: str = Field(examples=["flowers"])
    predicted_class: str | None = Field(
        None,
        description='Null while pending, if failed, and for "none of these".',
        examples=["rose"],
    )
    confidence: float | None = Field(
        None, description="Probability of the predicted class, 0 to 1.", examples=[0.97]
    )
    probabilities: dict[str, float] | None = Field(
        None, examples=[{"dandelion": 0.01, "rose": 0.97, "sunflower": 0.01, "daisy": 0.01}]
    )
    status: Status = Field(examples=["accepted"])
    review_reasons: list[str] = Field(
        default=[],
        description="Why a person should look: `below_threshold`, `close_second`, "
        "`none_of_the_classes`, `image_quality`, `degraded`, `ood`, `provider_disagreement`.",
        examples=[[]],
    )
    final_class: str | None = Field(
        None,
        description="The class that stands: the predicted class of an accepted answer, or what a "
        "person said, `none` for none of the classes. Null until then, and if the person found the "
        "picture unusable.",
        examples=["rose"],
    )
    decided_by: str | None = Field(
        None,
        description="Who decided `final_class`: `model`, or the name of the reviewer; null until "
        "then.",
        examples=["model"],
    )
    confidence_source: str | None = Field(
        None,
        description="Where the probabilities come from: `logprobs`, `votes`, `stated` or `local`.",
        examples=["local"],
    )
    provider: str | None = Field(None, examples=["local"])
    model: str | None = Field(None, examples=["efficientnet-lite0-int8"])
    deployment: str | None = Field(None, examples=[None])
    cached: bool = Field(
        default=False,
        description="True: taken from the answer to an earlier or a concurrent request about the "
        "same picture; nothing was paid for it.",
    )
    degraded: bool = Field(
        default=False,
        description="True: answered by another provider than intended, because one could not "
        "answer or a budget was spent.",
    )
    image: ImageFacts | None = None
    similar_to: str | None = Field(
        None,
        description="Id of an earlier result of the same caller whose picture looks nearly the "
        "same.",
        examples=["cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"],
    )
    usage: Usage | None = None
    timings_ms: Timings | None = None
    error: Failure | None = Field(None, description="Set if `status` is `failed`.")
    expected: str | None = Field(
        None,
        description="The true class, if it was given; `none` if the picture shows none of them.",
        examples=["rose"],
    )
    expected_source: LabelSource | None = Field(
        None,
        description="How the true class was given: with the `request`, `later`, by a `review`, or "
        "by the review of an accepted answer drawn at random (`random_review`); null if that was "
        "before the source was recorded.",
        examples=["request"],
    )
    metadata: dict[str, Any] | None = Field(
        None, description="The `metadata` of the request.", examples=[{"order": "A-17"}]
    )
    caller: str = Field(description="Name of the API key.", examples=["anonymous"])
    domain_version: str = Field(
        description="Changes with what providers are asked: classes, prompt, size of the picture "
        "and so on.",
        examples=["0f3b1c2d4e5f"],
    )
    provider_request_id: str | None = Field(
        None,
        description="The provider's own id of the call, for questions to its support.",
        examples=[None],
    )
    created_at: datetime = Field(examples=["2026-01-02T03:04:05.678Z"])
    completed_at: datetime | None = Field(None, examples=["2026-01-02T03:04:05.689Z"])
    calibration: str | None = Field(
        None,
        description="Calibration that computed `confidence` and `probabilities` from what the "
        "provider said; null: they are the provider's own.",
        examples=["fit_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"],
    )
    raw_confidence: float | None = Field(
        None, description="As the provider stated it; null without `calibration`.", examples=[0.99]
    )
    raw_probabilities: dict[str, float] | None = Field(
        None,
        description="As the provider stated them; null without `calibration`.",
        examples=[{"dandelion": 0.0, "rose": 0.99, "sunflower": 0.0, "daisy": 0.01}],
    )
    revision: str | None = Field(
        None,
        description="Version of how the model was asked or taught: with another one, its "
        "probabilities mean something else.",
        examples=["2"],
    )
    tail: float | None = Field(
        None,
        description="How far a probability of the provider may be off at most, because it returned "
        "only the most probable ones; null if it returned all.",
        examples=[None],
    )

    @property
    def is_pending(self) -> bool:
        return self.status == "pending"

    @property
    def is_right(self) -> bool | None:
        """None without an answer, or where the true class is not known."""
        if self.expected is None or self.status not in ANSWERED:
            return None
        return (self.predicted_class or NONE) == self.expected


FIELDS = ("item_id", *Result.model_fields)
"""The fields of a row of results; in a batch, an item has its own id besides."""
