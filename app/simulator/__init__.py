"""A wire-compatible Azure OpenAI for tests, benchmarks, and whoever has no key.

With the service that calls it it shares the embedded model, the square that this looks at, and how
a process tells where it listens. What it counts and decides is its own, so that the two can't agree
by mistake.
"""

from app.simulator.config import (
    Behaviour,
    DeploymentConfig,
    Fault,
    Latency,
    SimulatorConfig,
)
from app.simulator.routes import create_simulator
from app.simulator.server import Server

__all__ = [
    "Behaviour",
    "DeploymentConfig",
    "Fault",
    "Latency",
    "Server",
    "SimulatorConfig",
    "create_simulator",
]
