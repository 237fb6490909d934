"""A chat model that looks at pictures: what Azure OpenAI and OpenAI-compatible servers share."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import openai
import structlog

from app.domains import Domain
from app.errors import (
    ProviderAdjusting,
    ProviderAnswerInvalid,
    ProviderError,
    ProviderRefused,
)
from app.images import ImageWorkers, PreparedImage
from app.prices import GLOBAL_STANDARD, Price, Tariff
from app.providers.base import Capabilities, Example, ProviderAnswer, Quote
from app.providers.chat_answer import Bill, ChatAnswer, Choice, content_filtered
from app.providers.chat_quote import quote
from app.providers.codes import Distribution, read_distribution
from app.providers.image_tokens import ImageTokenCounter, ImageTokens
from app.providers.openai_errors import provider_error, quota_report
from app.providers.profiles import UNKNOWN_FAMILY, ModelTable
from app.providers.prompt_texts import PromptTexts
from app.providers.question import FIELD, PROMPT_VERSION, ChatQuestion
from app.telemetry.trace import current
from app.usage import TokenUsage

log = structlog.stdlib.get_logger(__name__)

TOP_LOGPROBS = 20
ANSWER_TOKENS = 32
SHOWN_ANSWER_TOKENS = 48
"""That an example's answer takes at most, and what frames it and its picture: no token is less than
a byte."""
REASONING_TOKENS = 4_096
"""Cap of the completion, without and with room to reason."""
CHARACTERS_PER_TOKEN = 4
"""Of a prompt, as a call is judged by when it arrives: OpenAI's rule of thumb for English."""
TYPICAL_CHARACTERS_PER_TOKEN = 4.5
"""As they are, about: to tell what a picture took of a prompt that was billed."""

PORTS = {"http": 80, "https": 443}

REFUSALS = frozenset({"unsupported_parameter", "unsupported_value", "unknown_parameter"})
DROPPABLE = frozenset({"temperature", "reasoning_effort", "logprobs"})
"""Parameters that the answer can do without."""


