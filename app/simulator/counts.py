"""Counters of a deployment."""

from collections import Counter
from typing import Literal

from pydantic import BaseModel, Field

from app.simulator.completion import Usage

SECONDS_KEPT = 600


class Billed(BaseModel):
    """Tokens of calls."""

    prompt: int = 0
    image: int = Field(0, description="Of `prompt`.")
    completion: int = 0
    reasoning: int = Field(0, description="Of `completion`.")


class Counts(BaseModel):
    """Since the start, or since counters were last set to zero."""

    arrived: int = Field(0, description="Calls for this deployment that could be read.")
    accepted: int = Field(0, description="That got in.")
    refused_requests: int = Field(0, description="429 for too many requests in a window.")
    refused_tokens: int = Field(0, description="429 for too many tokens in a minute.")
    turned_away: int = Field(0, description="While it was down.")
    invalid: int = Field(0, description="400 after they got in: a parameter, a picture.")
    answered: int = Field(0, description="200 with an answer that makes sense.")
    faults: dict[str, int] = Field(default_factory=dict, description="By kind.")
    tokens_admitted: int = Field(0, description="The estimates of the calls that got in.")
    billed: Billed = Field(
        default_factory=Billed,
        description="By what `usage` told. A client that went away before all of a body came was "
        "billed, too.",
    )
    untold: Billed = Field(
        default_factory=Billed,
        description="Besides, for what came without `usage`: a filtered prompt, a 408, silence, "
        "a broken connection, garbage.",
    )
    in_flight: int = Field(0, description="Now.")
    in_flight_peak: int = 0
    accepted_by_second: dict[int, int] = Field(
        default_factory=dict,
        description=f"By the Unix time of the windows' clock; the last {SECONDS_KEPT} seconds in "
        "which any got in.",
    )


class Tally:
    """Counts one deployment's calls."""

    def __init__(self) -> None:
        self._counts = Counts()
        self._faults: Counter[str] = Counter()
        self._by_second: dict[int, int] = {}

    def arrive(self) -> None:
        counts = self._counts
        counts.arrived += 1
        counts.in_flight += 1
        counts.in_flight_peak = max(counts.in_flight_peak, counts.in_flight)

    def leave(self) -> None:
        self._counts.in_flight -= 1

    def accept(self, tokens: int, now: float) -> None:
        self._counts.accepted += 1
        self._counts.tokens_admitted += tokens
        second = int(now)
        if second not in self._by_second and len(self._by_second) >= SECONDS_KEPT:
            del self._by_second[next(iter(self._by_second))]
        self._by_second[second] = self._by_second.get(second, 0) + 1

    def refuse(self, by: Literal["requests", "tokens"]) -> None:
        if by == "requests":
            self._counts.refused_requests += 1
        else:
            self._counts.refused_tokens += 1

    def turn_away(self) -> None:
        self._counts.turned_away += 1

    def find_invalid(self) -> None:
        self._counts.invalid += 1

    def strike(self, fault: str) -> None:
        self._faults[fault] += 1

    def bill(self, usage: Usage, *, told: bool = True) -> None:
        billed = self._counts.billed if told else self._counts.untold
        billed.prompt += usage.prompt
        billed.image += usage.image
        billed.completion += usage.completion
        billed.reasoning += usage.reasoning

    def answer(self) -> None:
        self._counts.answered += 1

    def counts(self) -> Counts:
        """A copy."""
        copy = self._counts.model_copy(deep=True)
        copy.faults, copy.accepted_by_second = dict(self._faults), dict(self._by_second)
        return copy

    def reset(self) -> None:
        """Set to zero, except for calls in progress."""
        under_way = self._counts.in_flight
        self._counts = Counts(in_flight=under_way, in_flight_peak=under_way)
        self._faults.clear()
        self._by_second.clear()
