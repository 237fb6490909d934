"""From one question to one distribution, by as many calls as the domain asks for."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import structlog

from app.classification import pooling
from app.classification.orders import Order, Orders
from app.classification.showing import Showing
from app.domains import Domain
from app.errors import ClassifierError
from app.providers.base import Example, ProviderAnswer
from app.traffic import Case, Dispatcher, Spent, Turn, clock

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Asker:
    """One question, whose calls share a dispatcher, a turn and examples."""

    dispatcher: Dispatcher
    case: Case
    turn: Turn
    examples: Sequence[Example]

    async def first(self, names: Sequence[str], order: Sequence[int]) -> ProviderAnswer:
        return await self.dispatcher.ask(
            names, self.case, code_order=order, examples=self.examples, turn=self.turn
        )

    async def others(
        self, first: ProviderAnswer, orders: Sequence[Sequence[int]]
    ) -> list[ProviderAnswer]:
        """The answers of calls made at the same time, without those that failed, and those of
        another kind, which can't be counted with the first."""
        spent = [Spent() for _ in orders]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._another(first, *each))
                    for each in zip(orders, spent, strict=True)
                ]
        finally:
            # Book what was paid, even if nobody waits for it any more; but it is one answer.
            for entry in chain.from_iterable(each.entries for each in spent):
                entry.answers = 0
            self.case.spent.add(spent)
        came = [answer for task in tasks if (answer := task.result()) is not None]
        self.case.spent.incomplete |= len(came) < len(orders)
        return came

    async def _another(
        self, first: ProviderAnswer, order: Sequence[int], spent: Spent
    ) -> ProviderAnswer | None:
        provider = self.case.spent.provider
        try:
            answer = await self.dispatcher.ask_again(
                provider or "",
                first,
                replace(self.case, spent=spent),
                code_order=order,
                examples=self.examples,
                since=self.turn.since,
                call_s=self.case.spent.call_s,
            )
        except ClassifierError as error:
            log.warning("the answer stands on fewer calls", reason=error.slug())
            return None
        except Exception:
            log.exception("a further call met an unexpected error", provider=provider)
            return None
        if _kind(answer) == _kind(first):
            return answer
        log.warning("another model answered", model=answer.model, first=first.model)
        return None


class Eliciting:
    """Each call offers the classes in an order derived from the picture. If calls after the first
    fail, the answer rests on the others."""

    def __init__(self, dispatcher: Dispatcher, showing: Showing | None = None) -> None:
        """No `showing`: no model is shown examples."""
        self._dispatcher = dispatcher
        self._showing = showing
        self._orders = Orders()

    def few_shot(self, domain: Domain) -> int:
        """How many examples models are shown: none without a lesson."""
        shows = self._showing is not None and self._showing.lesson(domain)
        return domain.few_shot if shows else 0

    async def elicit(
        self, names: Sequence[str], case: Case, *, turn: Turn | None = None
    ) -> ProviderAnswer:
        """Ask the providers in order until one answers, and that one as often as the domain asks
        for. `turn` and what is raised are as in Dispatcher.ask."""
        turn, image, domain = turn or Turn(clock.now()), case.image, case.domain
        examples: Sequence[Example] = ()
        lesson = ""
        if self._showing is not None and domain.few_shot:
            lesson = self._showing.lesson(domain)
            found = await self._showing.like(image, domain, names)
            if found is None:
                lesson = ""  # the model answers without having seen examples
            examples = found or ()
        asker = _Asker(self._dispatcher, case, turn, examples)
        order = self._orders.of(image.sha256, domain)
        first = await asker.first(names, order)
        asked = case.spent.capabilities
        if asked is not None and asked.takes_examples:
            first = replace(first, learned=first.learned or lesson)
        if first.confidence_source == "stated" and domain.votes > 1:
            return await _vote(asker, first, self._orders)
        if first.confidence_source in ("logprobs", "stated") and domain.orders == 2:
            return await _reverse(asker, first, order)
        return first


async def _reverse(asker: _Asker, first: ProviderAnswer, order: Order) -> ProviderAnswer:
    """Ask again in reversed order. If the model did not report the probability of every class, only
    those that it reported are offered again."""
    domain = asker.case.domain
    offered = domain.offered
    again = [
        place
        for place in reversed(order)
        if offered[place] is None or offered[place] not in first.untold
    ]
    if len(again) < 2:
        return first
    seconds = await asker.others(first, [again])
    if not seconds:
        return first
    (second,) = seconds
    return pooling.both_orders(first, second, [offered[place] for place in again], domain)


async def _vote(asker: _Asker, first: ProviderAnswer, orders: Orders) -> ProviderAnswer:
    """Cast as many votes at once as decide if they agree with the leader; cast more while the vote
    is open, or the leader is not accepted yet and could be."""
    image, domain = asker.case.image, asker.case.domain
    ballots, asked, most = [first], 1, domain.votes
    while (wanted := pooling.votes_wanted(ballots, domain, left=most - asked)) > 0:
        calls = range(asked, asked + wanted)
        ballots += await asker.others(
            first, [orders.of(image.sha256, domain, call) for call in calls]
        )
        asked += wanted
        if asker.case.spent.incomplete:
            break
    return pooling.counted(ballots, domain) if len(ballots) > 1 else first


def _kind(answer: ProviderAnswer) -> tuple[str, str]:
    return answer.model, answer.confidence_source
