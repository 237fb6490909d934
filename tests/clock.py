"""A clock that a test moves forward."""

from datetime import UTC, datetime, timedelta


class Clock:
    """Moves only when told to; it starts a bit ahead, so that what was just stored is in the
    past."""

    def __init__(self) -> None:
        self.began = self.now = datetime.now(UTC) + timedelta(minutes=1)

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return 1_000 + self.passed_s

    @property
    def passed_s(self) -> float:
        return (self.now - self.began).total_seconds()

    def ahead(self, **passed: float) -> None:
        self.now += timedelta(**passed)
