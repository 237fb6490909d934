"""What the calls of a batch would be billed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import fmean
from typing import Literal

from app.batches.looking import Looked
from app.batches.ranges import Range, mean_of_next, total
from app.domains import Domain
from app.providers.base import Capabilities, Provider, Quote, Quoting
from app.result import Result
from app.usage import TokenUsage

LEAST_HISTORY = 10
"""Answers, below which a rule is the better guess."""

TEXT_OFF = 0.2
"""Share by which a rule for text may be wrong: its own tenth, and as much again, for nobody says
how the answer's schema is billed."""
GUESSED_PICTURE = Range(0.06, 1, 8)
"""How far a picture may be off where the model's formula is not known: 1,100 tokens are guessed,
and the formulas that are published say 70 to 8,500 for 512 pixels."""


@dataclass(frozen=True, slots=True)
class Bill:
    """Of one deployment for one domain. Counted is what is billed: not what the quota is charged
    when a call arrives, which is more.

    Attributes:
        quote: None where the provider can't tell.
        history: what earlier calls were billed.
    """

    provider: Provider
    quote: Quote | None
    history: Sequence[Result]

    @classmethod
    def of(cls, provider: Provider, domain: Domain, newest: Sequence[Result]) -> "Bill":
        """`newest`: results of the domain, by whomever."""
        capabilities = provider.capabilities()
        return cls(
            provider,
            provider.quote(domain) if isinstance(provider, Quoting) else None,
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

    def tokens(self, looked: Sequence[Looked], pictures: int) -> tuple[Range, Range]:
        """Of all prompts and of all completions, when these were drawn of `pictures`.

        A prompt is its picture, by the model's formula where it is published, and its text, the
        same for all: what earlier prompts took beside their pictures, or a rule. Where the formula
        is not published earlier prompts are taken as a whole.
        """
        if not self.is_metered:
            return Range.exactly(0), Range.exactly(0)
        calls = total([each.fate == "asked" for each in looked], pictures)
        if self.basis == "measured":
            apart = self._knows_formula(looked)
            text = mean_of_next(
                [_prompt(each, apart=apart) for each in self.history], calls.expected
            )
            answer = mean_of_next([_completion(each) for each in self.history], calls.expected)
        else:
            apart = True
            text, answer = self._by_rule(looked)
        pictures_take = total([_image(each) if apart else 0 for each in looked], pictures)
        if not self._knows_formula(looked):
            pictures_take *= GUESSED_PICTURE
        return pictures_take + calls * text, calls * answer

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

    def least_of_a_call(self) -> Decimal | None:
        """US dollars that no call costs less than: as earlier ones, or a prompt without its
        picture. None when nobody can say."""
        costs = [each.usage.cost_usd for each in self.history if each.usage]
        known = [each for each in costs if each is not None]
        if len(known) >= LEAST_HISTORY:
            return min(known)
        if self.quote is None or not isinstance(self.provider, Quoting):
            return None
        text = math.floor(self.quote.text_tokens * (1 - TEXT_OFF))
        return self.provider.cost(TokenUsage(text, 1))

    def _by_rule(self, looked: Sequence[Looked]) -> tuple[Range, Range]:
        """Text and answer of one call. Of who gives no quote it is known what a call takes at most,
        and not which part is which."""
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


def _was_billed(result: Result, capabilities: Capabilities) -> bool:
    """Whether it is an answer of this deployment, and paid for."""
    model = result.model or ""
    known = capabilities.model
    return (
        result.status in ("accepted", "needs_review")
        and not result.cached
        and result.usage is not None
        and result.usage.prompt_tokens > 0
        and result.deployment == capabilities.deployment
        and (known in ("unknown", model) or model.startswith(f"{known}-"))
    )


def _prompt(result: Result, *, apart: bool) -> int:
    """Tokens; `apart`: without the picture."""
    image = (result.image.tokens or 0) if apart and result.image else 0
    return result.usage.prompt_tokens - image if result.usage else 0


def _completion(result: Result) -> int:
    return result.usage.completion_tokens if result.usage else 0


def _image(looked: Looked) -> int:
    return looked.image_tokens.count if looked.image_tokens else 0
