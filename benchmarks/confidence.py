"""How near the probabilities that the service reads are to those that a model has.

    python -m benchmarks.confidence [--pictures 400] [--json OUT]

The model is the simulator: what it thinks of each picture is known. `off` is the distance of a
probability from that, `certain` what it would be if the class that is named were taken as certain,
`bias` the distance of a label's mean over all pictures. With a place bias of
0.1 a tenth of the probability goes to the class that is offered first. `prompt` are o200k tokens of
a question beside its picture, as far as tests/o200k.json knows them.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from app.domains import Domain
from app.providers.base import ProviderAnswer
from app.telemetry.logging import LoggingConfig, configure_logging
from benchmarks.report import Figure, parser, report, run
from tests.o200k import counts
from tests.seeing import Seeing, classes, images, seeing, shares

ACCURACY = 0.7


async def distances(
    domain: Domain,
    pictures: int,
    *,
    order: Sequence[int] | None = None,
    tell: Callable[[ProviderAnswer], float] = lambda answer: 0.0,
    **behaviour: Any,
) -> dict[str, float]:
    """The errors of what was read."""
    single: list[float] = []
    certain: list[float] = []
    told: list[float] = []
    bias = dict.fromkeys(domain.labels, 0.0)
    async with seeing(accuracy=ACCURACY, **behaviour) as model:
        for image in images(pictures):
            answer = await _ask(model, domain, image, order)
            found, true = shares(answer, domain), model.truth(image, domain)
            single += [abs(found[each] - true[each]) for each in true]
            certain += [abs((each == answer.label) - true[each]) for each in true]
            told.append(tell(answer))
            for label in bias:
                bias[label] += (found[label] - true[label]) / pictures
        calls = model.calls / pictures
    return {
        "off_mean": round(statistics.fmean(single), 5),
        "off_most": round(max(single), 5),
        "certain_mean": round(statistics.fmean(certain), 5),
        "bias_most": round(max(map(abs, bias.values())), 5),
        "calls": calls or 1.0,
    } | ({"tail_mean": round(statistics.fmean(told), 5)} if any(told) else {})


async def _ask(
    model: Seeing, domain: Domain, image: Any, order: Sequence[int] | None
) -> ProviderAnswer:
    if order is None:
        return await model.ask(image, domain)
    return await model.provider.classify(image, domain, timeout=9, code_order=order)


async def votes(most: int, pictures: int) -> dict[str, float]:
    """For a model that gives no probabilities, and draws its answers."""
    domain, right, confidences = classes(4, votes=most), 0, []
    async with seeing("gpt-5", ACCURACY, sampling=True) as model:
        for image in images(pictures):
            answer = await model.ask(image, domain)
            true = model.truth(image, domain)
            right += answer.label == max(true, key=lambda each: true[each])
            confidences.append(answer.probabilities[answer.label or ""])
        return {
            "calls": model.calls / pictures,
            "most_probable": right / pictures,
            "confidence": round(statistics.fmean(confidences), 3),
        }


async def measure(options: Any) -> dict[str, Any]:
    number = options.pictures
    return {
        "recovered": {
            f"{count} classes": await distances(classes(count), number // 4)
            for count in (2, 5, 10, 20)
        },
        "five_told": {
            f"{count} classes": await distances(
                classes(count), number // 4, top_logprobs=5, tell=lambda answer: answer.tail
            )
            for count in (6, 10, 20)
        },
        "place_bias_0.1": {
            "the same order": await distances(
                classes(4), number, position_bias=0.1, order=range(4)
            ),
            "an order of each picture": await distances(classes(4), number, position_bias=0.1),
            "two orders": await distances(classes(4, orders=2), number, position_bias=0.1),
            "two orders of two classes": await distances(
                classes(2, orders=2), number, position_bias=0.1
            ),
            "one order of two classes": await distances(classes(2), number, position_bias=0.1),
        },
        "votes": {f"at most {most}": await votes(most, number // 2) for most in (1, 3, 5, 9)},
        "prompt": counts(),
    }


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    for told, key in (("all", "recovered"), ("five", "five_told")):
        yield Figure(
            name=f"error of probabilities, mean, 20 classes, {told} returned",
            value=found[key]["20 classes"]["off_mean"],
            beside="taking the answer as certain",
            beside_value=found[key]["20 classes"]["certain_mean"],
        )
    biased = found["place_bias_0.1"]
    yield Figure(
        name="bias towards a position, two orders",
        value=biased["two orders"]["bias_most"],
        beside="always the same order",
        beside_value=biased["the same order"]["bias_most"],
    )
    yield Figure(
        name="most probable class found, by up to five votes",
        value=found["votes"]["at most 5"]["most_probable"],
        unit="%",
        better="higher",
        beside="one vote",
        beside_value=found["votes"]["at most 1"]["most_probable"],
    )


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--pictures", type=int, default=400)
    configure_logging(LoggingConfig(level="error"))
    options = arguments.parse_args()
    found = run(measure(options))
    report(found, options, figures(found))


if __name__ == "__main__":
    main()
