"""Works out what the calls of a batch would be billed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import fmean
from typing import Literal

from app.batches.looking import Looked
from app.batches.ranges import Range, mean_of_next, total
from app.domains import Domain
from app.images import PreparedImage
from app.providers.base import Capabilities, Provider, Quote, Quoting
from app.result import Result
from app.usage import TokenUsage

LEAST_HISTORY = 10
"""With fewer answers than this, a rule of thumb is the better guess."""

TEXT_OFF = 0.2
"""Share by which the rule for text may be wrong: a tenth for the rule itself, and as much again
because it is not documented how the answer's schema is billed."""
PERHAPS = Range(0, 1, 1)
GUESSED_PICTURE = Range(0.06, 1, 8)
"""How far the tokens of a picture may be off where the model's formula is not known: the guess is
1,100, and the published formulas give 70 to 8,500 for 512 pixels."""


@dataclass(frozen=True, slots=True)
class Billed:
    """What calls would be billed.

    Attributes:
        cost: US dollars, low, expected and high; None when the price is not known.
    """

    prompt: Range
    completion: Range
    cost: tuple[Decimal, Decimal, Decimal] | None

    @property
    def at_most(self) -> "Billed":
        """The bill of a provider that may not be asked at all: at least nothing, while the worst
        case is expected."""
        cost = self.cost and (Decimal(0), *self.cost[1:])
        return Billed(self.prompt * PERHAPS, self.completion * PERHAPS, cost)

    def __add__(self, other: "Billed") -> "Billed":
        cost = None
        if self.cost is not None and other.cost is not None:
            (low, expected, high), more = self.cost, other.cost
            cost = (low + more[0], expected + more[1], high + more[2])
        return Billed(self.prompt + other.prompt, self.completion + other.completion, cost)


