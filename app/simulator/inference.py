"""A model's answer to an admitted call."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.simulator import completion
from app.simulator.answers import DeclaredTruth, LocalModel, seeded
from app.simulator.asked import Asked
from app.simulator.completion import STYLES, Said, Token, Usage
from app.simulator.config import Behaviour, FaultKind
from app.simulator.models import Model


@dataclass(frozen=True, slots=True)
class Inferred:
    body: dict[str, Any]
    usage: Usage


class Inference:
    """One model. The same call gets the same answer."""

    def __init__(self, model: Model, *, truth: DeclaredTruth, local: LocalModel, seed: int) -> None:
        self._model = model
        self._truth = truth
        self._local = local
        self._seed = seed

    async def run(
        self, asked: Asked, behaviour: Behaviour, fault: FaultKind | None = None
    ) -> Inferred:
        """With `fault` `refusal` the model declines, with `output_filter` its answer is withheld.
        Raises Unacceptable."""
        written = [
            self._tokens(said, asked, behaviour, fault)
            for said in await self._said(asked, behaviour)
        ]
        usage, room = self._usage(asked, written), self._room(asked)
        choices = []
        for index, tokens in enumerate(written):
            reason = "content_filter" if fault == "output_filter" else "stop"
            if room is not None and len(tokens) > room:
                reason, tokens = "length", tokens[:room]
            choices.append(
                completion.choice(
                    index,
                    tokens,
                    finish_reason=reason,
                    top_logprobs=_top_logprobs(asked, behaviour),
                    refusal=fault == "refusal",
                )
            )
        told = usage.told(image=behaviour.tell_image_tokens)
        return Inferred(completion.completion(choices, self._model.name, told), usage)

    def usage(self, asked: Asked, behaviour: Behaviour) -> Usage:
        """For an answer that is never sent. The picture need not be classified, as every class
        takes one token."""
        offered = dict.fromkeys(asked.offered(), 1.0)
        said = Said(next(iter(offered), None), offered)
        return self._usage(asked, [self._tokens(said, asked, behaviour, None)] * asked.choices)

    def _usage(self, asked: Asked, written: Sequence[Sequence[Token]]) -> Usage:
        reasoning = self._reasoning(asked)
        whole = [reasoning + len(tokens) for tokens in written]
        cap = asked.output_cap
        output = sum(whole if cap is None else (min(cap, each) for each in whole))
        return Usage(
            prompt=asked.prompt_tokens(self._model),
            image=asked.image_tokens(self._model),
            completion=output,
            reasoning=min(reasoning * len(written), output),
        )

    def _room(self, asked: Asked) -> int | None:
        """The tokens left for an answer after reasoning."""
        cap = asked.output_cap
        return None if cap is None else max(0, cap - self._reasoning(asked))

    def _reasoning(self, asked: Asked) -> int:
        if not self._model.reasons:
            return 0
        return self._model.reasoning_tokens(asked.effort, self.drawn(asked, "reasoning"))

    def drawn(self, asked: Asked, what: str) -> float:
        """0 to 1, the same for the same picture and purpose."""
        return seeded(self._seed, asked.identity, what).random()

    async def _said(self, asked: Asked, behaviour: Behaviour) -> list[Said]:
        """The most probable answer first; further choices are drawn."""
        offered = asked.offered()
        if not offered:
            return [Said(None, {})] * asked.choices
        labels = list(dict.fromkeys(offered.values()))
        if asked.picture is not None and behaviour.accuracy is None:
            by_label = await self._local.shares(asked.picture, labels)
        else:
            by_label = self._truth.shares(
                asked.identity,
                asked.picture.marked if asked.picture else None,
                labels,
                right=1 if behaviour.accuracy is None else behaviour.accuracy,
                spread=behaviour.calibration,
            )
        shares = _moved(
            {code: by_label[label] for code, label in offered.items()}, behaviour.position_bias
        )
        random = seeded(self._seed, asked.identity, "samples")
        if behaviour.sampling and asked.parameters.get("temperature") != 0:
            # A different order of the classes gives a different draw.
            random = seeded(self._seed, asked.identity, " ".join(("samples", *asked.texts)))
            best = random.choices(list(shares), list(shares.values()))[0]
        else:
            best = max(shares, key=shares.__getitem__)
        said = [Said(best, shares)]
        if asked.choices > 1:
            drawn = random.choices(list(shares), list(shares.values()), k=asked.choices - 1)
            said += [Said(code, shares) for code in drawn]
        return said

    def _tokens(
        self, said: Said, asked: Asked, behaviour: Behaviour, fault: FaultKind | None
    ) -> list[Token]:
        if fault == "output_filter":
            return []
        if fault == "refusal":
            return completion.refused()
        style = behaviour.tokenisation
        if style == "mixed":
            style = STYLES[int(self.drawn(asked, "words") * len(STYLES))]
        return completion.written(said, asked.form, style)


def _moved(shares: dict[str, float], bias: float) -> dict[str, float]:
    """Move this share of the probability to the option that is offered first."""
    first = next(iter(shares))
    moved = {code: share * (1 - bias) for code, share in shares.items()}
    moved[first] += bias
    return moved


def _top_logprobs(asked: Asked, behaviour: Behaviour) -> int | None:
    if not asked.parameters.get("logprobs"):
        return None
    return min(asked.parameters.get("top_logprobs") or 0, behaviour.top_logprobs)
