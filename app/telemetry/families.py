"""Metrics by their labels, and stand-ins for them where metrics are off."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from prometheus_client import Counter, Gauge, Histogram

L = TypeVar("L", bound=tuple[str, ...])


class Unmeasured:
    """Stands in for a metric where metrics are off: accepts every call and does nothing."""

    def inc(self, _: float = 1) -> None:
        return

    def dec(self, _: float = 1) -> None:
        return

    def observe(self, _: float, __: Mapping[str, str] | None = None) -> None:
        return

    def set(self, _: float) -> None:
        return

    def clear(self) -> None:
        return

    def set_function(self, _: Callable[[], float]) -> None:
        return


UNMEASURED = Unmeasured()


class Family(dict[tuple[str, ...], Any]):
    """Metrics of one name, cached by the values of their labels: looking one up in the library
    takes longer than counting."""

    def __init__(
        self, labels: Sequence[str], metric: Counter | Gauge | Histogram | Unmeasured
    ) -> None:
        super().__init__()
        self._labels = tuple(labels)
        self._metric = metric

    def __missing__(self, values: tuple[str, ...]) -> Any:
        made = UNMEASURED if isinstance(self._metric, Unmeasured) else self._metric.labels(*values)
        self[values] = made
        return made

    def begin(self, *all_values: tuple[str, ...]) -> None:
        """Create these series with a count of zero."""
        for values in all_values:
            self[values]

    def set_all(self, found: Mapping[L, float]) -> None:
        """Set all series; those not in `found` are removed."""
        self.clear()
        for values, value in found.items():
            self[values].set(value)

    def keep(self, label: str, values: Collection[str]) -> None:
        """Remove the series in which this label, if the family has it, has another value."""
        if label not in self._labels:
            return
        place = self._labels.index(label)
        for each in [each for each in self if each[place] not in values]:
            del self[each]
            if not isinstance(self._metric, Unmeasured):
                self._metric.remove(*each)

    def clear(self) -> None:
        super().clear()
        if not isinstance(self._metric, Unmeasured):
            self._metric.clear()
