"""A wire-compatible Azure OpenAI for tests, benchmarks, and anyone without a key.

It shares with the service that calls it only the embedded model, the square crop that this model
sees, and how a process reports where it listens. It has its own code for counting and deciding, so
that the two can't agree by mistake.
"""

from app.simulator.call_log import CallLog
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
    "CallLog",
    "DeploymentConfig",
    "Fault",
    "Latency",
    "Server",
    "SimulatorConfig",
    "create_simulator",
]
