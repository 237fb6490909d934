"""Where answers come from: a declared truth, reported with errors, or the local model."""

import asyncio
import hashlib
import io
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from random import Random

from app.simulator.errors import Unacceptable, invalid_picture
from app.simulator.pictures import UNREADABLE, Picture

CONCENTRATION = 8.0
"""How similar the answers' confidences are: the sum of a beta distribution's two parameters."""
NONE = "none"
"""The name of the class that stands for none of the others starts with this."""
DECODED_SIDE = 256
LARGEST_DECODED = 50_000_000  # pixels


def seeded(seed: int, picture: str, what: str) -> Random:
    """A generator with the same seed for the same picture; `what` separates draws by purpose."""
    digest = hashlib.blake2b(f"{seed} {what} {picture}".encode(), digest_size=8).digest()
    return Random(int.from_bytes(digest))  # noqa: S311 - it has to be repeatable


def none_of(labels: Sequence[str]) -> str | None:
    """The label that stands for none of the others, where there is one."""
    return next((label for label in labels if label.casefold().startswith(NONE)), None)


class DeclaredTruth:
    """Knows what each picture shows, and errs as often as it is configured to."""

    def __init__(self, seed: int, truth: Mapping[str, str]) -> None:
        """`truth` maps a picture's SHA-256 to its class. For other pictures the class is what the
        picture's own mark says, else drawn from the offered classes. A class that is not offered
        counts as none of these."""
        self._seed = seed
        self._truth = truth

    def shares(
        self, picture: str, marked: str | None, labels: Sequence[str], right: float, spread: float
    ) -> dict[str, float]:
        """The probability reported for each label.

        `right` is the share of pictures whose most probable label is the true one. When `spread` is
        1, each label is true as often as its probability says; else logits are divided by `spread`.
        """
        random = seeded(self._seed, picture, "answer")
        # Sorted, since the order in which they are offered may change between two calls.
        known = sorted(labels)
        guess = random.choice(known)
        true = self._truth.get(picture) or marked or guess
        if true not in known:
            true = none_of(known) or guess
        ranked = _ranked(random, len(known), right)
        top = ranked[0]
        chance = right / _mean_top(len(known), right) * top
        place = 0
        if len(known) > 1 and random.random() >= chance:
            place = random.choices(range(1, len(known)), [each or 1e-12 for each in ranked[1:]])[0]
        others = [each for each in known if each != true]
        random.shuffle(others)
        others.insert(place, true)
        return dict(zip(others, _sharpened(ranked, spread), strict=True))


def _mean_top(count: int, right: float) -> float:
    return max(right, 1 / count)


def _ranked(random: Random, count: int, right: float) -> list[float]:
    """Probabilities of `count` labels, the largest first, which is `right` on average."""
    if count == 1:
        return [1.0]
    least = 1 / count
    middle = (_mean_top(count, right) - least) / (1 - least)
    if 0 < middle < 1:
        drawn = random.betavariate(CONCENTRATION * middle, CONCENTRATION * (1 - middle))
    else:
        drawn = middle
    top = least + (1 - least) * drawn
    weights = sorted((random.expovariate(1) for _ in range(count - 1)), reverse=True)
    total, even = sum(weights), 1 / (count - 1)
    parts = [weight / total for weight in weights]
    # No other label may exceed the top one: they are drawn towards each other as far as necessary.
    bound = top / (1 - top) if top < 1 else parts[0]
    pull = max(0.0, (parts[0] - bound) / (parts[0] - even)) if parts[0] > max(bound, even) else 0.0
    return [top, *((1 - top) * (part + (even - part) * min(1.0, pull)) for part in parts)]


def _sharpened(probabilities: Sequence[float], spread: float) -> list[float]:
    if spread == 1:
        return list(probabilities)
    powers = [each ** (1 / spread) for each in probabilities]
    total = sum(powers)
    return [each / total for each in powers]


class LocalModel:
    """The embedded model, applied to the pixels. Loaded on first use."""

    def __init__(self) -> None:
        self._loading = threading.Lock()
        # One classification keeps one core busy.
        self._threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="look")

    async def shares(self, picture: Picture, labels: Sequence[str]) -> dict[str, float]:
        """The probability of each label. The probability of none of them goes to the label that
        stands for that, else evenly to all. Raises Unacceptable."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, self._look, picture.data, labels)
        none = none_of(labels)
        rest = max(0.0, 1 - sum(found.values()))
        if none is not None:
            shared = {label: found.get(label, 0.0) for label in labels} | {none: rest}
        else:
            shared = {label: found.get(label, 0.0) + rest / len(labels) for label in labels}
        total = sum(shared.values()) or 1.0
        return {label: each / total for label, each in shared.items()}

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _look(self, data: bytes, labels: Sequence[str]) -> dict[str, float]:
        with self._loading:
            looks = self._looks
        return looks.look(data, labels)

    @cached_property
    def _looks(self) -> "_Looks":
        return _Looks()


class _Looks:
    """From a file to the model's output; for use in threads."""

    def __init__(self) -> None:
        from app.providers.local.model import EfficientNetLite
        from app.providers.local.recognise import Knowledge

        self._model = EfficientNetLite()
        knowledge = Knowledge()
        self._recogniser = lru_cache(64)(
            lambda labels: knowledge.recogniser({label: [label] for label in labels})
        )

    def look(self, data: bytes, labels: Sequence[str]) -> dict[str, float]:
        import numpy as np
        from PIL import Image

        from app.providers.local.model import CROP, SIDE
        from app.square import square

        none = none_of(labels)
        recognise = self._recogniser(tuple(label for label in labels if label != none))
        try:
            with Image.open(io.BytesIO(data)) as picture:
                if picture.width * picture.height > LARGEST_DECODED:
                    raise Unacceptable(invalid_picture())
                picture.draft("RGB", (DECODED_SIDE, DECODED_SIDE))
                pixels = np.asarray(square(picture.convert("RGB"), SIDE, CROP))
        except UNREADABLE:
            raise Unacceptable(invalid_picture()) from None
        return recognise(self._model.run(pixels)).probabilities
