"""All errors, as one tree of classes. No HTTP here: `api.problems` maps each class to a problem."""

import inspect
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

    @classmethod
    def about(cls) -> str:
        """What it means: the first paragraph of its docstring, on one line."""
        paragraph, _, _ = (inspect.getdoc(cls) or "").partition("\n\n")
        return paragraph.replace("\n", " ")


# The service can't start or go on as it is configured.


class ConfigurationError(ClassifierError):
    """A setting, a file in config/ or a combination of them is wrong; the message says where."""


class ConfigurationRefused(ConfigurationError):
    """A configuration file that was to be reloaded is wrong; the previous one stays in force."""


class DatabaseInUse(ConfigurationError):
    """Another process that serves is using the database."""


class SecretUnreadable(ConfigurationError):
    """A webhook's secret was encrypted with a key that the service no longer has."""


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
    """The picture, or the body that carries it, is larger than the service accepts."""


class MetadataTooLarge(ClassifierError):
    """The metadata is larger than the service stores."""


class NotAuthenticated(ClassifierError):
    """The request has no API key, or an unknown one."""


class NotAllowed(ClassifierError):
    """The API key is valid, but this needs an operator's key."""


class ResultNotFound(ClassifierError):
    """No result has this id, or it belongs to another caller."""


class NothingToReview(ClassifierError):
    """The result has no answer to review, or no decision to undo."""


class ReviewTaken(ClassifierError):
    """Another reviewer is looking at the result now."""


class ReviewDecided(ClassifierError):
    """The review is decided already, with another outcome."""


class PictureNotKept(ClassifierError):
    """The result is stored, but its picture never was, or is no longer stored."""


class BatchNotFound(ClassifierError):
    """No batch has this id, or it belongs to another caller."""


class ArchiveRefused(ClassifierError):
    """The archive is broken or malicious; nothing in it is accepted."""


class BatchTooLarge(ClassifierError):
    """The batch has more items, or more bytes, than one batch may have."""


class BlobNotFound(ClassifierError):
    """A picture that the service had stored is no longer stored."""


class BatchOver(ClassifierError):
    """The request is not possible in the batch's current status."""


class AlertNotFound(ClassifierError):
    """No alert has this id, or it is no longer stored."""


class EvaluationNotFound(ClassifierError):
    """No evaluation has this id, or it belongs to another caller."""


class NothingLabelled(ClassifierError):
    """None of the answers to be evaluated has a label."""


class WebhookNotFound(ClassifierError):
    """No webhook has this id, or it belongs to another caller."""


class TooManyWebhooks(ClassifierError):
    """The caller already has the maximum number of webhooks."""


class WebhookDisabled(ClassifierError):
    """Nothing is sent to a disabled webhook: enable it first."""


class DeliveryNotFound(ClassifierError):
    """No delivery has this id, or it belongs to another caller."""


class EventForgotten(ClassifierError):
    """The event's content was deleted together with what it was about."""


class BudgetNotFound(ClassifierError):
    """No budget has this name, or it belongs to another caller."""


class BudgetReadOnly(ClassifierError):
    """The budget comes from the settings and can only be changed there."""


class IdempotencyKeyReused(ClassifierError):
    """The Idempotency-Key was used before, with a different request."""


class IdempotencyKeyInUse(ClassifierError):
    """The first request with this Idempotency-Key is still being answered."""


# Domains and labels.


class DomainNotFound(ClassifierError):
    """No domain has this name."""


class DomainExists(ClassifierError):
    """A domain of this name already exists."""


class DomainReadOnly(ClassifierError):
    """The domain comes from config/domains.yaml and can only be changed there."""


class LabelNotInDomain(ClassifierError):
    """The label is not one of the domain's classes."""


class ExampleNotFound(ClassifierError):
    """No example of the domain has this id."""


class TooFewExamples(ClassifierError):
    """A head distinguishes at least two classes, and each needs an example."""


class LessonNotFound(ClassifierError):
    """The domain has no lesson with this id, or it was withdrawn before."""


class CalibrationNotFound(ClassifierError):
    """The domain has no calibration with this id, or it was withdrawn before."""


class TooFewLabels(ClassifierError):
    """Too few answers have a label; the message has the numbers."""


class CalibrationRefused(ClassifierError):
    """The calibration fitted to the labels would make confidence less accurate than without it."""


# Pictures, and the URLs they come from.


class ImageUnreadable(ClassifierError):
    """The bytes are no picture, an unsupported kind of picture, or a broken or truncated one."""


class ImageTooLarge(ClassifierError):
    """The picture has more pixels than the service decodes."""


class ImageHarmful(ClassifierError):
    """Decoding the picture crashed the service more than once; it is not tried again for a day."""


class ImageRejected(ClassifierError):
    """The picture is blurred, too dark, too small or the like, and the domain rejects such ones."""


class UrlRefused(ClassifierError):
    """The URL violates the policy for URLs from callers, or is a storage URI outside the allowed
    ones; nothing was fetched from it."""


class UrlUnreachable(ClassifierError):
    """The URL returned nothing usable: connection refused, TLS error, error status, timeout; or
    there is nothing at the storage URI.

    Attributes:
        kind: a short word for logs, from a closed set.
    """

    def __init__(self, message: str, *, kind: str = "unusable") -> None:
        super().__init__(message)
        self.kind = kind


class UrlTooLarge(ClassifierError):
    """The file at the URL is larger than the service accepts."""


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
    """The provider does not know some of the domain's classes; the message names them."""

    kind = "cannot_serve_domain"


class ProviderUnavailable(ProviderError):
    """Connection error, 408, 409 or 5xx from the provider: the next call may succeed."""

    kind = "unavailable"


class ProviderTimeout(ProviderUnavailable):
    """The provider did not answer in time: the next call may succeed."""

    kind = "timeout"


class ProviderPaused(ProviderUnavailable):
    """The last calls failed, so no calls are made for a while."""

    kind = "paused"


class ProviderRateLimited(ProviderError):
    """The provider's quota is spent, or the service's own limit leaves no room in time."""

    kind = "rate_limited"


class ProviderAnswerInvalid(ProviderError):
    """The provider's answer is not one of the classes, or is malformed; it was asked again once."""

    kind = "answer_invalid"


class ProviderAdjusting(ProviderError):
    """The call showed that the deployment needs other parameters. The service remembers them and
    calls again at once; callers see this error only if no time was left for that."""

    kind = "adjusting"


class ContentFiltered(ProviderError):
    """The provider's content filter refused this picture; asking again gives the same answer.

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
    """The provider rejected the call: the key, the deployment name or the request is wrong."""

    kind = "rejected"


class ProviderDenied(ProviderRejected):
    """The provider does not recognise the key or the deployment: no call to it will succeed."""

    kind = "denied"


# What a call would cost is more than may be spent.


class BudgetSpent(ClassifierError):
    """The remainder of a budget is too small for the call.

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
    """A budget can't be enforced, because the price of the call is unknown."""


# The service itself can't take more right now.


class Overloaded(ClassifierError):
    """More work is waiting than the service accepts; there will be room later.

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
    """A bug in the service; its log has the details."""


class StorageUnavailable(ClassifierError):
    """The database, or the store that holds the pictures, can't be reached, read or written."""
