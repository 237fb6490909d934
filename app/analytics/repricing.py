"""Recomputes what calls cost at current prices, where the prices at the time were wrong."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import cast

from app.ledger import LedgerEntry
from app.prices import AgreedPrice, DeploymentType, Price, Tariff
from app.providers.profiles import ModelTable
from app.settings import Settings
from app.storage import NewPrice, RepricingRepository


@dataclass(frozen=True, slots=True)
class Repriced:
    """
    Attributes:
        entries: how many changed.
        usd: how much more they cost than before.
    """

    entries: int = 0
    usd: Decimal = Decimal(0)


class Repricing:
    def __init__(self, rows: RepricingRepository, models: ModelTable, settings: Settings) -> None:
        self._rows = rows
        self._models = models
        self._agreed = _agreed(settings)

    async def reprice(self, since: datetime, *, dry_run: bool = False) -> Repriced:
        """Recompute entries since then, or only report what that would change. Raises
        StorageUnavailable; changes made until then are kept."""
        count, usd, after = 0, Decimal(0), ""
        while page := await self._rows.page(since, after=after):
            wanted = [new for each in page if (new := self._new(each)) is not None]
            changed = wanted if dry_run else await self._rows.change(wanted)
            count += len(changed)
            usd += sum((each.difference_usd for each in changed), Decimal(0))
            after = page[-1].id
        return Repriced(count, usd)

    def _new(self, entry: LedgerEntry) -> NewPrice | None:
        """None when nothing changed, or when no price is known now, which is no reason to discard
        the old one."""
        price = self._price(entry)
        if price is None:
            return None
        new = NewPrice(entry, round(price.of(entry.usage), 12), price.version)
        return new if (new.cost_usd, new.price) != (entry.cost_usd, entry.price) else None

    def _price(self, entry: LedgerEntry) -> Price | None:
        agreed = self._agreed.get((entry.provider, entry.deployment))
        return self._models.price(entry.model, Tariff(cast(DeploymentType, entry.tariff), agreed))


def _agreed(settings: Settings) -> dict[tuple[str, str], AgreedPrice]:
    """By provider and deployment."""
    found = {("azure_openai", each.name): each.price for each in settings.azure_deployments}
    found["openai_compatible", settings.openai.model or ""] = settings.openai.price
    return {name: price for name, price in found.items() if price is not None}