class ChatModel:
    """One deployment. What it refuses, and which family it is of, is learned and remembered.

    Attributes:
        gen_ai_provider: as OpenTelemetry's conventions name the API that is spoken.
    """

    gen_ai_provider = "openai"

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        *,
        name: str,
        deployment: str,
        model: str | None,
        models: ModelTable,
        workers: ImageWorkers,
        label: str | None = None,
        max_tokens_parameter: str | None = None,
        tariff: Tariff = GLOBAL_STANDARD,
    ) -> None:
        """
        Args:
            label: what the deployment is called here, where that is another name.
            tariff: by what it is billed.
            model: the family behind it, where it is known beforehand.
            max_tokens_parameter: for servers that know only one spelling.
        """
        self._client = client
        self._name = name
        self._deployment = deployment
        self._label = label or deployment
        self._models = models
        self._workers = workers
        self._model = model
        self._family = models.family(model)
        self._max_tokens_parameter = max_tokens_parameter
        self._dropped: set[str] = set()
        self._may_reason = False
        self._tariff = tariff
        self._image_tokens = ImageTokenCounter()
        self._texts = PromptTexts()
        self._answers_as = f"{client.base_url} {deployment} {model} {PROMPT_VERSION}"

    @property
    def name(self) -> str:
        return self._name

    def capabilities(self) -> Capabilities:
        return Capabilities(
            self._model or "unknown",
            self._label,
            metered=True,
            confidence_source="logprobs" if self._gives_logprobs else "stated",
            answers_as=self._answers_as,
            tariff=self._tariff.kind,
        )

    def estimate_tokens(self, image: PreparedImage, domain: Domain) -> int:
        text = self._texts.of(domain, stated=not self._gives_logprobs)
        picture = self._image_tokens.count(self._family, image, domain.detail)
        return (
            math.ceil(text.characters / CHARACTERS_PER_TOKEN)
            + picture.count
            + self._most_of_examples(domain)
            + self._completion_cap
        )

    def most(self, image: PreparedImage, domain: Domain) -> TokenUsage:
        text = self._texts.of(domain, stated=not self._gives_logprobs)
        picture = self._image_tokens.most(self._family, image, domain.detail)
        price = self._price(self._model)
        if self._model is None and price is None:
            price = self._models.dearest(self._tariff)
        prompt = text.most_tokens + picture + self._most_of_examples(domain)
        if price is None:
            return TokenUsage(prompt, self._completion_cap, cost_usd=None)
        return price.most(prompt, self._completion_cap)

    def quote(self, domain: Domain) -> Quote:
        question = ChatQuestion(domain, stated=not self._gives_logprobs)
        thinks = self._may_reason or self._effort not in (None, "none", "minimal")
        return quote(question, thinks=thinks)

    def image_tokens(self, image: PreparedImage, domain: Domain) -> ImageTokens:
        return self._image_tokens.count(self._family, image, domain.detail)

    def cost(self, usage: TokenUsage) -> Decimal | None:
        return _priced(usage, self._price(self._model)).cost_usd

    async def classify(
        self,
        image: PreparedImage,
        domain: Domain,
        *,
        timeout: float,
        code_order: Sequence[int] | None = None,
        examples: Sequence[Example] = (),
    ) -> ProviderAnswer:
        question = ChatQuestion(domain, stated=not self._gives_logprobs, order=code_order)
        messages = await self._messages(question, image, examples)
        cap = self._completion_cap
        answer, headers = await self._complete(question, messages, cap, timeout)
        billed = _priced(answer.billed, self._price(answer.model or self._model))
        quota = quota_report(headers)
        try:
            self._learn_from(answer, question, cap)
            read = self._read(answer, question)
        except ProviderError as error:
            error.usage, error.may_be_billed, error.quota = billed, True, quota
            raise
        alone = question.offers_all and not examples
        picture = self._counted(answer, question, image, alone=alone)
        return replace(
            read,
            request_id=headers.get("apim-request-id") or headers.get("x-request-id"),
            usage=billed,
            image_tokens=picture.count,
            image_tokens_estimated=picture.estimated,
            quota=quota,
        )

    async def aclose(self) -> None:
        await self._client.close()

    def _most_of_examples(self, domain: Domain) -> int:
        """Tokens of all that may be shown, and of the answers beside them."""
        if not domain.few_shot:
            return 0
        picture = self._image_tokens.most_of_size(self._family, domain.image_size, domain.detail)
        return domain.few_shot * (picture + SHOWN_ANSWER_TOKENS)

    @property
    def _gives_logprobs(self) -> bool:
        return self._family.logprobs and "logprobs" not in self._dropped

    @property
    def _effort(self) -> str | None:
        return None if "reasoning_effort" in self._dropped else self._family.reasoning_effort

    @property
    def _completion_cap(self) -> int:
        reasons = self._may_reason or self._effort not in (None, "none")
        return REASONING_TOKENS if reasons else ANSWER_TOKENS

    @property
    def _spelling(self) -> str:
        return self._max_tokens_parameter or self._family.max_tokens_parameter

    def _parameters(self, question: ChatQuestion, cap: int) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "model": self._deployment,
            "response_format": question.response_format,
            self._spelling: cap,
        }
        if self._effort:
            parameters["reasoning_effort"] = self._effort
        takes_temperature = self._family.temperature and "temperature" not in self._dropped
        if takes_temperature and not question.is_sample:
            parameters["temperature"] = 0
        if self._gives_logprobs:
            parameters |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        return parameters

    async def _complete(
        self, question: ChatQuestion, messages: list[dict[str, Any]], cap: int, timeout: float
    ) -> tuple[ChatAnswer, Mapping[str, str]]:
        """The answer and its headers."""
        parameters = self._parameters(question, cap)
        url = self._client.base_url
        asked = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": self.gen_ai_provider,
            "gen_ai.request.model": self._deployment,
            "server.address": url.host,
            "server.port": url.port or PORTS.get(url.scheme),
        }
        with current().span(f"chat {self._deployment}", asked, calls=True) as span:
            answer, headers = await self._completed(parameters, messages, timeout, span.headers)
            span.set(
                {
                    "gen_ai.response.model": answer.model,
                    "gen_ai.usage.input_tokens": answer.billed.prompt,
                    "gen_ai.usage.output_tokens": answer.billed.completion,
                }
            )
        return answer, headers

    async def _completed(
        self,
        parameters: dict[str, Any],
        messages: list[dict[str, Any]],
        timeout: float,
        headers: Mapping[str, str],
    ) -> tuple[ChatAnswer, Mapping[str, str]]:
        try:
            raw = await self._client.chat.completions.with_raw_response.create(
                messages=messages,  # type: ignore[arg-type]
                timeout=timeout,
                extra_headers=headers,
                **parameters,
            )
        except openai.BadRequestError as error:
            if self._drops(error, parameters):
                raise ProviderAdjusting(f"The model does not take {error.param}.") from error
            raise provider_error(error) from error
        except openai.OpenAIError as error:
            raise provider_error(error) from error
        try:
            return ChatAnswer.read(raw.http_response.content), raw.headers
        except ProviderAnswerInvalid as error:
            error.may_be_billed = True
            if bill := Bill.read(raw.http_response.content):
                price = self._price(bill.model or self._model)
                error.usage = _priced(bill.usage.billed, price)
            raise

    def _drops(self, error: openai.BadRequestError, parameters: dict[str, Any]) -> bool:
        """Whether the call was refused for a parameter that it can do without from now on."""
        refused = "logprobs" if error.param == "top_logprobs" else str(error.param)
        if refused not in parameters:
            return False
        if refused in ("max_tokens", "max_completion_tokens"):
            if self._spelling != refused:
                return True  # a call that ran beside this one has learned it
            if self._max_tokens_parameter == "max_completion_tokens":
                return False
            self._max_tokens_parameter = (
                "max_tokens" if refused == "max_completion_tokens" else "max_completion_tokens"
            )
        elif refused in DROPPABLE and (error.code in REFUSALS or refused == "reasoning_effort"):
            self._dropped.add(refused)
        else:
            return False
        log.info("the model refuses a parameter", deployment=self._label, parameter=refused)
        return True

    def _learn_from(self, answer: ChatAnswer, question: ChatQuestion, cap: int) -> None:
        """Take what the answer tells of the model. Raises ProviderAdjusting when it must be asked
        anew for that."""
        if self._model is None and answer.model:
            self._model = answer.model
            self._family = self._models.family(answer.model)
            known = self._family is not UNKNOWN_FAMILY
            log.info("model found", model=answer.model, known=known)
        choice = answer.choices[0]
        if choice.finish_reason == "length" and cap < REASONING_TOKENS:
            self._may_reason = True
            raise ProviderAdjusting("The model reasons, and the cap of a short answer cut it off.")
        if not question.stated and _tells_no_distribution(choice, question):
            self._dropped.add("logprobs")
            log.info("the model gives no logprobs", deployment=self._label)
            raise ProviderAdjusting("The model gives no logprobs.")

    async def _messages(
        self, question: ChatQuestion, image: PreparedImage, examples: Sequence[Example]
    ) -> list[dict[str, Any]]:
        if image.is_encoded and not examples:
            return question.messages(image)
        return await self._workers.run(question.messages, image, examples)

    def _counted(
        self, answer: ChatAnswer, question: ChatQuestion, image: PreparedImage, *, alone: bool
    ) -> ImageTokens:
        """What the picture took of the prompt; `alone` when it was the only one, and the text that
        of all such questions."""
        text = self._texts.of(question.domain, stated=question.stated)
        if alone and answer.image_tokens is not None:
            text.learn(answer.billed.prompt - answer.image_tokens)
            return ImageTokens(answer.image_tokens, estimated=False)
        if alone and answer.billed.prompt:
            typical = text.characters / TYPICAL_CHARACTERS_PER_TOKEN
            self._image_tokens.learn(answer.billed.prompt - typical, image)
        picture = self._image_tokens.count(self._family, image, question.domain.detail)
        if alone and answer.billed.prompt and not picture.estimated:
            text.learn(answer.billed.prompt - picture.count)
        return picture

    def _price(self, model: str | None) -> Price | None:
        return self._models.price(model, self._tariff)

    def _read(self, answer: ChatAnswer, question: ChatQuestion) -> ProviderAnswer:
        choice = answer.choices[0]
        _check_finished(choice)
        code, percent = question.parse(choice.message.content)
        if percent is not None:
            found = _stated(question, code, percent)
        else:
            read = read_distribution(choice.tokens or (), tuple(question.labels), field=FIELD)
            if read is None:
                raise ProviderAnswerInvalid("The model's answer carries no probabilities.")
            found = read
        shares = {question.labels[code]: p for code, p in found.probabilities.items()}
        return ProviderAnswer(
            label=question.labels[code],
            probabilities={label: shares.get(label, 0.0) for label in question.domain.labels},
            confidence_source="stated" if question.stated else "logprobs",
            model=answer.model or self._model or "unknown",
            deployment=self._label,
            revision=str(PROMPT_VERSION),
            tail=found.tail,
            untold=frozenset(question.labels[code] for code in found.untold),
        )


