"""What a dry run says a batch will be billed, beside what the simulator bills for it then.

    python -m benchmarks.estimate FOLDER [--models gpt-4o,gpt-4.1-mini] [--details low,high]
        [--image-size 512] [--json OUT]

Each folder in FOLDER that is called like a domain is a batch about it, the others are about
`--domain`, and all of them together are one more. `off` is what was expected over what was billed;
`within`: whether the bill lay in the range. `again` is a dry run after that, from what was billed.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from app.batches import BatchEstimate, BatchOptions
from app.batches.rows import Row, Unusable
from app.batches.sources import Files
from app.domains import Domain
from app.parts import Parts, build_parts
from app.settings import Settings
from app.settings_groups import AzureOpenAISettings, CacheSettings
from app.storage.audit import COMMAND_LINE
from app.telemetry.logging import LoggingConfig, configure_logging
from benchmarks.report import Figure, parser, report

RPM = 60_000


class Simulator:
    """A process with a deployment for each model, named after it, that answers at once."""

    def __init__(self, models: Sequence[str]) -> None:
        deployments = [
            word for each in models for word in ("--deployment", f"{each}:{each}:{RPM}:{10**9}")
        ]
        options = ["--port", "0", "--accuracy", "0.97", "--latency", "0", *deployments]
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "app", "simulate", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        line = self._process.stdout.readline() if self._process.stdout else ""
        self.url = line.split()[-1]

    def billed(self, model: str) -> dict[str, int]:
        """Tokens so far: `prompt`, of which `image`, and `completion`."""
        with urllib.request.urlopen(f"{self.url}/_sim") as answer:  # noqa: S310
            counts: dict[str, int] = json.load(answer)["deployments"][model]["counts"]["billed"]
        return counts

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate()


def settings(simulator: Simulator, model: str, database: Path) -> Settings:
    """Each picture is sent to the provider: cached answers cost nothing."""
    return Settings(
        database_url=f"sqlite:///{database}",
        azure_openai=AzureOpenAISettings(
            endpoint=simulator.url, api_key="key", deployment=model, model=model
        ),
        rate_limit_rpm=RPM,
        cache=CacheSettings(ttl=0),
    )


async def compare(
    parts: Parts, simulator: Simulator, model: str, domain: str, folders: Sequence[Path]
) -> dict[str, Any]:
    """A dry run, the run, and another dry run."""
    options = BatchOptions(domain=domain)
    before = simulator.billed(model)
    estimate = await parts.estimator.estimate(
        options, _rows(parts, options, folders), caller="test"
    )
    batch = await parts.taking_in.take(options, _rows(parts, options, folders), caller="benchmark")
    await parts.runner.go_on(batch.id)
    while not batch.is_over:
        await asyncio.sleep(0.1)
        batch = await parts.batches.get(batch.id)
    after = simulator.billed(model)
    billed = sum(after[part] - before[part] for part in ("prompt", "completion"))
    again = await parts.estimator.estimate(options, _rows(parts, options, folders), caller="test")
    return {
        "pictures": estimate.items - estimate.duplicates,
        "sampled": estimate.sampled,
        "billed": billed,
        "cost_usd": float(batch.cost_usd),
        **_figures(estimate, billed),
        "again": _figures(again, billed),
    }


def _figures(estimate: BatchEstimate, billed: int) -> dict[str, Any]:
    tokens, cost = estimate.tokens, estimate.cost_usd
    return {
        "basis": estimate.basis,
        "low": tokens.low,
        "expected": tokens.expected,
        "high": tokens.high,
        "off": round(tokens.expected / billed - 1, 4),
        "within": tokens.low <= billed <= tokens.high,
        "expected_cost_usd": cost and float(cost.expected),
    }


def _rows(parts: Parts, options: BatchOptions, folders: Sequence[Path]) -> Iterator[Row | Unusable]:
    files = Files.of(parts.settings, parts.domains.get(options.domain))
    for each in folders:
        yield from files.folder(each)


async def measure(
    simulator: Simulator, model: str, detail: str, inside: Sequence[Path], options: Any
) -> dict[str, Any]:
    """All batches of one model."""
    with tempfile.TemporaryDirectory() as place:
        async with build_parts(
            settings(simulator, model, Path(place) / "app.db"), serving=True
        ) as parts:
            batches = {each.name: [each] for each in inside} | {"all": inside}
            found = {}
            for name, folders in batches.items():
                known = name in {each.name for each in parts.domains.all()}
                domain = parts.domains.get(name if known else options.domain)
                looked_at = domain.model_dump() | {
                    "name": f"{name}-{detail}",
                    "detail": detail,
                    "image_size": options.image_size,
                }
                await parts.domains.create(Domain(**looked_at), by=COMMAND_LINE)
                found[name] = await compare(
                    parts, simulator, model, str(looked_at["name"]), folders
                )
    return found


async def _measure(options: Any) -> dict[str, Any]:
    models, found = options.models.split(","), {}
    inside = sorted(each for each in options.folder.iterdir() if each.is_dir())
    simulator = await asyncio.to_thread(Simulator, models)
    for model in models:
        for detail in options.details.split(","):
            found[f"{model}, {detail}"] = await measure(
                simulator, model, detail, inside or [options.folder], options
            )
    simulator.stop()
    return found


def figures(found: dict[str, Any]) -> Iterator[Figure]:
    for which, batches in found.items():
        told = batches["all"]
        for name, each in (("by rule", told), ("once such calls were billed", told["again"])):
            yield Figure(
                name=f"{which}: error of the estimate of a batch's tokens, {name}",
                value=abs(each["expected"] / told["billed"] - 1),
                unit="%",
                beside="half of the range that it tells",
                beside_value=(each["high"] - each["low"]) / 2 / told["billed"],
            )


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--models", default="gpt-4o,gpt-4.1-mini")
    arguments.add_argument("--details", default="low,high")
    arguments.add_argument("--image-size", type=int, default=512)
    arguments.add_argument("--domain", default="objects")
    configure_logging(LoggingConfig(level="error"))
    options = arguments.parse_args()
    found = asyncio.run(_measure(options))
    report(found, options, figures(found))


if __name__ == "__main__":
    main()
