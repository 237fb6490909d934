"""All errors, as one tree of classes. No HTTP here: `api.problems` maps each class to a problem."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Self

from app.usage import QuotaReport, TokenUsage

PROBLEMS = "/problems/"
"""Beginning of the address of each kind of error."""

MAX_COMPLAINTS = 20
"""The most wrong fields of one request that are reported."""


def said(complaint: str) -> str:
    """The message of a validator of ours, without the words that pydantic puts before it."""
    return complaint.removeprefix("Value error, ")


class ClassifierError(Exception):
    """Base of all errors that a caller may get. The message is written for the caller.

    Attributes:
        result_id: the row that records the failed attempt, where there is one.
    """

    result_id: str | None = None

    @classmethod
    def slug(cls) -> str:
        """The stable name of this kind of error: `provider-timeout`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()

    @classmethod
    def type(cls) -> str:
        """Its address: `/problems/provider-timeout`."""
        return f"{PROBLEMS}{cls.slug()}"


# The service can't start or go on as it is configured.


class ConfigurationError(ClassifierError):
    """A setting, a file in config/ or a combination of them is wrong; the message says where."""


class ConfigurationRefused(ConfigurationError):
    """A file that was to be read again: what held before goes on to hold."""


class DatabaseInUse(ConfigurationError):
    """By another process that serves."""


class SecretUnreadable(ConfigurationError):
    """What is secret about a webhook was encrypted with a key that the service has no more."""


# The caller asked for something malformed, not there or not allowed.


