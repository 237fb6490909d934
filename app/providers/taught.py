"""What was taught while the service runs, for the provider that learns."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.domains import ACCURACY


@dataclass(frozen=True, slots=True)
class TaughtHead:
    """
    Attributes:
        revision: of it, `les_...`.
        content: as the provider reads it.
        threshold: the confidence from which on its answers were right as often as was asked for
            when it was judged by examples that it had not seen; None: nobody knows.
        accuracy: how often that is, 0 to 1.
    """

    revision: str
    content: str
    threshold: float | None = None
    accuracy: float = ACCURACY


class Taught:
    """By domain. Whoever teaches replaces it, at any time; who learns looks each time."""

    def __init__(self) -> None:
        self._heads: Mapping[str, TaughtHead] = {}

    def of(self, domain: str) -> TaughtHead | None:
        return self._heads.get(domain)

    def replace(self, heads: Mapping[str, TaughtHead]) -> None:
        """All at once."""
        self._heads = dict(heads)
