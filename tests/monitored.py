"""Two real processes that have done some of everything, so that each of their metrics has
counts."""

import re
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx2

from app.identifiers import RESULT, new_id
from app.result import Result
from app.storage import Database, TallyRepository
from app.storage.tallies import count_results
from tests.conftest import PHOTOGRAPHS
from tests.integration.test_batches import archive, picture
from tests.receiver_process import Receiver
from tests.service import RunningService
from tests.simulator_process import SimulatorProcess

DEPLOYMENT = "eyes"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENCRYPTION_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
DEAR = '{"input": 500000, "output": 500000}'
"""US dollars for a million tokens, so high that the alert on the daily cost fires."""


async def remember(url: str) -> None:
    """Weeks of roses, then a day of daisies: a domain that has drifted."""
    now = datetime.now(UTC)
    database = Database(url)
    for label, days in (("rose", 10), ("daisy", 0)):
        at = now - timedelta(days=days, minutes=5)
        stored = [
            Result(
                id=new_id(RESULT, at),
                domain="flowers",
                domain_version="1",
                caller="shop",
                created_at=at,
                status="accepted",
                predicted_class=label,
                confidence=0.9,
            )
            for _ in range(300)
        ]
        await database.write(lambda connection, stored=stored: count_results(connection, stored))
    await TallyRepository(database, clock=lambda: now).roll()
    await database.close()


class Monitored:
    """One process that serves and one that works, with the simulator as Azure OpenAI.

    Attributes:
        targets: of both, host:port.
        stop: ends everything.
    """

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        with ExitStack() as started:
            self._simulator = SimulatorProcess(
                *("--deployment", f"{DEPLOYMENT}:gpt-4o:6000:10000000"),
                *("--latency", "0", "--accuracy", "0.9", "--window", "1"),
            )
            started.callback(self._simulator.stop)
            self._receiver = Receiver(SECRET)
            started.callback(self._receiver.stop)
            variables = {
                "DATABASE_URL": database_url,
                "REDIS_URL": redis_url,
                "BLOBS_URL": f"file://{folder}/blobs",
                "AZURE_OPENAI_ENDPOINT": self._simulator.url,
                "AZURE_OPENAI_API_KEY": "any",
                "AZURE_OPENAI_DEPLOYMENT": DEPLOYMENT,
                "AZURE_OPENAI_MODEL": "gpt-4o",
                "AZURE_OPENAI_PRICE": DEAR,
                "RATE_LIMIT_RPM": "6000",
                "RATE_LIMIT_TPM": "10000000",
                "EGRESS_ALLOW": self._receiver.place,
                "MONITORING_ALERTS_EVERY": "0.5",
                "REVIEW_RANDOM_SHARE": "1",
                "WEBHOOKS_ENCRYPTION_KEYS": ENCRYPTION_KEY,
            }

            def start(command: str, work: str) -> RunningService:
                own = folder / command
                own.mkdir()
                service = RunningService(own, command, **variables, WORK=work)
                started.callback(service.stop, signal.SIGKILL)
                return service

            with ThreadPoolExecutor() as threads:
                self._services = list(threads.map(start, ("serve", "worker"), ("off", "on")))
            self.targets = [each.url.removeprefix("http://") for each in self._services]
            self._client = httpx2.Client(base_url=self._services[0].url, timeout=30)
            started.callback(self._client.close)
            self._numbers = count()
            self.stop = started.pop_all().close

    def listen(self) -> None:
        """Register two receivers for all events, one of which always fails."""
        for path in ("/hook", "/fail/hook"):
            hook = {"url": self._receiver.url(path), "secret": SECRET}
            assert self._client.post("/webhooks", json=hook).status_code == 201

    def work(self) -> None:
        """Pictures answered, reviewed, cached, retried, refused and failed, alone and in a
        batch."""
        for name in ("rose", "daisy"):
            self.classify((PHOTOGRAPHS / f"{name}.jpg").read_bytes(), "flowers", expected="rose")
        for _ in range(3):
            self.classify(self.picture(), "animals", provider="local", expected="cat")
        for kind in ("error_500", "unavailable_503", "content_filter"):
            self.control({"faults": [{"kind": kind, "next": 1}]})
            self.classify(self.picture(), "flowers", expected="daisy")
        self.classify(b"no picture", "flowers")
        daisy = (PHOTOGRAPHS / "daisy.jpg").read_bytes()
        unseen = self.classify(daisy, "flowers", provider="local")
        said = self._client.post(f"/reviews/{unseen['id']}", json={"action": "confirm"})
        assert (unseen["status"], said.status_code) == ("accepted", 200), said.text
        packed = archive(**{f"{number}.jpg": self.picture() for number in range(4)})
        created = self._client.post(
            "/batches",
            data={"domain": "flowers"},
            files={"file": ("pictures.zip", packed)},
        )
        assert created.status_code == 202, created.text
        place = created.headers["location"]
        until(lambda: self._client.get(place).json()["status"] == "completed")
        assert self._client.get("/health").status_code == 200

    def classify(self, picture: bytes, domain: str, **fields: str) -> Any:
        form = {"domain": domain, **fields}
        return self._client.post("/classify", data=form, files={"file": picture}).json()

    def control(self, told: dict[str, Any]) -> None:
        where = f"{self._simulator.url}/_sim/deployments/{DEPLOYMENT}"
        httpx2.post(where, json=told, timeout=30).raise_for_status()

    def picture(self) -> bytes:
        """A different picture each time."""
        return picture(next(self._numbers))

    def traces(self) -> set[str]:
        """Trace ids in all lines of both logs."""
        lines = "".join(each.log.read_text() for each in self._services)
        return set(re.findall(r'"trace_id": ?"(\w+)"', lines))


def until(true: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
