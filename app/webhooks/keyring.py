"""The secrets of one webhook: the current one, and replaced ones that still sign after a
rotation."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

SIGNS_ON = timedelta(hours=24)
"""How long the receiver has to switch to a new secret."""

MOST = 3
"""Secrets that sign at the same time: a header has room for only a few signatures."""


@dataclass(frozen=True, slots=True)
class Secret:
    """`until` None: it signs until it is replaced."""

    value: str = field(repr=False)
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Keyring:
    """The newest first."""

    secrets: tuple[Secret, ...]

    @classmethod
    def of(cls, value: str) -> Self:
        return cls((Secret(value),))

    @classmethod
    def load(cls, text: str) -> Self:
        """From the output of `dump`."""
        return cls(
            tuple(
                Secret(value, None if until is None else datetime.fromisoformat(until))
                for value, until in json.loads(text)
            )
        )

    def dump(self) -> str:
        return json.dumps(
            [(each.value, each.until and each.until.isoformat()) for each in self.secrets]
        )

    @property
    def newest(self) -> str:
        return self.secrets[0].value

    def at(self, now: datetime) -> list[str]:
        """Secrets that sign at `now`."""
        return [each.value for each in self.secrets if each.until is None or each.until > now]

    def rotated(self, value: str, now: datetime) -> Self:
        """`value` signs from now on; the previous secrets sign for a day more."""
        old = tuple(
            Secret(each.value, min(each.until or now + SIGNS_ON, now + SIGNS_ON))
            for each in self.secrets
            if each.until is None or each.until > now
        )
        return type(self)((Secret(value), *old)[:MOST])
