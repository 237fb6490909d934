"""Judged answers, made up."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from app.evaluation import Judged

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def judged(expected, predicted, confidence=0.9, **known):
    name = known.pop("name", "p.jpg")
    return replace(Judged(name, expected, predicted, confidence, 0.01), **known)


def many(n, labels, *, seed=1):
    """As a model gives them that says how sure it is, and is surer than it should be."""
    random = np.random.default_rng(seed)
    truths = random.integers(0, len(labels), n)
    sure = random.uniform(0.3, 1, n)
    right = random.uniform(size=n) < sure**1.5
    others = (truths + random.integers(1, len(labels), n)) % len(labels)
    answers = np.where(right, truths, others)
    return [
        judged(
            labels[truth],
            labels[answer],
            float(said),
            name=f"folder/{labels[truth]}/{place}.jpg",
            sha256=f"{place:064x}",
            status="accepted" if said >= 0.7 else "needs_review",
            reasons=() if said >= 0.7 else ("below_threshold",),
            brier=float((1 - said) ** 2 if truth == answer else 1 + said**2),
            cost_usd=0.0004,
            prompt_tokens=300,
            completion_tokens=5,
            seconds=0.5 + 0.001 * (place % 100),
            at=NOON,
            provider="azure_openai",
            model="gpt-4o",
            confidence_source="logprobs",
            domain_version="1",
        )
        for place, (truth, answer, said) in enumerate(
            zip(truths.tolist(), answers.tolist(), sure.tolist(), strict=True)
        )
    ]
