"""What every test stands on: no settings but its own, real parts, a real server."""

import functools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from app.main import create_app
from app.parts import build_parts
from app.providers import registry
from app.providers.local import provider as local
from app.providers.profiles import ModelTable
from app.settings import CacheSettings, Settings
from app.settings_sources import leaves, variable
from tests.fakes import ENTRY_POINTS

ROOT = Path(__file__).resolve().parents[1]
PHOTOGRAPHS = ROOT / "examples" / "images"


@pytest.fixture(scope="session", autouse=True)
def _read_once():
    """What no test changes is read once, not for every test: it takes a third of a second."""
    read, shipped = ModelTable.read, functools.cache(ModelTable.read)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            ModelTable,
            "read",
            lambda path: (shipped if path.is_relative_to(ROOT / "config") else read)(path),
        )
        patch.setattr(local, "EfficientNetLite", functools.cache(local.EfficientNetLite))
        patch.setattr(local.Vocabulary, "load", functools.cache(local.Vocabulary.load))
        yield


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch, tmp_path):
    """No variable and no .env of whoever runs the tests; the shipped config/."""
    for path, _ in leaves(Settings):
        monkeypatch.delenv(variable(path), raising=False)
    monkeypatch.setenv("CONFIG_DIR", str(ROOT / "config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def settings():
    """In memory, without a provider's key; every picture is asked about, however often it comes."""
    return Settings(
        database_url="sqlite://", drain_delay=0, image_workers=2, cache=CacheSettings(ttl=0)
    )


@pytest.fixture
async def parts(settings, monkeypatch):
    """Real parts, and the providers `fake` and `second` plugged in."""
    monkeypatch.setattr(registry, "OWN", (*registry.OWN, *ENTRY_POINTS))
    async with build_parts(settings, serving=True) as parts:
        parts.health.state = "ready"
        yield parts


@pytest.fixture
async def client(parts):
    """The app in this process, without a socket."""
    transport = httpx2.ASGITransport(create_app(parts), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client


@pytest.fixture
async def fake(parts):
    """The provider `fake` of the running parts."""
    return await parts.providers.get("fake")


class RunningService:
    """`python -m app serve` on a free port of this machine."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.variables = variables
        self.log = folder / "log.txt"
        self.start()

    def start(self) -> None:
        environment = os.environ | {
            "CONFIG_DIR": str(ROOT / "config"),
            "DATABASE_URL": f"sqlite:///{self.folder}/app.db",
            "PYTHONPATH": str(ROOT),
            "PORT": "0",
            "DRAIN_DELAY": "0",
            "LOG_RENDERER": "json",
            **self.variables,
        }
        with self.log.open("ab") as log:
            begin = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app", "serve"],
                cwd=self.folder,
                env=environment,
                stderr=log,
            )
        self.url = self._wait_for_url(begin)

    def _wait_for_url(self, begin: int) -> str:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for line in self.log.read_bytes()[begin:].splitlines():
                if b"listening" in line and (url := re.search(rb'http://[^\s"]+', line)):
                    return url[0].decode()
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        self.process.kill()
        self.process.wait()
        raise RuntimeError(f"the service does not start: {self.log.read_text()}")

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """The exit status."""
        self.process.send_signal(sig)
        return self.process.wait(timeout=30)


@pytest.fixture
def start_service(tmp_path) -> Iterator:
    """Start services with the given variables; all are stopped in the end."""
    started: list[RunningService] = []

    def start(**variables: str) -> RunningService:
        folder = tmp_path / f"service-{len(started)}"
        folder.mkdir()
        started.append(RunningService(folder, **variables))
        return started[-1]

    yield start
    for service in started:
        if service.process.poll() is None:
            service.stop(signal.SIGKILL)
