"""`config check`: checks whether the service would start."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from rich.console import Console

from app.alerts import open_targets, read_rules
from app.cli.output import print_json
from app.cli.start import start
from app.domains import Domain, read_domains
from app.egress import Allowance
from app.errors import ConfigurationError, ProviderUnknown
from app.images import ImageWorkers
from app.providers.base import ProviderContext
from app.providers.profiles import Detail, ModelTable
from app.providers.registry import ProviderRegistry, provider_names
from app.settings import Settings
from app.settings_groups import AlertThresholds
from app.storage import AllowedUris, BlobStore, ObjectStore, describe, parse_url
from app.storage.event_types import event_types
from app.traffic import check_budgets
from app.webhooks import configured_callback_secret, configured_vault
from app.yaml_file import config_dir

T = TypeVar("T")

CHEAP_SIDE = 512
DETAILS: tuple[Detail, ...] = ("low", "high", "auto")
SHAPES = (1, 3 / 4, 9 / 16, 3 / 8)
"""Height over width: which shape takes the most tokens depends on the formula."""
DEAR = 1.5
"""Warn above this multiple of the fewest tokens that a picture of CHEAP_SIDE takes."""


def check(*, as_json: bool) -> None:
    """Raises ConfigurationError, with a line for each error."""
    complaints: list[str] = []

    def attempt(step: Callable[[], T]) -> T | None:
        try:
            return step()
        except ConfigurationError as error:
            complaints.extend(str(error).splitlines())
            return None

    settings = attempt(start)
    domains = attempt(lambda: read_domains(config_dir() / "domains.yaml"))
    thresholds = settings.monitoring.alert_thresholds if settings else AlertThresholds()
    attempt(lambda: read_rules(config_dir() / "alerts.yaml", thresholds))
    attempt(event_types)
    models = attempt(lambda: ModelTable.read(config_dir() / "models.yaml"))
    storage: str | None = None
    if settings:
        attempt(lambda: open_targets(settings.monitoring.notify))
        attempt(lambda: Allowance.parse(settings.egress_allow))
        attempt(lambda: ObjectStore(AllowedUris.parse(settings.batch.sources)))
        attempt(lambda: ObjectStore(AllowedUris.parse(settings.export.targets, "EXPORT_TARGETS")))
        attempt(lambda: BlobStore(settings.blobs_place))
        attempt(lambda: configured_callback_secret(settings))
        attempt(lambda: asyncio.run(configured_vault(settings)))
        storage = attempt(lambda: describe(parse_url(settings.database_url)))
    complaints += _unknown_providers(domains or {})
    if settings and models:
        attempt(lambda: asyncio.run(_build_provider(settings, models)))
        attempt(lambda: check_budgets(settings, models))
    if complaints or settings is None or models is None:
        raise ConfigurationError("\n".join(complaints))

    domains = domains or {}
    found = {
        "warnings": [*_warnings(settings, models), *_dear(settings, models, domains)],
        "config": str(config_dir()),
        "provider": settings.provider_name,
        "limits": [*_limits(settings)],
        "storage": storage,
        "domains": sorted(domains),
    }
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for warning in found["warnings"]:
        console.print(f"warning: {warning}", style="yellow", markup=False)
    console.print(f"{found['config']}: valid", markup=False)
    console.print(f"provider: {found['provider']}", markup=False)
    for line in found["limits"]:
        console.print(f"limit: {line}", markup=False)
    console.print(f"storage: {found['storage']}", markup=False)
    console.print(f"domains: {', '.join(found['domains'])}", markup=False)


async def _build_provider(settings: Settings, models: ModelTable) -> None:
    """As at startup, without calling the provider. Raises ConfigurationError."""
    workers = ImageWorkers(1)
    registry = ProviderRegistry(ProviderContext(settings, models, workers))
    try:
        await registry.get(settings.provider_name)
    except ProviderUnknown as error:
        raise ConfigurationError(f"PROVIDER: {error}") from error
    finally:
        await registry.aclose()
        workers.close()


def _unknown_providers(domains: dict[str, Domain]) -> Iterator[str]:
    known = provider_names()
    for domain in domains.values():
        for name in domain.providers:
            if name not in known:
                place = f"{config_dir() / 'domains.yaml'}: {domain.name}.providers"
                yield f"{place}: {name!r} is none of {', '.join(known)}"


def _limits(settings: Settings) -> Iterator[str]:
    """The limits of each deployment, or those of metered calls in general."""
    rpm, source = settings.requests_per_minute
    tokens = f", {settings.rate_limit_tpm} tokens/min from RATE_LIMIT_TPM"
    if not settings.deployments:
        yield (
            f"{rpm} calls/min from {source}{tokens if settings.rate_limit_tpm else ''}, "
            "where calls are metered"
        )
    for each in settings.deployments:
        limits = settings.limits(each.name)
        tpm = f", {limits.tpm} tokens/min" if limits.tpm else ""
        yield f"{each.name}: {limits.rpm} calls/min{tpm}, priority {limits.priority}"


def _models(settings: Settings) -> list[str]:
    """Models named in the settings."""
    azure = settings.azure_deployments if settings.azure_configured else ()
    return sorted(
        {name for name in (*(each.model for each in azure), settings.openai.model) if name}
    )


def _warnings(settings: Settings, models: ModelTable) -> Iterator[str]:
    for name in models.unpriced(settings):
        yield f"the price of {name} is not known: its costs will be null"
    if settings.shared and not settings.webhooks.encryption_keys:
        yield "webhooks and callbacks are refused: WEBHOOKS_ENCRYPTION_KEYS is not set"
    if not settings.api_keys and settings.allow_anonymous:
        yield "anybody who reaches the service may use it: API_KEYS is empty"


def _dear(settings: Settings, models: ModelTable, domains: dict[str, Domain]) -> Iterator[str]:
    """Domains whose pictures take many more tokens of a configured model than necessary."""
    for name in _models(settings):
        family = models.family(name)
        least = min(family.image_tokens(CHEAP_SIDE, CHEAP_SIDE, each) or 0 for each in DETAILS)
        for domain in domains.values():
            side = domain.image_size
            shapes = [(side, max(1, round(side * share))) for share in SHAPES]
            taken = max(family.image_tokens(*shape, domain.detail) or 0 for shape in shapes)
            if taken > DEAR * least:
                yield (
                    f"{domain.name}: a picture takes up to {taken} tokens of {name} "
                    f"(image_size {side}, detail {domain.detail}); with {CHEAP_SIDE} px, {least} "
                    "are possible"
                )
