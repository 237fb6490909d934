"""What is made again when it is not at hand."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """The newest ones."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[K, V] = {}

    def of(self, key: K, make: Callable[[], V]) -> V:
        """What was made for this key, by now at least."""
        if key in self._known:
            return self._known[key]
        if len(self._known) >= self._most:
            del self._known[next(iter(self._known))]
        made = self._known[key] = make()
        return made
