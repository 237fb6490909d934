"""What the last hours of faults found: benchmarks/soak.json, which `make soak` writes and
docs/performance.md is made from. A run with complaints is not kept."""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

PATH = Path(__file__).with_name("soak.json")

Form = Literal["one", "several"]


class Twice(BaseModel):
    """Calls that were paid again, of those that one cause could have made to be."""

    paid: int
    at_most: int

    def __str__(self) -> str:
        return f"{self.paid:,} of {self.at_most:,}"


class Grown(BaseModel):
    """One process that lived through most of it: from the first third of its life, when it was
    warm, to the last."""

    name: str
    megabytes: tuple[float, float]
    handles: tuple[float, float]


class Waited(BaseModel):
    """Milliseconds of requests that were answered at once."""

    p50: int
    p99: int


class Soaked(BaseModel):
    """One run.

    Attributes:
        lost: questions and items without the result that they were told of.
        paid_twice: more calls than pictures; `causes` is empty where they were not told apart.
        ledger_above: 0.01: a hundredth more is booked than was billed.
        answered_p99: milliseconds from a question to its answer, whether it was asked for at once
            or later, and however often.
    """

    at: str
    commit: str
    minutes: float
    questions: int
    results: int
    batches: int
    outages: int
    lost: int
    paid_twice: int
    causes: dict[str, Twice] = Field(default_factory=dict)
    ledger_above: float
    processes: list[Grown]
    calm: Waited
    all: Waited
    answered_p99: int | None = None


class Soaks(BaseModel):
    """The last run of each form."""

    forms: dict[Form, Soaked] = Field(default_factory=dict)

    @classmethod
    def read(cls, path: Path = PATH) -> "Soaks":
        return cls.model_validate_json(path.read_text()) if path.exists() else cls()

    def write(self, path: Path = PATH) -> None:
        """A line for each form."""
        lines = (
            f"{json.dumps(form)}: {each.model_dump_json(exclude_defaults=True)}"
            for form, each in sorted(self.forms.items())
        )
        path.write_text('{"forms": {\n' + ",\n".join(lines) + "\n}}\n")