class InvalidRequest(ClassifierError):
    """The request does not have the documented form.

    Attributes:
        fields: one `{"field": ..., "detail": ...}` for each place that is wrong, may be empty.
    """

    def __init__(self, message: str, *, fields: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.fields = fields or []

    @classmethod
    def of(cls, complaints: Iterable[Mapping[str, Any]]) -> Self:
        """From pydantic's complaints; the values themselves are not repeated."""
        fields = [
            {"field": ".".join(map(str, each["loc"])), "detail": said(each["msg"])}
            for each in islice(complaints, MAX_COMPLAINTS)
        ]
        told = (": ".join(filter(None, each.values())) for each in fields[:3])
        return cls("; ".join(told) or "The request is not valid.", fields=fields)


class UnsupportedContentType(ClassifierError):
    """The body is neither multipart/form-data nor JSON."""


class UploadTooLarge(ClassifierError):
    """The picture, or the body that carries it, is larger than the service takes."""


class MetadataTooLarge(ClassifierError):
    """The metadata is larger than the service keeps."""


class NotAuthenticated(ClassifierError):
    """No API key, or one that is not known."""


class NotAllowed(ClassifierError):
    """The API key is known, but this needs an operator's key."""


class ResultNotFound(ClassifierError):
    """No result has this id, or it belongs to another caller."""


class NothingToReview(ClassifierError):
    """The result has no answer that a person could look at, or nothing that could be undone."""


class ReviewTaken(ClassifierError):
    """Another reviewer is looking at it just now."""


class ReviewDecided(ClassifierError):
    """It is decided already, and otherwise."""


class PictureNotKept(ClassifierError):
    """The result is kept, but its picture is not, or not any more."""


class BatchNotFound(ClassifierError):
    """No batch has this id, or it belongs to another caller."""


class ArchiveRefused(ClassifierError):
    """An archive that is broken, or made to do harm: none of it is taken."""


class BatchTooLarge(ClassifierError):
    """More items, or more bytes, than one batch may have."""


class BlobNotFound(ClassifierError):
    """A picture that was kept for a batch is not kept any more."""


class BatchOver(ClassifierError):
    """What was asked of a batch is not possible in the state it is in."""


class AlertNotFound(ClassifierError):
    """There is no such alert, or it is not kept any more."""


class EvaluationNotFound(ClassifierError):
    """No evaluation has this id, or it belongs to another caller."""


class NothingLabelled(ClassifierError):
    """None of the answers that are to be judged has a true class to judge it by."""


class WebhookNotFound(ClassifierError):
    """No webhook has this id, or it belongs to another caller."""


class TooManyWebhooks(ClassifierError):
    """The caller has as many webhooks as one may have."""


class WebhookDisabled(ClassifierError):
    """To a disabled webhook nothing is sent: enable it first."""


class DeliveryNotFound(ClassifierError):
    """No delivery has this id, or it belongs to another caller."""


class EventForgotten(ClassifierError):
    """What the event was about is deleted, and with it what there was to tell."""


class BudgetNotFound(ClassifierError):
    """No budget has this name, or it is another caller's."""


class BudgetReadOnly(ClassifierError):
    """The budget comes from the settings and can only be changed there."""


class IdempotencyKeyReused(ClassifierError):
    """The Idempotency-Key was used before, with another request."""


class IdempotencyKeyInUse(ClassifierError):
    """The first request with this Idempotency-Key is still being answered."""


# Domains and labels.


class DomainNotFound(ClassifierError):
    """No domain has this name."""


class DomainExists(ClassifierError):
    """A domain of this name is there already."""


class DomainReadOnly(ClassifierError):
    """The domain comes from config/domains.yaml and can only be changed there."""


class LabelNotInDomain(ClassifierError):
    """A label was given that is none of the domain's classes."""


class ExampleNotFound(ClassifierError):
    """No example of the domain has this id."""


class TooFewExamples(ClassifierError):
    """A head tells two classes apart at least, and each needs an example."""


class LessonNotFound(ClassifierError):
    """No lesson of the domain that is in use has this id."""


class CalibrationNotFound(ClassifierError):
    """The domain has no calibration of this id, or it was withdrawn before."""


class TooFewLabels(ClassifierError):
    """Of too few answers the true class is known to say anything; the message has the numbers."""


class CalibrationRefused(ClassifierError):
    """With the calibration that the labels give, confidence would mean less than without it."""


# Pictures, and the URLs they come from.


class ImageUnreadable(ClassifierError):
    """The bytes are no picture, an unsupported kind of picture, or a broken or truncated one."""


class ImageTooLarge(ClassifierError):
    """The picture has more pixels than the service decodes."""


class ImageHarmful(ClassifierError):
    """Decoding the picture ended the service, more than once; for a day it is not tried again."""


class ImageRejected(ClassifierError):
    """The picture is blurred, too dark, too small or the like, and the domain wants good ones."""


class UrlRefused(ClassifierError):
    """The URL is against the policy for strangers' URLs, or a storage URI outside of those that are
    allowed; nothing was fetched from it."""


class UrlUnreachable(ClassifierError):
    """Nothing usable came from the URL: connection refused, TLS, error status, timeout; or nothing
    is at the storage URI.

    Attributes:
        kind: a short word for logs, from a closed set.
    """

    def __init__(self, message: str, *, kind: str = "unusable") -> None:
        super().__init__(message)
        self.kind = kind


class UrlTooLarge(ClassifierError):
    """What the URL holds is larger than the service takes."""


# The provider did not answer, or not with a class.


class ProviderError(ClassifierError):
    """A call to a provider failed.

    Attributes:
        kind: a short word for metrics and logs, from a closed set.
        retry_after_s: seconds after which asking again makes sense; None: not known.
        usage: what the failed call was billed all the same, as far as it is known.
        may_be_billed: it may have cost as much as an answer, and the provider did not say.
        quota: what the provider said about its quota.
    """

    kind = "error"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.usage = TokenUsage()
        self.may_be_billed = False
        self.quota = QuotaReport()


class ProviderUnknown(ClassifierError):
    """The request names a provider that is not configured here."""


class ProviderCannotServeDomain(ProviderError):
    """The provider has no knowledge of some of the domain's classes; the message names them."""

    kind = "cannot_serve_domain"


class ProviderUnavailable(ProviderError):
    """Connection error, 408, 409 or 5xx: the next call may succeed."""

    kind = "unavailable"


class ProviderTimeout(ProviderUnavailable):
    """No answer in time: the next call may succeed."""

    kind = "timeout"


class ProviderPaused(ProviderUnavailable):
    """The last calls failed, so that none is made for a while."""

    kind = "paused"


class ProviderRateLimited(ProviderError):
    """The provider's quota is spent, or the own limit leaves no room in time."""

    kind = "rate_limited"


class ProviderAnswerInvalid(ProviderError):
    """The provider answered with something that is not one of the codes; asked again once."""

    kind = "answer_invalid"


class ProviderAdjusting(ProviderError):
    """The deployment takes less than it was asked with. That is remembered: asked again at once,
    and seen by a caller only when no time was left for it."""

    kind = "adjusting"


class ContentFiltered(ProviderError):
    """The provider's content filter refuses this picture; asking again gives the same answer.

    Attributes:
        categories: the filter's categories that fired, may be empty.
    """

    kind = "content_filtered"

    def __init__(self, message: str, *, categories: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.categories = categories


class ProviderRefused(ProviderError):
    """The model declined to answer; asking again gives the same answer."""

    kind = "refused"


class ProviderRejected(ProviderError):
    """The provider does not accept the call: key, deployment name or request are wrong."""

    kind = "rejected"


class ProviderDenied(ProviderRejected):
    """The provider does not know the key or the deployment: no call to it will succeed."""

    kind = "denied"


# What a call would cost is more than may be spent.


class BudgetSpent(ClassifierError):
    """What is left of a budget is too little for the call.

    Attributes:
        budget: its name.
        degrades: the local model may answer instead.
        resets_at: when there is more to spend; None: not before somebody raises the amount.
    """

    def __init__(
        self,
        message: str,
        *,
        budget: str = "",
        degrades: bool = False,
        resets_at: datetime | None = None,
    ) -> None:
        super().__init__(message)
        self.budget = budget
        self.degrades = degrades
        self.resets_at = resets_at


class PriceUnknown(BudgetSpent):
    """A budget can't be kept, for nobody knows what the call costs."""


# The service itself can't take more right now.


class Overloaded(ClassifierError):
    """More work waits than the service holds; later there will be room.

    Attributes:
        retry_after_s: seconds after which there may be room; None: not known.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Interrupted(ClassifierError):
    """The service stopped before an accepted picture was answered."""

    def __init__(self, message: str = "The service stopped before the answer came.") -> None:
        super().__init__(message)


class InternalError(ClassifierError):
    """A mistake in the service; its log says more."""


class StorageUnavailable(ClassifierError):
    """The database, or the store that holds the pictures, can't be reached, read or written."""
