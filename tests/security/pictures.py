"""Every bad picture of a corpus, posted to a real server over HTTP.

The server's provider is a chat model on loopback, so that what would be sent to Azure is looked at,
and its log is searched for what may not be in it.
"""

import asyncio
import io
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from PIL import Image

from tests.chat_server import ChatServer, chat_server
from tests.integration.providers import azure
from tests.pictures import jpeg
from tests.process import Process
from tests.service import RunningService

Case = dict[str, Any]

NAME = "pictures"

MAX_CPU_S = 2.0
MAX_MB_OVER_IDLE = 300
TOLERANCE = 45
PATCH = 0.02
"""Share of a side that is averaged around a probe."""
ORDINARY = ("ok", "ok_with_warning")


@dataclass(frozen=True)
class Outcome:
    """What the server made of one picture."""

    status: int
    body: dict[str, Any]
    seconds: float
    cpu_s: float
    megabytes: float
    prepared: bytes | None

    @property
    def verdict(self) -> str:
        if 400 <= self.status < 500:
            return "reject"
        if self.status != 200:
            return f"status {self.status}"
        return "ok_with_warning" if self.body["image"]["warnings"] else "ok"


def answer(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    logprobs = azure.labelled("B", {"A": 0.02, "B": 0.9, "C": 0.05, "D": 0.03})
    return "200 OK", azure.completion('{"label":"B"}', logprobs=logprobs)


def make(directory: Path, folder: Path) -> list[Case]:
    """The corpus's files in `folder`; it is made by a script, or lies there ready."""
    script = directory / "make_bad_images.py"
    if script.exists():
        subprocess.run([sys.executable, script, folder], check=True, stdout=subprocess.DEVNULL)
        directory = folder
    cases: list[Case] = json.loads((directory / "manifest.json").read_text())
    return [{**case, "path": directory / case["file"]} for case in cases]


def is_in(directory: Path) -> bool:
    return any((directory / name).exists() for name in ("make_bad_images.py", "manifest.json"))


def run(directory: Path) -> tuple[int, list[str]]:
    """How many pictures there are, and a line for each that fails."""
    return asyncio.run(_run(directory))


async def _run(directory: Path) -> tuple[int, list[str]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = make(directory, folder)
        pictures = [case for case in cases if case.get("kind", "image") == "image"]
        async with chat_server(answer) as model:
            service = RunningService(
                folder,
                PROVIDER="openai_compatible",
                OPENAI_BASE_URL=model.url,
                OPENAI_MODEL="gpt-4o",
                RATE_LIMIT_RPM="100000",
            )
            try:
                failures = await _post_all(service, model, pictures)
                died = service.process.poll() is not None
            finally:
                service.stop()
            failures = _with_leaks(failures, pictures, service.log.read_bytes())
    if died:
        failures["the server"] = ["died"]
    return len(pictures), [f"{name}: {'; '.join(each)}" for name, each in failures.items()]


async def _post_all(
    service: RunningService, model: ChatServer, cases: list[Case]
) -> dict[str, list[str]]:
    """Complaints by file; files without any are left out."""
    process = Process(service.process.pid)
    failures = {}
    async with httpx2.AsyncClient(base_url=service.url, timeout=60) as client:
        for seed in range(5):
            await _post(client, process, model, {"data": jpeg(seed=seed)})
        for case in cases:
            try:
                complaints = list(_complaints(case, await _post(client, process, model, case)))
            except Exception as error:  # a dead server, too, is a failure of its case
                complaints = [repr(error)]
            if complaints:
                failures[case["file"]] = [*complaints, case["why"]]
    return failures


async def _post(
    client: httpx2.AsyncClient, process: Process, model: ChatServer, case: Case
) -> Outcome:
    data = case["data"] if "data" in case else case["path"].read_bytes()
    name = case.get("upload_name", case.get("file", "picture.jpg"))
    kind = case.get("upload_type", "application/octet-stream")
    asked = len(model.asked)
    process.forget_peak()
    idle, cpu, began = process.megabytes("VmRSS"), process.cpu_s(), time.perf_counter()
    response = await client.post(
        "/classify",
        data={"domain": "flowers"},
        files={"file": (name, data, kind)},
        headers={"cache-control": "no-cache"},
    )
    return Outcome(
        status=response.status_code,
        body=response.json(),
        seconds=time.perf_counter() - began,
        cpu_s=process.cpu_s() - cpu,
        megabytes=process.megabytes("VmHWM") - idle,
        prepared=model.last_picture if len(model.asked) > asked else None,
    )


def _complaints(case: Case, outcome: Outcome):
    right = [case["expect"], *case.get("also", [])]
    if outcome.verdict not in right:
        said = outcome.body.get("detail") or outcome.body.get("image", {}).get("warnings")
        yield f"{outcome.verdict} instead of {' or '.join(right)}: {said}"
    if outcome.verdict == "reject" and not outcome.body["type"].startswith("/problems/"):
        yield f"no problem of ours: {outcome.body}"
    if outcome.verdict in ORDINARY and outcome.prepared is None:
        yield "nothing was sent to the model"
    if outcome.seconds > case.get("max_seconds", 10):
        yield f"took {outcome.seconds:.1f} s"
    if outcome.cpu_s > MAX_CPU_S:
        yield f"took {outcome.cpu_s:.1f} s of processor time"
    if outcome.megabytes > MAX_MB_OVER_IDLE:
        yield f"took {outcome.megabytes:.0f} MB"
    if outcome.prepared is not None:
        yield from _seen(case, outcome.prepared)


def _seen(case: Case, prepared: bytes):
    """What is wrong with the picture that the model got."""
    with Image.open(io.BytesIO(prepared)) as file:
        pixels = np.asarray(file.convert("RGB")).astype(float)
    height, width, _ = pixels.shape
    for x, y, colour in case.get("probes", []):
        dx, dy = max(1, round(PATCH * width)), max(1, round(PATCH * height))
        left, top = round(x * width), round(y * height)
        patch = pixels[max(0, top - dy) : top + dy, max(0, left - dx) : left + dx]
        found = patch.mean(axis=(0, 1))
        if np.abs(found - colour).max() > TOLERANCE:
            yield f"at {x}, {y} it is {found.round().tolist()} and not {colour}"
    for text in _absent(case):
        if text in prepared:
            yield f"{text!r} was sent to the model"


def _absent(case: Case) -> list[bytes]:
    texts = case.get("absent", [])
    return [each.encode() for each in ([texts] if isinstance(texts, str) else texts)]


def _with_leaks(
    failures: dict[str, list[str]], cases: list[Case], log: bytes
) -> dict[str, list[str]]:
    for case in cases:
        leaked = [f"{text!r} is in the log" for text in _absent(case) if text in log]
        if leaked:
            failures[case["file"]] = failures.get(case["file"], []) + leaked
    return failures
