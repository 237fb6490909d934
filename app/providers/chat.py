"""A chat model with vision: the code that Azure OpenAI and OpenAI-compatible servers share."""

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
)
from app.images import ImageWorkers, PreparedImage
from app.prices import GLOBAL_STANDARD, Price, Tariff
from app.providers.base import Capabilities, Example, ProviderAnswer, Quote
from app.providers.chat_answer import Bill, ChatAnswer
from app.providers.chat_quote import quote
from app.providers.chat_reading import read_choice
from app.providers.image_tokens import ImageTokenCounter, ImageTokens
from app.providers.learned import Learned
from app.providers.openai_errors import provider_error, quota_report
from app.providers.profiles import ModelTable
from app.providers.prompt_texts import PromptTexts
from app.providers.question import PROMPT_VERSION, ChatQuestion
from app.telemetry.trace import current
from app.usage import TokenUsage

log = structlog.stdlib.get_logger(__name__)

SHOWN_ANSWER_TOKENS = 48
"""The most that an example's answer takes, with the framing of it and of its picture: no token is
less than a byte."""
CHARACTERS_PER_TOKEN = 4
"""Of a prompt, for judging a call when it arrives: OpenAI's rule of thumb for English."""
TYPICAL_CHARACTERS_PER_TOKEN = 4.5
"""A typical ratio, for deducing what a picture took of a prompt that was billed."""

PORTS = {"http": 80, "https": 443}


