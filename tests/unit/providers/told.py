"""What a model's answer becomes when it tells only its most probable codes."""

import math

from app.domains import Domain
from app.providers.base import ProviderAnswer
from app.providers.codes import Token, codes, read_distribution


def told(shares: dict[str | None, float], shown: int, domain: Domain) -> ProviderAnswer:
    """`shares` are of all that was offered, and sum to 1."""
    offered = list(shares)
    names = codes(len(offered))
    label_of = dict(zip(names, offered, strict=True))
    best = sorted(names, key=lambda code: -shares[label_of[code]])[:shown]
    opening = Token(b'{"label":"', [(b'{"label":"', 0.0)])
    alternatives = [(code.encode(), math.log(shares[label_of[code]])) for code in best]
    chosen = Token(best[0].encode(), alternatives)
    found = read_distribution([opening, chosen], names, field="label")
    assert found is not None
    read = {label_of[code]: p for code, p in found.probabilities.items()}
    return ProviderAnswer(
        label_of[best[0]],
        {label: read.get(label, 0.0) for label in domain.labels},
        "logprobs",
        "m",
        tail=found.tail,
        untold=frozenset(label_of[code] for code in found.untold),
    )
