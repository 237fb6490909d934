"""Labelled answers of a simulated model whose confidence is adjustable."""

import hashlib
from datetime import UTC, datetime, timedelta

import numpy as np
import sqlalchemy as sa

from app.calibration.labelled import Labelled
from app.identifiers import RESULT, new_id
from app.result import ImageFacts, Result
from app.simulator.answers import DeclaredTruth
from app.storage.results import row_of
from app.storage.tables import results

FLOWERS = ("dandelion", "rose", "sunflower", "daisy")
BEGAN = datetime(2026, 3, 1, tzinfo=UTC)


def said(
    count: int,
    *,
    right: float = 0.8,
    spread: float = 0.4,
    labels: tuple[str, ...] = FLOWERS,
    seed: int = 0,
) -> list[tuple[str, str, dict[str, float]]]:
    """Pictures, their classes, and the model's answers; `spread` below 1: overconfident."""
    truth = {f"{seed} {number}": labels[number % len(labels)] for number in range(count)}
    model = DeclaredTruth(seed, truth)
    return [
        (picture, true, model.shares(picture, None, labels, right, spread))
        for picture, true in truth.items()
    ]


def answers(count: int, **how) -> list[Labelled]:
    """In the form that a fit takes."""
    return [as_labelled(true, shares) for _, true, shares in said(count, **how)]


def as_labelled(true: str, shares: dict[str, float]) -> Labelled:
    labels = list(shares)
    answer = max(shares, key=shares.__getitem__)
    rest = max(0.0, 1 - sum(shares.values()))
    return Labelled((*shares.values(), rest), labels.index(answer), labels.index(true), answer)


def drawn(
    count: int, *, seed: int, concentration: float, sharpness: float = 2.5, classes: int = 4
) -> list[Labelled]:
    """Fast answers from a Dirichlet distribution: true as often as drawn, but reported `sharpness`
    times as sharp. With 4 classes 65, 80 and 93 % are right at HARD, MIDDLING and EASY."""
    random = np.random.default_rng(seed)
    chances = random.dirichlet(np.full(classes, concentration), size=count)
    true = (chances.cumsum(1) > random.uniform(size=(count, 1))).argmax(1)
    powers = np.maximum(chances, 1e-12) ** sharpness
    said = powers / powers.sum(1, keepdims=True)
    return [
        Labelled((*row, 0.0), answer, right)
        for row, answer, right in zip(
            said.tolist(), said.argmax(1).tolist(), true.tolist(), strict=True
        )
    ]


HARD, MIDDLING, EASY = 0.4, 0.152, 0.039


async def store_labelled(
    parts,
    count: int,
    *,
    minute: float = 0,
    domain: str = "flowers",
    right=0.8,
    spread=0.4,
    seed=0,
    **values,
) -> list[str]:
    """Store labelled rows as a provider `fake` would leave them; return their ids."""
    known = parts.domains.get(domain)
    rows = [
        _row(
            known, shares, picture, BEGAN + timedelta(minutes=minute), {"expected": true, **values}
        )
        for picture, true, shares in said(
            count, right=right, spread=spread, labels=known.labels, seed=seed
        )
    ]
    await parts.database.write(lambda each: each.execute(sa.insert(results), rows).rowcount)
    return [row["id"] for row in rows]


def _row(domain, shares, picture, moment, values) -> dict:
    label = max(shares, key=shares.__getitem__)
    return row_of(
        Result(
            **{
                "id": new_id(RESULT, moment),
                "domain": domain.name,
                "domain_version": domain.version,
                "predicted_class": label,
                "confidence": shares[label],
                "probabilities": shares,
                "status": "accepted",
                "confidence_source": "stated",
                "provider": "fake",
                "model": "fake-1",
                "revision": "1",
                "caller": "anonymous",
                "created_at": moment,
                "expected_source": "later",
                "image": _facts(picture),
                **values,
            }
        )
    )


def _facts(picture: str) -> ImageFacts:
    digest = hashlib.sha256(picture.encode()).hexdigest()
    return ImageFacts(sha256=digest, format="JPEG", width=8, height=8, bytes=99, warnings=[])