def _priced(usage: TokenUsage, price: Price | None) -> TokenUsage:
    if price is None:
        return replace(usage, cost_usd=None)
    return TokenUsage(usage.prompt, usage.completion, usage.parts, price.of(usage), price.version)


def _tells_no_distribution(choice: Choice, question: ChatQuestion) -> bool:
    """Whether a good answer lacks only its probabilities."""
    try:
        _check_finished(choice)
        question.parse(choice.message.content)
    except ProviderError:
        return False
    return read_distribution(choice.tokens or (), tuple(question.labels), field=FIELD) is None


def _stated(question: ChatQuestion, code: str, percent: int) -> Distribution:
    """The stated confidence for the answer, the rest spread evenly over what else was offered."""
    confidence = percent / 100
    rest = (1 - confidence) / (len(question.labels) - 1)
    return Distribution(
        {each: confidence if each == code else rest for each in question.labels}, coverage=1.0
    )


def _check_finished(choice: Choice) -> None:
    """Raises ContentFiltered, ProviderRefused, ProviderAnswerInvalid."""
    if choice.finish_reason == "content_filter":
        raise content_filtered("stopped the answer", choice.content_filter_results)
    if choice.message.refusal:
        raise ProviderRefused("The model declines to say what the picture shows.")
    if choice.finish_reason == "length":
        raise ProviderAnswerInvalid("The model's answer was cut off.")
