"""The service in one of two forms, and everything that it needs."""

import json
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2

from app.webhooks.signing import new_secret
from tests.bill import DEPLOYMENTS, RPM, Azure
from tests.receiver_process import Receiver
from tests.service import RunningService
from tests.shared_servers import SharedServers
from tests.soak import calls
from tests.soak.calls import Call

LATENCY = "0.3:0.6"
ANSWERED_AFTER_S = 0.01
"""The receivers' delay."""

ONE = (("serve", "on"),)
SEVERAL = (("serve", "on"), ("serve", "off"), ("worker", "on"), ("worker", "on"))
"""Commands, and whether they work in the background."""


class Cloud(Azure):
    """An Azure that may be restarted: the bills of all its lives are added up."""

    def __init__(self, folder: Path) -> None:
        self._calls = folder / "calls.jsonl"
        super().__init__([], latency=LATENCY, calls=self._calls)

    def misbehave(self, **change: Any) -> None:
        for each in DEPLOYMENTS:
            self.order(each, **change)

    def go(self) -> None:
        """Stop when no call is in progress."""
        self.misbehave(down=True)
        while self._in_flight():
            time.sleep(0.05)
        self.stop()

    def calls(self) -> list[Call]:
        return calls.read(self._calls)

    def _in_flight(self) -> int:
        told = httpx2.get(f"{self.url}/_sim", timeout=30).json()["deployments"]
        return sum(told[each]["counts"]["in_flight"] for each in DEPLOYMENTS)


class World:
    """
    Attributes:
        folder: with all logs.
        steady, shaky: receivers, of which the second one fails at times.
        processes: by name.
        shared: the servers that several processes share; None: there is only one process.
    """

    def __init__(self, folder: Path, *, several: bool) -> None:
        self.folder = folder
        self.secret = new_secret()
        with ExitStack() as started:
            self.azure = Cloud(folder)
            started.callback(self.azure.stop)
            self.steady = Receiver(self.secret, latency_s=ANSWERED_AFTER_S)
            started.callback(self.steady.stop)
            self.shaky = Receiver(self.secret, latency_s=ANSWERED_AFTER_S)
            started.callback(self.shaky.stop)
            self.shared = SharedServers(folder) if several else None
            if self.shared:
                started.callback(self.shared.close)
            self.database_url = f"sqlite:///{folder}/serve-0/app.db"
            variables = self._variables()
            self.database_url = variables.get("DATABASE_URL", self.database_url)
            self.processes: dict[str, RunningService] = {}
            started.callback(self._kill)
            self._start(folder, SEVERAL if several else ONE, variables)
            self.close = started.pop_all().close

    def _variables(self) -> dict[str, str]:
        deployments = [{"name": each, "model": "gpt-4o", "rpm": RPM} for each in DEPLOYMENTS]
        return {
            "AZURE_OPENAI_ENDPOINT": self.azure.url,
            "DEPLOYMENTS": json.dumps(deployments),
            "API_TIMEOUT": "6",
            "BATCH_IN_FLIGHT": "8",
            "EGRESS_ALLOW": f"{self.steady.place},{self.shaky.place}",
            "WEBHOOKS_SCHEDULE": ",".join(["0", "1", "2", "4", *["8"] * 40]),
            "WEBHOOKS_TIMEOUT": "3",
            "REVIEW_RANDOM_SHARE": "0.1",
            **(self.shared.variables | {"TRAFFIC_PROCESSES": "4"} if self.shared else {}),
        }

    def _start(
        self, folder: Path, commands: Sequence[tuple[str, str]], variables: dict[str, str]
    ) -> None:
        for number, (command, work) in enumerate(commands):
            own = folder / f"{command}-{number}"
            own.mkdir()
            # Azure tells callers apart by their keys.
            alone = variables | {"AZURE_OPENAI_API_KEY": own.name, "WORK": work}
            self.processes[own.name] = RunningService(own, command, **alone)
        self.serving = [each for each in self.processes if each.startswith("serve")]

    def stop(self) -> dict[str, int]:
        """Let begun work end and be booked; return the exit statuses."""
        with ThreadPoolExecutor() as threads:
            statuses = threads.map(RunningService.stop, self.processes.values())
            return dict(zip(self.processes, statuses, strict=True))

    def _kill(self) -> None:
        for each in self.processes.values():
            if each.process.poll() is None:
                each.stop(signal.SIGKILL)
