"""Every archive and manifest of a corpus, posted to a real server as a batch."""

import asyncio
import tempfile
import time
from pathlib import Path

import httpx2

from tests.process import Process
from tests.security.pictures import MAX_MB_OVER_IDLE, Case, is_in, make
from tests.service import RunningService

__all__ = ["NAME", "is_in", "run"]

NAME = "archives and manifests"


def run(directory: Path) -> tuple[int, list[str]]:
    """How many there are, and a line for each that fails."""
    return asyncio.run(_run(directory))


async def _run(directory: Path) -> tuple[int, list[str]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = [
            each for each in make(directory, folder) if each.get("kind") in ("archive", "manifest")
        ]
        before = {path.name for path in folder.parent.iterdir()}
        service = RunningService(folder, PROVIDER="local")
        try:
            failures = [line for case in cases async for line in _tried(service, case)]
            if service.process.poll() is not None:
                failures.append("the server died")
        finally:
            service.stop()
        strays = {path.name for path in folder.parent.iterdir()} - before
        failures += [f"{each} was written outside" for each in strays if "owned" in each]
    return len(cases), failures


async def _tried(service: RunningService, case: Case):
    process = Process(service.process.pid)
    process.forget_peak()
    idle, began = process.megabytes("VmRSS"), time.perf_counter()
    async with httpx2.AsyncClient(base_url=service.url, timeout=60) as client:
        answer = await client.post(
            "/batches",
            data={"domain": "animals", "provider": "local"},
            files={"file": (case["file"], case["path"].read_bytes())},
        )
        seconds = time.perf_counter() - began
        if answer.status_code == 202:
            await client.post(f"/batches/{answer.json()['id']}/cancel")
    verdict = _verdict(answer)
    right = [case["expect"], *case.get("also", [])]
    if verdict not in right:
        yield f"{case['file']}: {verdict} instead of {' or '.join(right)}: {answer.text[:200]}"
    if seconds > case.get("max_seconds", 10):
        yield f"{case['file']}: took {seconds:.1f} s"
    if (megabytes := process.megabytes("VmHWM") - idle) > MAX_MB_OVER_IDLE:
        yield f"{case['file']}: took {megabytes:.0f} MB"


def _verdict(answer: httpx2.Response) -> str:
    if 400 <= answer.status_code < 500:
        return "reject"
    if answer.status_code != 202:
        return f"status {answer.status_code}"
    return "ok_with_warning" if answer.json()["bad_rows"] else "ok"