@dataclass(frozen=True, slots=True)
class Bill:
    """The bill of one deployment for one domain. It counts what is billed, not what the quota is
    charged when a call arrives, which is more.

    Attributes:
        quote: None where the provider gives none.
        history: what earlier calls were billed.
    """

    provider: Provider
    quote: Quote | None
    history: Sequence[Result]

    @classmethod
    def of(
        cls,
        provider: Provider,
        domain: Domain,
        newest: Sequence[Result],
        *,
        shown: Sequence[PreparedImage] = (),
    ) -> "Bill":
        """`newest`: results of the domain, whoever answered; `shown`: examples such as are shown
        beside a picture."""
        capabilities = provider.capabilities()
        return cls(
            provider,
            _quoted(provider, domain, shown) if isinstance(provider, Quoting) else None,
            [
                each
                for each in newest
                if (each.provider, each.domain_version) == (provider.name, domain.version)
                and _was_billed(each, capabilities)
            ],
        )

    @property
    def is_metered(self) -> bool:
        return self.provider.capabilities().metered

    @property
    def basis(self) -> Literal["measured", "rule"] | None:
        if not self.is_metered:
            return None
        return "measured" if len(self.history) >= LEAST_HISTORY else "rule"

    @property
    def calls(self) -> Range:
        """Calls per picture; where their number depends on the answers, the most is expected."""
        if self.quote is None:
            return Range.exactly(1)
        return Range(self.quote.calls, self.quote.most_calls, self.quote.most_calls)

    def of_all(self, looked: Sequence[Looked], pictures: int) -> Billed:
        """The bill for all `pictures`, of which `looked` is a sample."""
        prompt, completion = self.tokens(looked, pictures)
        return Billed(prompt, completion, self.cost(prompt, completion))

    def tokens(self, looked: Sequence[Looked], pictures: int) -> tuple[Range, Range]:
        """Tokens of all prompts and of all completions, for `pictures` of which `looked` is a
        sample.

        A prompt is its picture, counted by the model's formula where that is published, and its
        text, which is the same for all: what earlier prompts took besides their pictures, or a
        rule. Where the formula is not published, earlier prompts are taken as a whole. If there are
        several calls about a picture, earlier bills include all of them, and the picture counts
        once.
        """
        if not self.is_metered:
            return Range.exactly(0), Range.exactly(0)
        asked = total([each.fate == "asked" for each in looked], pictures)
        if self.basis == "measured":
            apart = self._knows_formula(looked)
            text = mean_of_next(
                [_prompt(each, apart=apart) for each in self.history], asked.expected
            )
            answer = mean_of_next([_completion(each) for each in self.history], asked.expected)
            calls = Range.exactly(1)
        else:
            apart = True
            text, answer = self._by_rule(looked)
            calls = self.calls
        pictures_take = total([_image(each) if apart else 0 for each in looked], pictures)
        if not self._knows_formula(looked):
            pictures_take *= GUESSED_PICTURE
        return calls * (pictures_take + asked * text), calls * (asked * answer)

    def cost(self, prompt: Range, completion: Range) -> tuple[Decimal, Decimal, Decimal] | None:
        """US dollars, low, expected and high, without a discount for prompts that the service
        happens to have cached. None when the price is not known."""
        costs = []
        for end in ("low", "expected", "high"):
            usage = TokenUsage(round(getattr(prompt, end)), round(getattr(completion, end)))
            costs.append(self._cost(usage))
        low, expected, high = costs
        if low is None or expected is None or high is None:
            return None
        return low, expected, high

    def least_of_a_picture(self) -> Decimal | None:
        """The least that a picture costs, in US dollars: as the cheapest earlier one, or its prompt
        without the picture. None when that is not known."""
        costs = [each.usage.cost_usd for each in self.history if each.usage]
        known = [each for each in costs if each is not None]
        if len(known) >= LEAST_HISTORY:
            return min(known)
        if self.quote is None or not isinstance(self.provider, Quoting):
            return None
        text = math.floor(self.quote.text_tokens * (1 - TEXT_OFF))
        calls = self.quote.calls
        return self.provider.cost(TokenUsage(calls * text, calls))

    def _by_rule(self, looked: Sequence[Looked]) -> tuple[Range, Range]:
        """Tokens of text and answer of one call. If the provider gives no quote, only the most that
        a call takes is known, not its parts."""
        if self.quote is None:
            most = fmean([each.reserved[0] for each in looked if each.reserved] or [0])
            return Range(0, most, most), Range.exactly(0)
        answer = Range.about(self.quote.completion_tokens, TEXT_OFF)
        most = max(answer.high, self.quote.most_completion_tokens)
        return (
            Range.about(self.quote.text_tokens, TEXT_OFF),
            Range(answer.low, answer.expected, most),
        )

    def _knows_formula(self, looked: Sequence[Looked]) -> bool:
        return all(
            each.image_tokens is not None and not each.image_tokens.estimated
            for each in looked
            if each.fate == "asked"
        )

    def _cost(self, usage: TokenUsage) -> Decimal | None:
        if not self.is_metered:
            return Decimal(0)
        cost = self.provider.cost(usage) if isinstance(self.provider, Quoting) else None
        if cost is not None or self.basis == "rule":
            return cost
        earlier = [each.usage for each in self.history if each.usage]
        costs = [each.cost_usd for each in earlier if each.cost_usd is not None]
        if len(costs) < len(earlier):
            return None
        tokens = sum(each.prompt_tokens + each.completion_tokens for each in earlier)
        return sum(costs, Decimal(0)) * (usage.prompt + usage.completion) / tokens


def _quoted(provider: Quoting, domain: Domain, shown: Sequence[PreparedImage]) -> Quote:
    """The quote with the examples counted as text: they take about the same for all pictures."""
    quote = provider.quote(domain.model_copy(update={"few_shot": len(shown)}))
    pictures = sum(provider.image_tokens(each, domain).count for each in shown)
    return replace(quote, text_tokens=quote.text_tokens + pictures)


def _was_billed(result: Result, capabilities: Capabilities) -> bool:
    """Whether it is an answer of this deployment that was paid for."""
    return (
        result.status in ("accepted", "needs_review")
        and not result.cached
        and result.usage is not None
        and result.usage.prompt_tokens > 0
        and result.deployment == capabilities.deployment
        and capabilities.may_be(result.model or "")
    )


def _prompt(result: Result, *, apart: bool) -> int:
    """Tokens; `apart`: without the picture."""
    image = (result.image.tokens or 0) if apart and result.image else 0
    return result.usage.prompt_tokens - image if result.usage else 0


def _completion(result: Result) -> int:
    return result.usage.completion_tokens if result.usage else 0


def _image(looked: Looked) -> int:
    return looked.image_tokens.count if looked.image_tokens else 0