class ChatModel:
    """One deployment. Which parameters it refuses and to which family it belongs is learned and
    remembered.

    Attributes:
        gen_ai_provider: what OpenTelemetry's conventions call the API in use.
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
            label: this service's name for the deployment, where it differs.
            tariff: what the deployment is billed by.
            model: the family behind it, where it is known beforehand.
            max_tokens_parameter: for servers that know only one spelling.
        """
        self._client = client
        self._name = name
        self._deployment = deployment
        self._label = label or deployment
        self._models = models
        self._learned = Learned(
            models, label=self._label, model=model, max_tokens_parameter=max_tokens_parameter
        )
        self._workers = workers
        self._tariff = tariff
        self._image_tokens = ImageTokenCounter()
        self._texts = PromptTexts()
        self._answers_as = f"{client.base_url} {deployment} {model} {PROMPT_VERSION}"

    @property
    def name(self) -> str:
        return self._name

    def capabilities(self) -> Capabilities:
        return Capabilities(
            self._learned.model or "unknown",
            self._label,
            metered=True,
            confidence_source="stated" if self._states else "logprobs",
            answers_as=self._answers_as,
            tariff=self._tariff.kind,
        )

    def estimate_tokens(self, image: PreparedImage, domain: Domain) -> int:
        text = self._texts.of(domain, stated=self._states)
        picture = self._image_tokens.count(self._learned.family, image, domain.detail)
        return (
            math.ceil(text.characters / CHARACTERS_PER_TOKEN)
            + picture.count
            + self._most_of_examples(domain)
            + self._learned.completion_cap
        )

    def most(self, image: PreparedImage, domain: Domain) -> TokenUsage:
        text = self._texts.of(domain, stated=self._states)
        picture = self._image_tokens.most(self._learned.family, image, domain.detail)
        price = self._price(self._learned.model)
        if self._learned.model is None and price is None:
            price = self._models.dearest(self._tariff)
        prompt = text.most_tokens + picture + self._most_of_examples(domain)
        if price is None:
            return TokenUsage(prompt, self._learned.completion_cap, cost_usd=None)
        return price.most(prompt, self._learned.completion_cap)

    def quote(self, domain: Domain) -> Quote:
        question = ChatQuestion(domain, stated=self._states)
        return quote(question, thinks=self._learned.thinks)

    def image_tokens(self, image: PreparedImage, domain: Domain) -> ImageTokens:
        return self._image_tokens.count(self._learned.family, image, domain.detail)

    def cost(self, usage: TokenUsage) -> Decimal | None:
        return _priced(usage, self._price(self._learned.model)).cost_usd

    async def classify(
        self,
        image: PreparedImage,
        domain: Domain,
        *,
        timeout: float,
        code_order: Sequence[int] | None = None,
        examples: Sequence[Example] = (),
    ) -> ProviderAnswer:
        question = ChatQuestion(domain, stated=self._states, order=code_order)
        messages = await self._messages(question, image, examples)
        cap = self._learned.completion_cap
        answer, headers = await self._complete(question, messages, cap, timeout)
        billed = _priced(answer.billed, self._price(answer.model or self._learned.model))
        quota = quota_report(headers)
        try:
            self._learned.learn(answer, question, cap)
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
        """Tokens of all examples that may be shown, including their answers."""
        if not domain.few_shot:
            return 0
        picture = self._image_tokens.most_of_size(
            self._learned.family, domain.image_size, domain.detail
        )
        return domain.few_shot * (picture + SHOWN_ANSWER_TOKENS)

    @property
    def _states(self) -> bool:
        """Whether the model has to be asked how sure it is, since its tokens do not tell."""
        return not self._learned.gives_logprobs

    async def _complete(
        self, question: ChatQuestion, messages: list[dict[str, Any]], cap: int, timeout: float
    ) -> tuple[ChatAnswer, Mapping[str, str]]:
        """Return the answer and its headers."""
        parameters = self._learned.parameters(question, cap)
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
                model=self._deployment,
                messages=messages,  # type: ignore[arg-type]
                timeout=timeout,
                extra_headers=headers,
                **parameters,
            )
        except openai.BadRequestError as error:
            if self._learned.drops(error, parameters):
                raise ProviderAdjusting(f"The model does not take {error.param}.") from error
            raise provider_error(error) from error
        except openai.OpenAIError as error:
            raise provider_error(error) from error
        except AttributeError as error:
            # What anyio and httpcore2 raise when a connection breaks while it is being made.
            log.warning("a call broke", deployment=self._label, reason=repr(error))
            raise provider_error(error) from error
        try:
            return ChatAnswer.read(raw.http_response.content), raw.headers
        except ProviderAnswerInvalid as error:
            error.may_be_billed = True
            if bill := Bill.read(raw.http_response.content):
                price = self._price(bill.model or self._learned.model)
                error.usage = _priced(bill.usage.billed, price)
            raise

    async def _messages(
        self, question: ChatQuestion, image: PreparedImage, examples: Sequence[Example]
    ) -> list[dict[str, Any]]:
        if image.is_encoded and not examples:
            return question.messages(image)
        return await self._workers.run(question.messages, image, examples)

    def _counted(
        self, answer: ChatAnswer, question: ChatQuestion, image: PreparedImage, *, alone: bool
    ) -> ImageTokens:
        """The prompt tokens that the picture took. `alone`: it was the only picture, and the text
        was that of every such question."""
        text = self._texts.of(question.domain, stated=question.stated)
        if alone and answer.image_tokens is not None:
            text.learn(answer.billed.prompt - answer.image_tokens)
            return ImageTokens(answer.image_tokens, estimated=False)
        if alone and answer.billed.prompt:
            typical = text.characters / TYPICAL_CHARACTERS_PER_TOKEN
            self._image_tokens.learn(answer.billed.prompt - typical, image)
        picture = self._image_tokens.count(self._learned.family, image, question.domain.detail)
        if alone and answer.billed.prompt and not picture.estimated:
            text.learn(answer.billed.prompt - picture.count)
        return picture

    def _price(self, model: str | None) -> Price | None:
        return self._models.price(model, self._tariff)

    def _read(self, answer: ChatAnswer, question: ChatQuestion) -> ProviderAnswer:
        code, found = read_choice(answer.choices[0], question)
        shares = {question.labels[code]: p for code, p in found.probabilities.items()}
        return ProviderAnswer(
            label=question.labels[code],
            probabilities={label: shares.get(label, 0.0) for label in question.domain.labels},
            confidence_source="stated" if question.stated else "logprobs",
            model=answer.model or self._learned.model or "unknown",
            deployment=self._label,
            revision=str(PROMPT_VERSION),
            tail=found.tail,
            untold=frozenset(question.labels[code] for code in found.untold),
        )


def _priced(usage: TokenUsage, price: Price | None) -> TokenUsage:
    if price is None:
        return replace(usage, cost_usd=None)
    return TokenUsage(usage.prompt, usage.completion, usage.parts, price.of(usage), price.version)
