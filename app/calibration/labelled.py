"""Answers whose true class is known, in the form a fit needs."""

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
        said: probabilities of the classes, as the provider gave them; the last is that of "none of
            these".
        answer: index of the answer.
        true: index of the true class; None: it was not among them.
        label: the answer; None: "none of these".
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
        """Whether the most probable class is the true one; this may be "none of these", even where
        it is not allowed as an answer."""
        return self.true is not None and self.said[self.true] == max(self.said)


async def read_labelled(
    stored: LabelledRepository, key: CalibrationKey, *, caller: str | None = None
) -> list[Labelled]:
    """Newest first; a picture that was classified more than once counts once, with the label of its
    newest result. Raises StorageUnavailable."""
    found: list[_Drawn] = []
    seen: set[str] = set()
    async for page in stored.pages(key, caller=caller):
        found += await asyncio.to_thread(_new_ones, page, seen)
    return await asyncio.to_thread(_weighed, found)


def effective(answers: Iterable[Labelled]) -> float:
    """The number of equally weighted answers with the same information (Kish, Survey Sampling,
    1965)."""
    weights = [each.weight for each in answers]
    return sum(weights) ** 2 / sum(each * each for each in weights) if weights else 0.0


_Drawn = tuple[LabelledAnswer, Labelled]


def _weighed(found: Sequence[_Drawn]) -> list[Labelled]:
    """Reviewers label every unsure answer, but only a share of the accepted ones, so an accepted
    answer stands for several. All accepted answers get the same weight, including those labelled
    elsewhere (post-stratification): otherwise the few random reviews would outweigh the rest.
    Answers that could have been drawn, but were labelled by callers later, are among those that the
    drawn ones stand for."""
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
