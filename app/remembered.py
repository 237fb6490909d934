"""A cache in memory of values that can be made again."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """Keeps the newest values."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[K, V] = {}

    def of(self, key: K, make: Callable[[], V]) -> V:
        """The value for this key, which is made if it is not there."""
        if key in self._known:
            return self._known[key]
        if len(self._known) >= self._most:
            del self._known[next(iter(self._known))]
        made = self._known[key] = make()
        return made
