"""`simulate`: an Azure OpenAI on this machine."""

import json
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from app.errors import ConfigurationError

if TYPE_CHECKING:
    from app.simulator import SimulatorConfig

DEPLOYMENT_FIELDS = ("name", "model", "rpm", "tpm")


def simulate(
    deployment: Annotated[
        list[str] | None,
        typer.Option(help="Any number of them.", metavar="NAME[:MODEL[:RPM[:TPM]]]"),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0: a free one.")] = 8001,
    key: Annotated[str | None, typer.Option(help="The only key that is taken; else any.")] = None,
    window: Annotated[
        int, typer.Option(help="Seconds, 1 or 10, over which requests are limited.")
    ] = 10,
    latency: Annotated[
        str | None, typer.Option(help="Seconds; 0: answer at once.", metavar="MEAN:P95")
    ] = None,
    accuracy: Annotated[
        float | None,
        typer.Option(help="Share of right answers to the truth; else the local model looks."),
    ] = None,
    calibration: Annotated[
        float, typer.Option(help="1: as sure as right; below 1 surer, above less sure.")
    ] = 1,
    truth: Annotated[
        Path | None, typer.Option(help='JSON, {"SHA-256 of a picture as received": "class"}.')
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same answers.")] = 0,
) -> None:
    """Simulate Azure OpenAI, for tests, benchmarks, and users without a key.

    Prints `listening on URL`. Ends with SIGTERM or Ctrl-C.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # Here, because no other command needs it.
    from app.simulator import Server, create_simulator

    shared = {
        "window_s": window,
        "accuracy": 1.0 if accuracy is None and truth else accuracy,
        "calibration": calibration,
        "latency": _latency(latency),
    }
    config = _config(deployment or ["gpt-4o"], shared, key=key, seed=seed, truth=_truth(truth))
    server = Server(
        create_simulator(config),
        host=host,
        port=port,
        on_listening=lambda url: typer.echo(f"listening on {url}"),
    )
    with suppress(KeyboardInterrupt):
        server.run()


def _config(deployments: list[str], shared: dict[str, Any], **others: Any) -> "SimulatorConfig":
    """Raises ConfigurationError."""
    from app.simulator import SimulatorConfig

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
        raise ConfigurationError(f"{where}: {found['msg']}") from None


def _latency(text: str | None) -> dict[str, float]:
    """Raises ConfigurationError."""
    if text is None:
        return {}
    try:
        mean, _, p95 = text.partition(":")
        mean_s, p95_s = float(mean), float(p95 or mean)
    except ValueError:
        raise ConfigurationError(f"--latency {text}: expected MEAN:P95 in seconds") from None
    # The defaults' floor and network are made for their mean.
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
