"""The baseline for the service: routes that do only the unavoidable work on a picture."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Annotated

import numpy as np
from fastapi import FastAPI, File, Form

from app.images import prepare
from app.providers.local.model import CROP, SIDE, EfficientNetLite

app = FastAPI()
pool = ThreadPoolExecutor(int(os.environ.get("IMAGE_WORKERS", os.cpu_count() or 1)))
model = cache(EfficientNetLite)


def look(data: bytes) -> list[float]:
    """Decode, hash, check, and run the model."""
    pixels = np.asarray(prepare(data, longest=512).square(SIDE, CROP))
    return model().run(pixels).probabilities[:10].tolist()


def encode(data: bytes) -> int:
    """Decode, hash, check, and encode for a remote model."""
    return len(prepare(data, longest=512).jpeg)


@app.post("/classify")
async def classify(
    file: Annotated[bytes, File()], domain: Annotated[str, Form()]
) -> dict[str, list[float]]:
    return {"probabilities": await asyncio.get_running_loop().run_in_executor(pool, look, file)}


@app.post("/prepare")
async def prepare_only(
    file: Annotated[bytes, File()], domain: Annotated[str, Form()]
) -> dict[str, int]:
    return {"bytes": await asyncio.get_running_loop().run_in_executor(pool, encode, file)}


@app.get("/health/ready")
async def ready() -> dict[str, str]:
    return {"status": "ready"}
