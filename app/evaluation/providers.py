"""Each provider's share of the answers, its accuracy, and what asking one alone would have cost."""

from collections import defaultdict
from collections.abc import Sequence

from app.evaluation.figures import interval, per_1000
from app.evaluation.judged import Judged
from app.evaluation.report import Instead, ProviderScore
from app.result import NONE


def by_provider(judged: Sequence[Judged]) -> list[ProviderScore]:
    """For providers that answered, most answers first."""
    apart: defaultdict[str, list[Judged]] = defaultdict(list)
    for each in judged:
        if each.predicted is not None and each.provider is not None:
            apart[each.provider].append(each)
    total = sum(map(len, apart.values()))
    scores = [_score(name, answers, total) for name, answers in apart.items()]
    return sorted(scores, key=lambda each: (-each.answers, each.provider))


def _score(name: str, answers: Sequence[Judged], total: int) -> ProviderScore:
    known = [each for each in answers if each.expected != NONE]
    right = sum(each.right for each in known)
    return ProviderScore(
        provider=name,
        models=sorted({each.model for each in answers if each.model}),
        answers=len(answers),
        share=len(answers) / total,
        n=len(known),
        accuracy=right / len(known) if known else None,
        interval=interval(right, len(known)),
        cost_per_1000=per_1000(each.cost_usd for each in answers if not each.cached),
    )


def instead(judged: Sequence[Judged], scores: Sequence[ProviderScore]) -> Instead | None:
    """As if the most expensive of several providers had answered everything. None where that is not
    meaningful: there is only one, nothing was paid, or a price is not known."""
    costs = [each.cost_per_1000 for each in scores if each.cost_per_1000 is not None]
    if len(scores) < 2 or not costs or not max(costs):
        return None
    dearest = max(scores, key=lambda each: each.cost_per_1000 or 0.0)
    asked = [each for each in judged if each.predicted is not None and not each.cached]
    cost = per_1000(each.cost_usd for each in asked)
    if cost is None or dearest.cost_per_1000 is None:
        return None
    called = sum(each.provider == dearest.provider for each in asked)
    return Instead(
        provider=dearest.provider,
        calls_share=called / len(asked),
        cost_per_1000=dearest.cost_per_1000,
        saved_per_1000=dearest.cost_per_1000 - cost,
    )
