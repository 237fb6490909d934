"""A model that is surer than it is right, asked over HTTP, and what labels make of that."""

import asyncio
import hashlib
from dataclasses import replace

import numpy as np
from PIL import Image

from app.calibration import calibration_error, reliability
from app.images import prepare
from app.parts import build_parts
from tests.integration.simulator.test_service import asked, settings_for
from tests.labelled import FLOWERS, said
from tests.pictures import encoded

LABELS, LATER, FRESH = 300, 50, 10_000
RIGHT, SPREAD = 0.8, 0.4


def pictures(count: int) -> list[tuple[bytes, str, str]]:
    """Noise, the SHA-256 of what a provider gets of it, and its class."""
    random = np.random.default_rng(3)
    found = []
    for number in range(count):
        noise = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        picture = encoded(Image.fromarray(noise), "PNG")
        sent = hashlib.sha256(prepare(picture, longest=512).jpeg).hexdigest()
        found.append((picture, sent, FLOWERS[number % 4]))
    return found


def error(confidence, right) -> float:
    return calibration_error(reliability(confidence, right))


async def test_after_300_labels_confidence_is_within_3_points_of_accuracy(simulator):
    """300 labelled pictures and 50 later ones go through service, provider and HTTP; the 10,000
    fresh answers are of the same simulated model, asked without HTTP."""
    shown = pictures(LABELS + LATER)
    truth = {sent: true for _, sent, true in shown}
    simulator.start(accuracy=RIGHT, calibration=SPREAD, truth=truth)
    at_once = asyncio.Semaphore(16)

    async with build_parts(settings_for(simulator)) as parts:

        async def classified(picture: bytes, true: str):
            async with at_once:
                return await parts.classification.classify(replace(asked(picture), expected=true))

        before = await asyncio.gather(*(classified(each, true) for each, _, true in shown[:LABELS]))
        ((calibration,), _) = await parts.calibrations.fit("flowers")
        after = await asyncio.gather(*(classified(each, true) for each, _, true in shown[LABELS:]))

    fresh = said(FRESH, right=RIGHT, spread=SPREAD, seed=1)
    raw = [max(shares.values()) for *_, shares in fresh]
    told = [max(calibration.apply(shares).values()) for *_, shares in fresh]
    right = [max(shares, key=shares.__getitem__) == true for _, true, shares in fresh]
    assert {each.confidence_source for each in before} == {"logprobs"}
    assert calibration.labels == LABELS
    assert calibration.ece_before > 0.1
    assert error(raw, right) > 0.1
    assert error(told, right) <= 0.03
    assert {each.calibration for each in before} == {None}
    assert {each.calibration for each in after} == {calibration.id}
    for each in after:
        applied = calibration.apply(each.raw_probabilities)
        assert max(abs(applied[name] - each.probabilities[name]) for name in applied) < 0.001
