"""`simulate`: runs a simulated Azure OpenAI on this machine."""

import json
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError

from app.errors import ConfigurationError, said
from app.simulator import CallLog, Server, SimulatorConfig, create_simulator

DEPLOYMENT_FIELDS = ("name", "model", "rpm", "tpm")


def simulate(
    deployments: list[str],
    *,
    host: str,
    port: int,
    key: str | None,
    window: int,
    latency: str | None,
    accuracy: float | None,
    calibration: float,
    truth: Path | None,
    calls: Path | None,
    seed: int,
) -> None:
    """Run until SIGTERM or Ctrl-C. Raises ConfigurationError."""
    shared = {
        "window_s": window,
        "accuracy": 1.0 if accuracy is None and truth else accuracy,
        "calibration": calibration,
        "latency": _latency(latency),
    }
    config = _config(deployments, shared, key=key, seed=seed, truth=_truth(truth))
    with nullcontext() if calls is None else closing(_log(calls)) as log:
        server = Server(
            create_simulator(config, log=log),
            host=host,
            port=port,
            on_listening=lambda url: typer.echo(f"listening on {url}"),
        )
        with suppress(KeyboardInterrupt):
            server.run()


def _log(path: Path) -> CallLog:
    """Raises ConfigurationError."""
    try:
        return CallLog(path)
    except OSError as error:
        raise ConfigurationError(f"--calls {path}: {error.strerror}") from None


def _config(deployments: list[str], shared: dict[str, Any], **others: Any) -> SimulatorConfig:
    """Raises ConfigurationError."""
    told = [
        {**shared, **dict(zip(DEPLOYMENT_FIELDS, each.split(":"), strict=False))}
        for each in deployments
    ]
    if surplus := [each for each in deployments if each.count(":") >= len(DEPLOYMENT_FIELDS)]:
        raise ConfigurationError(f"--deployment {surplus[0]}: more than NAME:MODEL:RPM:TPM")
    try:
        return SimulatorConfig.model_validate({"deployments": told, **others})
    except ValidationError as error:
        found = error.errors()[0]
        where = ".".join(str(each) for each in found["loc"])
        raise ConfigurationError(f"{where}: {said(found['msg'])}") from None


def _latency(text: str | None) -> dict[str, float]:
    """Raises ConfigurationError."""
    if text is None:
        return {}
    try:
        mean, _, p95 = text.partition(":")
        mean_s, p95_s = float(mean), float(p95 or mean)
    except ValueError:
        raise ConfigurationError(f"--latency {text}: expected MEAN:P95 in seconds") from None
    # The floor and network delays scale with the mean, as the defaults fit only their own mean.
    return {
        "mean_s": mean_s,
        "p95_s": p95_s,
        "floor_s": mean_s / 4,
        "network_min_s": min(0.01, mean_s / 20),
        "network_max_s": min(0.03, mean_s / 10),
    }


def _truth(path: Path | None) -> dict[str, str]:
    """Raises ConfigurationError."""
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: {error}") from None
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path}: expected an object")
    return found
