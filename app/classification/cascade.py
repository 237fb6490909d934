"""Cascades: the first provider answers what it is sure enough of, the next one what is left."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

import structlog

from app.calibration import Calibrations, Surenesses, key_of
from app.classification.eliciting import Eliciting
from app.classification.verdict import verdict
from app.domains import Domain
from app.errors import (
    BudgetSpent,
    ClassifierError,
    ProviderError,
    ProviderUnavailable,
    ProviderUnknown,
)
from app.images import PreparedImage
from app.ledger import LedgerEntry
from app.providers.base import Capabilities, Provider, ProviderAnswer, Quote, Quoting
from app.providers.registry import ProviderRegistry
from app.remembered import Remembered
from app.traffic import WORTH_ANOTHER_PROVIDER, Case, Spent, Turn, clock
from app.usage import TokenUsage

log = structlog.stdlib.get_logger(__name__)

MAX_QUOTED = 1_000
"""Quotes that are remembered: how many tokens a question about a domain takes."""


def answering(names: Sequence[str], domain: Domain) -> Sequence[str]:
    """The providers whose answers will do when none is down: the first, or the whole cascade."""
    return names if domain.cascade is not None else names[:1]


class Standing:
    """Decides whether an answer stands, or the next provider of a cascade is asked."""

    def __init__(self, calibrations: Calibrations, surenesses: Surenesses) -> None:
        self._calibrations = calibrations
        self._surenesses = surenesses

    async def stands(self, answer: ProviderAnswer, provider: str, domain: Domain) -> bool:
        """Whether the answer would be accepted if it also had to reach the cascade's threshold. The
        quality of the picture does not count: another provider would see the same picture. Raises
        ProviderUnknown."""
        key = key_of(answer, provider, domain)
        sureness = await self._surenesses.of(key, domain)
        if sureness.threshold is None:
            return False
        calibration = self._calibrations.of(key)
        judged = verdict(
            answer if calibration is None else calibration.of_answer(answer),
            domain,
            good_picture=True,
            degraded=False,
            threshold=sureness.threshold,
        )
        return judged.status == "accepted"


@dataclass(frozen=True, slots=True)
class _Unsure:
    """An answer that stands unless a better one follows, and who gave it.

    Attributes:
        entries: of the ledger, for its calls.
        answers: how many answers each of `entries` brought.
    """

    answer: ProviderAnswer
    provider: str | None
    capabilities: Capabilities | None
    call_s: float
    incomplete: bool
    entries: Sequence[LedgerEntry]
    answers: Sequence[int]

    @classmethod
    def of(cls, answer: ProviderAnswer, spent: Spent, entries: Sequence[LedgerEntry]) -> Self:
        return cls(
            answer,
            spent.provider,
            spent.capabilities,
            spent.call_s,
            spent.incomplete,
            entries,
            [each.answers for each in entries],
        )


class Cascading:
    """Asks through `Eliciting`, and provider by provider only where the domain has a cascade."""

    def __init__(
        self, eliciting: Eliciting, standing: Standing, providers: ProviderRegistry
    ) -> None:
        self._eliciting = eliciting
        self._standing = standing
        self._providers = providers
        self._quotes = Remembered[tuple[str, str, str, int], Quote](MAX_QUOTED)

    async def elicit(self, names: Sequence[str], case: Case) -> ProviderAnswer:
        """As Eliciting.elicit. In a cascade, returns the first answer that is sure enough, else
        that of the last provider that answers; sets `spent.degraded` where a better one could
        not."""
        domain, spent = case.domain, case.spent
        if domain.cascade is None or len(names) < 2:
            return await self._eliciting.elicit(names, case)
        began = clock.now()
        unsure: list[_Unsure] = []
        failure: ClassifierError | None = None
        for later, name in zip(range(len(names) - 1, -1, -1), names, strict=True):
            entries = len(spent.entries)
            turn = Turn(began, later, alone=bool(unsure))
            try:
                answer = await self._eliciting.elicit((name,), case, turn=turn)
            except (BudgetSpent, ProviderError, *WORTH_ANOTHER_PROVIDER) as error:
                failure = self._failed(error, failure, name, unsure, case)
                continue
            # Where a budget put the local model in its place, this provider was not asked.
            is_asked = spent.provider == name
            if not later or (is_asked and await self._standing.stands(answer, name, domain)):
                spent.degraded = not is_asked
                spent.contradicted = any(_contradicts(answer, each.answer) for each in unsure)
                if later:
                    spent.spared_usd = await self._spared(names[-later:], case.image, domain)
                return answer
            said = _Unsure.of(answer, spent, spent.entries[entries:])
            for entry in said.entries:
                entry.answers = 0  # no result has this answer
            spent.incomplete = False
            unsure.append(said)
        if not unsure:
            raise failure or ProviderUnavailable("No provider is named for this domain.")
        return _make_do(unsure[-1], spent)

    def _failed(
        self,
        error: ClassifierError,
        before: ClassifierError | None,
        name: str,
        unsure: Sequence[_Unsure],
        case: Case,
    ) -> ClassifierError:
        """The error to raise if nobody answers. Raises it at once where asking another provider
        does not help."""
        if isinstance(error, BudgetSpent):
            if case.payer.batch_id is not None and not error.degrades:
                # A batch waits until its budget has room, and then asks again.
                if not case.spent.entries:
                    case.spent.calls = 0
                raise error
        elif not unsure and not isinstance(error, WORTH_ANOTHER_PROVIDER):
            raise error
        log.warning("one of a cascade does not answer", provider=name, reason=error.slug())
        return before or error

    async def _spared(
        self, names: Sequence[str], image: PreparedImage, domain: Domain
    ) -> Decimal | None:
        """What the first metered provider of these would have cost; None: none is metered."""
        for name in names:
            with suppress(ProviderUnknown):
                provider, *_ = await self._providers.get(name)
                if provider.capabilities().metered:
                    return self._cost(provider, image, domain)
        return None

    def _cost(self, provider: Provider, image: PreparedImage, domain: Domain) -> Decimal:
        """Approximately, in US dollars; 0 where the price is not known."""
        if not isinstance(provider, Quoting):
            return Decimal(0)
        few_shot = self._eliciting.few_shot(domain)
        quote = self._quotes.of(
            (provider.name, domain.name, domain.version, few_shot),
            lambda: provider.quote(domain.model_copy(update={"few_shot": few_shot})),
        )
        # Examples are about as large as the picture.
        pictures = 1 + few_shot
        prompt = quote.text_tokens + pictures * provider.image_tokens(image, domain).count
        usage = TokenUsage(quote.calls * prompt, quote.calls * quote.completion_tokens)
        return provider.cost(usage) or Decimal(0)


def _contradicts(answer: ProviderAnswer, earlier: ProviderAnswer) -> bool:
    """Whether the labels differ. An earlier answer about a picture unlike anything that the model
    was taught is no opinion, and does not count."""
    return answer.label != earlier.label and not earlier.out_of_domain


def _make_do(with_: _Unsure, spent: Spent) -> ProviderAnswer:
    spent.degraded = True
    spent.provider, spent.capabilities = with_.provider, with_.capabilities
    spent.call_s, spent.incomplete = with_.call_s, with_.incomplete
    for entry, answers in zip(with_.entries, with_.answers, strict=True):
        entry.answers = answers
    return with_.answer
