"""How a head is taught, and how its quality is estimated on examples it has not seen.

This is the only use of scikit-learn. Fitting takes about a second, so run it in a thread, and never
while serving a request.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from app.domains import ACCURACY
from app.providers.local.head import Head
from app.providers.local.neighbours import Neighbours
from app.result import NONE

STRENGTH: Final = 20.0
"""The inverse of the penalty on large weights (scikit-learn's C)."""
FOLDS: Final = 5
SHUFFLES: Final = 5
SHARPEST, FLATTEST = 0.05, 20.0  # temperatures

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Pictures of known class.

    Attributes:
        embeddings: float (n, d), as the model gives them.
        truth: intp (n,), positions in `labels`; one past its end for none of them.
    """

    embeddings: Array
    truth: NDArray[np.intp]
    labels: tuple[str, ...]

    @classmethod
    def of(cls, embeddings: Array, labels: Sequence[str]) -> Self:
        """`labels` names the class of each row, `none` for none of the classes. Raises ValueError
        for fewer than two classes, and for a picture without an embedding."""
        known = tuple(sorted(set(labels) - {NONE}))
        if len(known) < 2:
            raise ValueError(f"a head tells at least two classes apart, got {len(known)}")
        lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
        if not (lengths > 0).all():
            raise ValueError("an embedding is zero")
        places = {label: place for place, label in enumerate((*known, NONE))}
        truth = np.array([places[each] for each in labels], np.intp)
        return cls(np.asarray(embeddings, float) / lengths, truth, known)

    def at(self, places: NDArray[Any]) -> "Examples":
        """Some of them, selected by position or by a mask."""
        return Examples(self.embeddings[places], self.truth[places], self.labels)

    @property
    def fewest(self) -> int:
        """The number of examples in the smallest class, among those in `asked`."""
        counts = np.unique(self.truth[self.asked], return_counts=True)[1]
        return int(counts.min()) if counts.size else 0

    @property
    def asked(self) -> NDArray[np.intp]:
        """Positions of the examples that can be held out and judged by heads taught with the
        others. A lone example of none of the classes is not among them: heads must be taught with
        it, and all classes are known without it."""
        none = self.truth == len(self.labels)
        return np.flatnonzero(~none if none.sum() == 1 else np.ones_like(none))


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """The answers of heads about examples that they were not taught with, several for each example.

    Attributes:
        probabilities: float (m, rows), of the labels, with a last column for "none of these" where
            that was taught.
        truth: intp (m,), columns.
        labels: how many columns are labels.
        asked: intp (m,), the position of each answer's example.
    """

    probabilities: Array
    truth: NDArray[np.intp]
    labels: int
    asked: NDArray[np.intp]

    @property
    def confidence(self) -> Array:
        """(m,), the probability of the most probable label."""
        return np.asarray(self.probabilities[:, : self.labels].max(axis=1))

    @property
    def right(self) -> NDArray[np.bool_]:
        """(m,), whether that label is the true one; never so for a picture of none of them."""
        return np.asarray(self.probabilities[:, : self.labels].argmax(axis=1) == self.truth)

    def threshold(self, accuracy: float) -> float | None:
        """The lowest confidence such that, of the answers at or above it, the share `accuracy` (0
        to 1) is right; None where there is none. All shuffles are judged together: that of a single
        one would depend on two or three pictures."""
        order = np.argsort(-self.confidence, kind="stable")
        confidence, right = self.confidence[order], self.right[order]
        shares = np.cumsum(right) / np.arange(1, len(right) + 1)
        # Answers of equal confidence are accepted or rejected together.
        last_of_equals = np.append(confidence[1:] < confidence[:-1], True)
        enough = np.flatnonzero((shares >= accuracy) & last_of_equals)
        return float(confidence[enough[-1]]) if enough.size else None

    def temperature(self, examples: int) -> float:
        """The divisor of the logits that makes confidence equal accuracy (Guo et al., On
        Calibration of Modern Neural Networks, 2017). Even if all `examples` pictures were answered
        correctly, errors can't be ruled out: the truth counts (n + 1) / (n + 2) (Platt, 1999)."""
        from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]

        m, rows = self.probabilities.shape
        missed = 1 / (examples + 2)
        wanted = np.full((m, rows), missed / (rows - 1))
        wanted[np.arange(m), self.truth] = 1 - missed
        logits = np.log(np.maximum(self.probabilities, 1e-12))

        def loss(log_temperature: float) -> float:
            scaled = logits / np.exp(log_temperature)
            scaled -= scaled.max(axis=1, keepdims=True)
            told = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
            return -float((wanted * told).sum(axis=1).mean())

        found = minimize_scalar(loss, bounds=np.log([SHARPEST, FLATTEST]), method="bounded")
        return float(np.exp(found.x))

    def at(self, temperature: float) -> "OutOfFold":
        """The same with logits divided by `temperature`."""
        powers = np.maximum(self.probabilities, 1e-12) ** (1 / temperature)
        shares = powers / powers.sum(axis=1, keepdims=True)
        return OutOfFold(shares, self.truth, self.labels, self.asked)


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """
    Attributes:
        judged: how heads taught the same way judge examples that they have not seen; None where a
            class has a single example, which can't be left out. `head.threshold` comes from it.
        temperature: the divisor that was applied to the head's weights; 1 without `judged`.
    """

    head: Head
    judged: OutOfFold | None
    temperature: float


