"""`serve`: answer over HTTP."""

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
from app.storage.audit import SERVICE

log = structlog.stdlib.get_logger("app.serve")

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""
MEBIBYTE = 1 << 20


def serve(*, host: str | None, port: int | None) -> None:
    """Until SIGTERM or Ctrl-C. Raises ConfigurationError."""
    run(start(host=host, port=port), serving=True)


def run(settings: Settings, *, serving: bool) -> None:
    """Until SIGTERM or Ctrl-C. Not `serving`: over HTTP there are health and metrics only."""
    _settle_allocator()
    # When a counter began says nothing, and is half of what is scraped.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(settings, serving=serving))


class DrainingServer(ListeningServer):
    """Says 503 on /health/ready for a while before it stops taking connections."""

    def __init__(self, config: uvicorn.Config, parts: Parts) -> None:
        super().__init__(config)
        self._parts = parts

    async def listening(self, url: str) -> None:
        settle_interpreter()
        await _announce(self._parts, url)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A second signal does not wait any more."""
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
    """Two defaults of CPython that do not suit a server with threads that compute."""
    # What stands now stays for good, and a request's objects die without the collector's help:
    # looking less often takes a tenth off a request, and the long pauses away.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    # A thread that comes back from decoding waits this long for the event loop's; at the default
    # of 5 ms the cores stood idle for a fifth of the time.
    sys.setswitchinterval(0.000_5)


def _settle_allocator() -> None:
    """Keep what pictures leave behind in one piece.

    glibc's malloc learns from the first large picture it frees to keep room for others in the heap,
    which then only grows. Fixed, large blocks go back to the system, and ordinary pictures still
    need no page of theirs anew. No effect where there is no glibc.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 4 * MEBIBYTE)
        mallopt(M_TRIM_THRESHOLD, 32 * MEBIBYTE)


def _reload_on_sighup(parts: Parts) -> None:
    files: dict[str, DomainRegistry | Rules] = {
        "domains.reloaded": parts.domains,
        "alerts.reloaded": parts.alerting.rules,
    }
    noting: set[asyncio.Task[None]] = set()

    async def note(actions: list[str]) -> None:
        with suppress(StorageUnavailable):  # which says so itself
            for each in actions:
                await parts.audit.add(SERVICE, each)

    def reload() -> None:
        reloaded = []
        for action, each in files.items():
            # A refused file is logged where it is read.
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
