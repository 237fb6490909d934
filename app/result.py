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
    width: int = Field(description="Pixels, upright.", examples=[640])
    height: int = Field(description="Pixels, upright.", examples=[427])
    bytes: int = Field(examples=[91_234])
    phash: str | None = Field(
        None,
        description="Perceptual hash, 64 bits in hex; null for a picture of nearly one colour.",
        examples=["c3d1f0e0b4a49686"],
    )
    prepared_width: int | None = Field(None, description="As a provider gets it.", examples=[512])
    prepared_height: int | None = Field(None, description="As a provider gets it.", examples=[342])
    tokens: int | None = Field(
        None,
        description="Tokens that it took of the prompt; null where none are counted, 0 when the "
        "answer was `cached`.",
        examples=[85],
    )
    tokens_estimated: bool = Field(
        default=False, description="The model's formula is not published: `tokens` is learned."
    )
    quality: Quality | None = None
    warnings: list[str] = Field(
        examples=[[]], description="What was odd about it, and in what it is no good picture."
    )


class Usage(BaseModel):
    """What the answer cost, all attempts together."""

    prompt_tokens: int = Field(examples=[214])
    completion_tokens: int = Field(examples=[5])
    cost_usd: UsdAmount | None = Field(
        description="US dollars; null when the price is not known.", examples=[0.000585]
    )


class Timings(BaseModel):
    """Milliseconds spent."""

    fetch: float = Field(0, description="Downloading the URL.", examples=[0.0])
    prepare: float = Field(0, description="Decoding, turning, resizing.", examples=[4.1])
    wait: float = Field(0, description="For the limiter, and between attempts.", examples=[0.0])
    provider: float = Field(0, description="In calls to the provider.", examples=[5.2])
    total: float = Field(0, examples=[10.6])


class Failure(BaseModel):
    """Why there is no answer; the same words as in the problem that the caller got."""

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
        description='Null while pending, when failed, and for "none of these".',
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
        description="What stands: the predicted class of what is accepted, or what a person said, "
        "`none` for none of the classes. Null until then, and where the person found it useless.",
        examples=["rose"],
    )
    decided_by: str | None = Field(
        None,
        description="Who decided that: `model`, or the name of the reviewer; null until then.",
        examples=["model"],
    )
    confidence_source: str | None = Field(
        None,
        description="`logprobs`, `votes`, `stated` or `local`.",
        examples=["local"],
    )
    provider: str | None = Field(None, examples=["local"])
    model: str | None = Field(None, examples=["efficientnet-lite0-int8"])
    deployment: str | None = Field(None, examples=[None])
    cached: bool = Field(
        default=False,
        description="The answer to an earlier request, or to one at the same time, about the same "
        "picture; nothing was paid for it.",
    )
    degraded: bool = Field(
        default=False,
        description="The answer of a provider further down the domain's list: those before it were "
        "down.",
    )
    image: ImageFacts | None = None
    similar_to: str | None = Field(
        None,
        description="An earlier result of the same caller whose picture looks nearly the same.",
        examples=["cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"],
    )
    usage: Usage | None = None
    timings_ms: Timings | None = None
    error: Failure | None = Field(None, description="Set when `status` is failed.")
    expected: str | None = Field(
        None,
        description="The true class, as told; `none` when the picture shows none of them.",
        examples=["rose"],
    )
    expected_source: LabelSource | None = Field(
        None,
        description="When it was told: with the `request`, `later`, by a `review`, or by one of "
        "what is drawn at random (`random_review`); null where that was before it was kept.",
        examples=["request"],
    )
    metadata: dict[str, Any] | None = Field(
        None, description="What the request carried.", examples=[{"order": "A-17"}]
    )
    caller: str = Field(description="Name of the API key.", examples=["anonymous"])
    domain_version: str = Field(
        description="Changes when the domain's classes or prompt change.", examples=["0f3b1c2d4e5f"]
    )
    provider_request_id: str | None = Field(
        None, description="The provider's own id of the call, for its support.", examples=[None]
    )
    created_at: datetime = Field(examples=["2026-01-02T03:04:05.678Z"])
    completed_at: datetime | None = Field(None, examples=["2026-01-02T03:04:05.689Z"])
    calibration: str | None = Field(
        None,
        description="What made `confidence` and `probabilities` of what the provider said; null "
        "where they are its own.",
        examples=["fit_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"],
    )
    raw_confidence: float | None = Field(
        None, description="As the provider said it; null without `calibration`.", examples=[0.99]
    )
    raw_probabilities: dict[str, float] | None = Field(
        None,
        description="As the provider said them; null without `calibration`.",
        examples=[{"dandelion": 0.0, "rose": 0.99, "sunflower": 0.0, "daisy": 0.01}],
    )
    revision: str | None = Field(
        None,
        description="Of how the model was asked or taught: with another one its probabilities mean "
        "something else.",
        examples=["2"],
    )
    tail: float | None = Field(
        None,
        description="How far a probability of the provider may be off at most, as it told only the "
        "most probable ones; null where it told them all.",
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
