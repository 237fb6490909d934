"""The basis of every test: isolated settings, real parts, a real server."""

import asyncio
import functools
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
import structlog

from app.main import create_app
from app.parts import build_parts
from app.parts.ground import now
from app.providers import registry
from app.providers.local import provider as local
from app.providers.local.vocabulary import Vocabulary
from app.providers.profiles import ModelTable
from app.settings import Settings
from app.settings_groups import CacheSettings, ReviewSettings
from app.settings_sources import leaves, variable
from app.storage import Database, migrate
from tests.clock import Clock
from tests.described import is_described
from tests.fakes import ENTRY_POINTS
from tests.postgres_server import PostgresServer
from tests.redis_server import RedisServer
from tests.service import ROOT, RunningService
from tests.virtual_time import VirtualLoop

PHOTOGRAPHS = ROOT / "examples" / "images"


def pytest_asyncio_loop_factories(config, item):
    """Virtual time for modules that ask for it."""
    if item.get_closest_marker("virtual_time"):
        return {"virtual": VirtualLoop}
    return {"real": asyncio.new_event_loop}


@pytest.fixture(scope="session", autouse=True)
def _read_once():
    """Read what no test changes once, not for every test: reading takes a third of a second."""
    read, shipped = ModelTable.read, functools.cache(ModelTable.read)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            ModelTable,
            "read",
            lambda path: (shipped if path.is_relative_to(ROOT / "config") else read)(path),
        )
        patch.setattr(local, "EfficientNetLite", functools.cache(local.EfficientNetLite))
        patch.setattr(Vocabulary, "load", functools.cache(Vocabulary.load))
        yield


@pytest.fixture(scope="session", autouse=True)
def _loggers():
    """A command's logging configuration must not outlast the test: a logger cached with it would
    escape later tests that capture logs."""
    configure = structlog.configure
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            structlog,
            "configure",
            lambda **how: configure(**how | {"cache_logger_on_first_use": False}),
        )
        yield


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c():
    """If the suite runs in the background of a shell, Ctrl-C is ignored, also by processes it
    starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch, tmp_path):
    """Ignore the variables and the .env of the person who runs the tests; use the shipped
    config/."""
    for path, _ in leaves(Settings):
        monkeypatch.delenv(variable(path), raising=False)
    monkeypatch.setenv("CONFIG_DIR", str(ROOT / "config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def postgres():
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgres_template(postgres):
    """The name of a database with the service's schema."""
    name = postgres.new_database()

    async def migrated() -> None:
        database = Database(postgres.url(name))
        await migrate(database)
        await database.close()

    with ThreadPoolExecutor(1) as thread:  # this thread may be running an event loop
        thread.submit(asyncio.run, migrated()).result()
    return name


@pytest.fixture
def postgres_url(postgres, postgres_template):
    """Of a database with the service's schema, for this test alone."""
    return postgres.url(postgres.new_database(template=postgres_template))


@pytest.fixture
def database_url(request):
    """In memory, and also PostgreSQL where a test or module is marked with `each_database`."""
    if getattr(request, "param", "sqlite") == "postgres":
        return request.getfixturevalue("postgres_url")
    return "sqlite://"


@pytest.fixture
def lasting_url(database_url, tmp_path):
    """Of a database that outlives the parts."""
    return f"sqlite:///{tmp_path}/app.db" if database_url == "sqlite://" else database_url


def pytest_generate_tests(metafunc):
    marked = metafunc.definition.get_closest_marker("each_database")
    if marked and "database_url" in metafunc.fixturenames:
        metafunc.parametrize("database_url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def settings(database_url, tmp_path):
    """Without a provider's key; every picture is sent to the provider, even if repeated, and none
    is drawn for review."""
    return Settings(
        database_url=database_url,
        blobs_url=f"memory://{tmp_path}",
        drain_delay=0,
        image_workers=2,
        cache=CacheSettings(ttl=0),
        review=ReviewSettings(random_share=0),
    )


@pytest.fixture
def clock():
    """The clock of all parts, if a test or a fixture asks for it; these move it forward."""
    return Clock()


@pytest.fixture
def clock_of_parts(request):
    return request.getfixturevalue("clock") if "clock" in request.fixturenames else now


@pytest.fixture
async def parts(settings, clock_of_parts, monkeypatch):
    """Real parts, with the providers `fake` and `second` plugged in."""
    monkeypatch.setattr(registry, "OWN", (*registry.OWN, *ENTRY_POINTS))
    async with build_parts(settings, serving=True, clock=clock_of_parts) as parts:
        parts.health.state = "ready"
        yield parts


@pytest.fixture
async def client(parts):
    """A client of the app in this process, without a socket; it takes no error that openapi.json
    does not describe."""
    transport = httpx2.ASGITransport(create_app(parts), raise_app_exceptions=False)
    async with httpx2.AsyncClient(
        transport=transport,
        base_url="http://service",
        event_hooks={"response": [is_described]},
    ) as client:
        yield client


@pytest.fixture
def redis(tmp_path_factory):
    """A real Redis, for this test alone."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture
async def fake(parts):
    """The provider `fake` of the running parts."""
    (provider,) = await parts.providers.get("fake")
    return provider


@pytest.fixture
def start_service(tmp_path) -> Iterator:
    """Start services with the given variables; all are stopped at the end."""
    started: list[RunningService] = []

    def start(command: str = "serve", **variables: str) -> RunningService:
        folder = tmp_path / f"service-{len(started)}"
        folder.mkdir()
        started.append(RunningService(folder, command, **variables))
        return started[-1]

    yield start
    for service in started:
        if service.process.poll() is None:
            service.stop(signal.SIGKILL)
