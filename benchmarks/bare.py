"""What the service is measured against: a route that only decodes and runs the model."""

import asyncio
import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import numpy as np
from fastapi import FastAPI, File, Form
from PIL import Image

from app.images import square
from app.providers.local.model import CROP, SIDE, EfficientNetLite

app = FastAPI()
model = EfficientNetLite()
pool = ThreadPoolExecutor(os.cpu_count())


def look(data: bytes) -> list[float]:
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    return model.run(np.asarray(square(picture, SIDE, CROP))).probabilities[:10].tolist()


@app.post("/classify")
async def classify(
    file: Annotated[bytes, File()], domain: Annotated[str, Form()]
) -> dict[str, list[float]]:
    return {"probabilities": await asyncio.get_running_loop().run_in_executor(pool, look, file)}


@app.get("/health/ready")
async def ready() -> dict[str, str]:
    return {"status": "ready"}
