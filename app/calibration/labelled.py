"""Answers of which the true class is known, as a fit takes them."""

import asyncio
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from app.result import NONE, none_of_these
from app.storage import CalibrationKey, LabelledAnswer, LabelledRepository


@dataclass(frozen=True, slots=True)
class Labelled:
    """
    Attributes:
        said: probabilities of the classes, as the provider said them; the last is that of "none of
            these".
        answer: which of them it answered.
        true: which of them is the true one; None: it was not among them.
        label: what it answered; None: "none of these".
        weight: how many answers it stands for.
    """

    said: Sequence[float]
    answer: int
    true: int | None
    label: str | None = None
    weight: float = 1.0

    @property
    def confidence(self) -> float:
        return self.said[self.answer]

    @property
    def is_right(self) -> bool:
        return self.answer == self.true

    @property
    def top_is_right(self) -> bool:
        """Whether what is most probable is true; "none of these" may be, where it may not be
        answered."""
        return self.true is not None and self.said[self.true] == max(self.said)


async def read_labelled(
    stored: LabelledRepository, key: CalibrationKey, *, caller: str | None = None
) -> list[Labelled]:
    """The newest first; a picture that was asked about more than once counts once, with the label
    of its newest result. Raises StorageUnavailable."""
    found: list[_Drawn] = []
    seen: set[str] = set()
    async for page in stored.pages(key, caller=caller):
        found += await asyncio.to_thread(_new_ones, page, seen)
    return await asyncio.to_thread(_weighed, found)


def effective(answers: Iterable[Labelled]) -> float:
    """How many answers of the same weight say as much as these (Kish, Survey Sampling, 1965)."""
    weights = [each.weight for each in answers]
    return sum(weights) ** 2 / sum(each * each for each in weights) if weights else 0.0


_Drawn = tuple[LabelledAnswer, Labelled]


def _weighed(found: Sequence[_Drawn]) -> list[Labelled]:
    """People label all that is unsure, and a share of what is accepted: so one accepted answer
    stands for several. All accepted ones weigh the same, also those with a label from elsewhere
    (post-stratification): else the few of the random share would outweigh all the others. What
    others told later of answers that could be drawn is of those that the drawn ones stand for."""
    accepted = [row for row, _ in found if row.accepted]
    could_be_drawn = sum(not row.told_before for row in accepted)
    drawn = sum(1 / row.share for row in accepted if row.share)
    stood_for = len(accepted) - could_be_drawn + max(drawn, could_be_drawn)
    weight = stood_for / max(len(accepted), 1)
    return [replace(each, weight=weight) if row.accepted else each for row, each in found]


def _new_ones(page: Iterable[LabelledAnswer], seen: set[str]) -> list[_Drawn]:
    return list(_taken(page, seen))


def _taken(page: Iterable[LabelledAnswer], seen: set[str]) -> Iterator[_Drawn]:
    for each in page:
        if each.picture in seen or not each.probabilities:
            continue
        seen.add(each.picture)
        places = {label: place for place, label in enumerate(each.probabilities)}
        places[NONE] = len(places)
        answer = places.get(each.predicted_class or NONE)
        if answer is not None:
            said = array("d", (*each.probabilities.values(), none_of_these(each.probabilities)))
            true = places.get(each.expected)
            yield each, Labelled(said, answer, true, each.predicted_class)