def teach(examples: Examples, model_sha256: str, *, accuracy: float = ACCURACY) -> Lesson:
    """Fit a head, calibrate its confidence to its accuracy, and choose the confidence at or above
    which the share `accuracy` of its answers is right. Takes about a second for a hundred
    examples."""
    with _one_thread():
        weights, bias = _fit(examples.embeddings, examples.truth)
        judged, temperature = None, 1.0
        if examples.fewest >= 2:
            judged = cross_validated(examples)
            temperature = judged.temperature(len(examples.truth))
            judged = judged.at(temperature)
        mine = examples.truth < len(examples.labels)
        head = Head(
            examples.labels,
            (weights / temperature).astype(np.float32),
            (bias / temperature).astype(np.float32),
            model_sha256,
            Neighbours.of(examples.embeddings[mine], examples.truth[mine]),
            judged.threshold(accuracy) if judged else None,
        )
    return Lesson(head, judged, temperature)


def cross_validated(
    examples: Examples, *, also: Examples | None = None, share: float = 1.0
) -> OutOfFold:
    """Answers of heads about the examples that they were not taught with. Each class needs at least
    two examples; a lone example of none of the classes is always taught.

    Args:
        also: further examples, with the same labels, that every head is taught with and never asked
            about.
        share: of the examples of each class that a fold teaches with, the share to use.
    """
    from sklearn.model_selection import StratifiedKFold  # type: ignore[import-untyped]

    truth, count, asked_about = examples.truth, len(examples.truth), examples.asked
    always = np.setdiff1d(np.arange(count), asked_about)
    every = truth if also is None else np.concatenate([truth, also.truth])
    rows = max(len(examples.labels), int(every.max()) + 1)
    found, places = [], []
    with _one_thread():
        points = _in_their_span(examples, also)
        for seed in range(SHUFFLES):
            random = np.random.default_rng(seed)
            folds = StratifiedKFold(min(FOLDS, examples.fewest), shuffle=True, random_state=seed)
            for fold in folds.split(points[asked_about], truth[asked_about]):
                most, asked = (asked_about[each] for each in fold)
                part = most if share == 1 else _part(most, truth, share, random)
                learned = np.concatenate([part, always, np.arange(count, len(every))])
                weights, bias = _regress(points[learned], every[learned])
                logits = points[asked] @ weights.T + bias
                odds = np.exp(logits - logits.max(axis=1, keepdims=True))
                # A class that the heads were not taught keeps its column, with probability 0.
                shares = np.zeros((len(asked), rows))
                shares[:, np.unique(every[learned])] = odds / odds.sum(axis=1, keepdims=True)
                found.append(shares)
                places.append(asked)
    asked = np.concatenate(places)
    return OutOfFold(np.concatenate(found), truth[asked], len(examples.labels), asked)


def _in_their_span(examples: Examples, also: Examples | None) -> Array:
    """All examples, in the fewest dimensions that hold them: a rotation, which rotates the
    weights."""
    every = [examples.embeddings] if also is None else [examples.embeddings, also.embeddings]
    directions = np.concatenate(every)
    return np.asarray(directions @ _span(directions).T)


def _part(
    places: NDArray[np.intp],
    truth: NDArray[np.intp],
    share: float,
    random: np.random.Generator,
) -> NDArray[np.intp]:
    """This share of each class, at least one."""
    chosen = []
    for each in np.unique(truth[places]):
        mine = random.permutation(places[truth[places] == each])
        chosen.append(mine[: max(1, round(share * len(mine)))])
    return np.concatenate(chosen)


def _fit(directions: Array, truth: NDArray[np.intp]) -> tuple[Array, Array]:
    """Return weights (rows, d) and bias (rows,)."""
    # The weights are combinations of the examples: fitting in the examples' span, which has fewer
    # dimensions, gives the same weights much sooner.
    span = _span(directions)
    weights, bias = _regress(directions @ span.T, truth)
    return weights @ span, bias


def _span(directions: Array) -> Array:
    """Of rows (n, d): vectors (min(n, d), d) of length 1 that are orthogonal to each other."""
    return np.asarray(np.linalg.svd(directions, full_matrices=False)[2])


def _regress(points: Array, truth: NDArray[np.intp]) -> tuple[Array, Array]:
    """Return weights (rows, d) and bias (rows,)."""
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

    # The number of examples of a class does not say how often it will be asked about.
    regression = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=5000)
    regression.fit(points, truth)
    weights, bias = regression.coef_, regression.intercept_
    if len(weights) == 1:  # of two classes scikit-learn keeps one row, for the second
        weights, bias = np.vstack([-weights, weights]) / 2, np.array([-bias[0], bias[0]]) / 2
    return weights, bias


def _one_thread() -> AbstractContextManager[Any]:
    """Small products do not benefit from several threads, which wait for each other on a busy
    machine."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits
