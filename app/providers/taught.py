"""What was taught while the service runs, for the provider that uses it."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.domains import ACCURACY


@dataclass(frozen=True, slots=True)
class TaughtHead:
    """
    Attributes:
        revision: of the head, `les_...`.
        content: in the provider's own format.
        threshold: the confidence at or above which its answers were right with `accuracy` when
            judged on examples that it had not seen; None: not known.
        accuracy: the share of right answers for which `threshold` was sought, 0 to 1.
    """

    revision: str
    content: str
    threshold: float | None = None
    accuracy: float = ACCURACY


class Taught:
    """Heads by domain. Teaching may replace them at any time, so the provider looks them up each
    time."""

    def __init__(self) -> None:
        self._heads: Mapping[str, TaughtHead] = {}

    def of(self, domain: str) -> TaughtHead | None:
        return self._heads.get(domain)

    def replace(self, heads: Mapping[str, TaughtHead]) -> None:
        """Replace all heads at once."""
        self._heads = dict(heads)
