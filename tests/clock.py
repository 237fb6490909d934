"""A clock that a test sets ahead."""

from datetime import UTC, datetime, timedelta


class Clock:
    """Stands still between; it begins a bit ahead, so that what was just stored is past."""

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
