"""A server for all these tests, each of which brings its own simulator."""

import threading

import pytest

from app.simulator import Server
from tests.integration.simulator.calls import Simulator


@pytest.fixture(scope="package")
def served():
    """Real HTTP, on a thread of its own, to whichever simulator a test starts."""
    simulator, ready = Simulator(""), threading.Event()

    def listening(url):
        simulator.url = url
        ready.set()

    server = Server(simulator, host="127.0.0.1", port=0, on_listening=listening)
    server.config.lifespan = "off"
    thread = threading.Thread(target=server.run)
    thread.start()
    assert ready.wait(10)
    yield simulator
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def simulator(served):
    served.now = 1_800_000_000.0
    served.start()
    return served


@pytest.fixture(params=["v1", "dated"])
def sdk(request, simulator):
    return simulator.sdk() if request.param == "v1" else simulator.dated()
