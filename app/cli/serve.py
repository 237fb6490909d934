"""`serve`: runs the HTTP service."""

import asyncio
import ctypes
import gc
import math
import signal
import sys
from contextlib import suppress
from types import FrameType

import structlog
import uvicorn
from prometheus_client import disable_created_metrics

from app.alerts import Rules
from app.cli.head_limit import BoundedHead
from app.cli.start import start
from app.domains import DomainRegistry
from app.errors import ConfigurationError, StorageUnavailable
from app.listening import ListeningServer
from app.main import create_app
from app.parts import Parts, build_parts
from app.settings import Settings
from app.storage.audit import SERVICE, Action

log = structlog.stdlib.get_logger("app.serve")

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Constants of glibc's malloc.h."""
MEBIBYTE = 1 << 20


def serve(*, host: str | None, port: int | None) -> None:
    """Run until SIGTERM or Ctrl-C. Raises ConfigurationError."""
    run(start(host=host, port=port), serving=True)


def run(settings: Settings, *, serving: bool) -> None:
    """Run until SIGTERM or Ctrl-C. Not `serving`: HTTP answers health and metrics only."""
    _settle_allocator()
    # The creation times of counters are of no use, and would be half of what is scraped.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(settings, serving=serving))


class DrainingServer(ListeningServer):
    """Answers /health/ready with 503 for a while before it stops accepting connections."""

    def __init__(self, config: uvicorn.Config, parts: Parts) -> None:
        super().__init__(config)
        self._parts = parts

    async def listening(self, url: str) -> None:
        settle_interpreter()
        await _announce(self._parts, url)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A second signal ends the wait."""
        if self._parts.health.state == "draining":
            self.should_exit = self.force_exit = True
            return
        self._parts.health.state = "draining"
        delay = self._parts.settings.drain_delay
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(loop.call_later, delay, setattr, self, "should_exit", True)


async def _serve(settings: Settings, *, serving: bool) -> None:
    async with build_parts(settings, serving=True) as parts:
        config = uvicorn.Config(
            create_app(parts, serving=serving),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            http=BoundedHead,
            timeout_graceful_shutdown=math.ceil(settings.drain_timeout),
        )
        _reload_on_sighup(parts)
        await DrainingServer(config, parts).serve()
    log.info("stopped")


def _limit(settings: Settings) -> str:
    if settings.deployments:
        return f"of {len(settings.deployments)} deployments"
    limit, source = settings.requests_per_minute
    return f"{limit} calls/min from {source}"


async def _announce(parts: Parts, url: str) -> None:
    settings = parts.settings
    capabilities = await parts.providers.capabilities(settings.provider_name)
    log.info(
        "listening",
        url=url,
        provider=settings.provider_name,
        model=capabilities.model,
        deployment=capabilities.deployment,
        limit=_limit(settings) if capabilities.metered else "none",
        storage=parts.database.description,
        domains=[domain.name for domain in parts.domains.all()],
        works=settings.work,
    )
    if not settings.api_keys and settings.allow_anonymous:
        log.warning("anybody who reaches this service may use it: API_KEYS is empty")


def settle_interpreter() -> None:
    """Change two defaults of CPython that do not suit a server with threads that compute."""
    # Objects that exist now stay for good, and a request's objects are freed without the garbage
    # collector: collecting less often saves a tenth of a request, and avoids the long pauses.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    # A thread that finishes decoding waits this long for the event loop's thread to yield; at the
    # default of 5 ms the cores were idle for a fifth of the time.
    sys.setswitchinterval(0.000_5)


def _settle_allocator() -> None:
    """Keep memory freed by pictures from fragmenting the heap.

    By default, glibc's malloc adapts to the first large picture it frees: it then keeps room for
    others in the heap, which only grows. With fixed limits, large blocks go back to the system, and
    ordinary pictures still don't have to fault in their pages anew. No effect without glibc.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 4 * MEBIBYTE)
        mallopt(M_TRIM_THRESHOLD, 32 * MEBIBYTE)


def _reload_on_sighup(parts: Parts) -> None:
    files: dict[Action, DomainRegistry | Rules] = {
        "domains.reloaded": parts.domains,
        "alerts.reloaded": parts.alerting.rules,
    }
    noting: set[asyncio.Task[None]] = set()

    async def note(actions: list[Action]) -> None:
        with suppress(StorageUnavailable):  # which is logged where it is raised
            for each in actions:
                await parts.audit.add(SERVICE, each)
            await parts.audit.add_when_new(SERVICE, "domain.configured", parts.domains.configured)

    def reload() -> None:
        reloaded = []
        for action, each in files.items():
            # An invalid file is logged where it is read.
            with suppress(ConfigurationError):
                each.reload_file()
                reloaded.append(action)
        task = asyncio.create_task(note(reloaded))
        noting.add(task)
        task.add_done_callback(noting.discard)

    if hasattr(signal, "SIGHUP"):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)


def loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # Windows
        return None
    return uvloop.Loop
