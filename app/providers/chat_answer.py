"""A chat completion as received, parsed leniently: servers omit what they like."""

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from app.errors import ContentFiltered, ProviderAnswerInvalid
from app.providers.codes import Token
from app.usage import TokenUsage


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Alternative(_Lenient):
    token: str
    bytes: list[int] | None = None
    logprob: float

    @property
    def text(self) -> bytes:  # type: ignore[valid-type]
        return self.token.encode() if self.bytes is None else bytes_of(self.bytes)


class _TokenLogprob(_Alternative):
    top_logprobs: list[_Alternative] | None = None


class _Logprobs(_Lenient):
    content: list[_TokenLogprob] | None = None


class _Message(_Lenient):
    content: str | None = None
    refusal: str | None = None


class Choice(_Lenient):
    finish_reason: str | None = None
    message: Annotated[_Message, BeforeValidator(lambda value: value or {})] = _Message()
    logprobs: _Logprobs | None = None
    content_filter_results: dict[str, Any] | None = None

    @property
    def tokens(self) -> list[Token] | None:
        """None when the server gave no logprobs."""
        if self.logprobs is None or not self.logprobs.content:
            return None
        return [
            Token(each.text, [(top.text, top.logprob) for top in each.top_logprobs or ()])
            for each in self.logprobs.content
        ]


Count = Annotated[int, Field(ge=0, lt=2**31)]


class _PromptDetails(_Lenient):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    image_tokens: Count | None = None


class _CompletionDetails(_Lenient):
    reasoning_tokens: Count | None = None


class _Usage(_Lenient):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None

    @property
    def billed(self) -> TokenUsage:
        """Token counts without a price."""
        prompt, completion = self.prompt_tokens_details, self.completion_tokens_details
        parts = {
            "cached": (prompt and prompt.cached_tokens) or 0,
            "cache_write": (prompt and prompt.cache_write_tokens) or 0,
            "reasoning": (completion and completion.reasoning_tokens) or 0,
        }
        return TokenUsage(
            self.prompt_tokens or 0,
            self.completion_tokens or 0,
            {name: count for name, count in parts.items() if count},
        )


class Bill(_Lenient):
    """The bill of an answer that can't be read but is billed all the same."""

    usage: _Usage
    model: str | None = None

    @classmethod
    def read(cls, body: bytes) -> "Bill | None":
        """None when the body does not state it."""
        try:
            return cls.model_validate_json(body)
        except ValidationError:
            return None


def _or_none(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """An invalid bill must not invalidate the answer."""
    try:
        return read(value)
    except ValidationError:
        return None


class ChatAnswer(_Lenient):
    choices: list[Choice] = Field(min_length=1)
    model: str | None = None
    usage: Annotated[_Usage | None, WrapValidator(_or_none)] = None

    @classmethod
    def read(cls, body: bytes) -> "ChatAnswer":
        """Raises ProviderAnswerInvalid, e.g. for HTML, truncated JSON or no choices."""
        try:
            return cls.model_validate_json(body)
        except ValidationError:
            raise ProviderAnswerInvalid("The provider's answer is no chat completion.") from None

    @property
    def image_tokens(self) -> int | None:
        """The prompt tokens that pictures took, where the server reports them."""
        details = self.usage and self.usage.prompt_tokens_details
        return details.image_tokens if details else None

    @property
    def billed(self) -> TokenUsage:
        """Token counts without a price."""
        return (self.usage or _Usage()).billed


def content_filtered(what: str, results: Any) -> ContentFiltered:
    """The error for a content filter; `what` says what it did. Includes the categories that
    fired."""
    categories = _fired(results)
    named = f": {', '.join(categories)}" if categories else ""
    return ContentFiltered(f"The provider's content filter {what}{named}.", categories=categories)


def _fired(results: Any) -> tuple[str, ...]:
    if not isinstance(results, dict):
        return ()
    return tuple(
        sorted(
            name
            for name, found in results.items()
            if isinstance(found, dict) and (found.get("filtered") or found.get("detected"))
        )
    )


def bytes_of(numbers: list[int]) -> bytes:
    return bytes(number & 0xFF for number in numbers)
