"""`/domains/{name}/cascade`: which of a cascade's answers go no further, and why."""

from typing import Self

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.dependencies import Caller, Joined
from app.api.domains import DomainName
from app.calibration import Basis, Sureness
from app.errors import ProviderUnknown

router = APIRouter(prefix="/domains/{name}/cascade", tags=["domains"])


class CascadeStep(BaseModel):
    """A provider, and the confidence from which on no further provider is asked."""

    provider: str = Field(examples=["local"])
    configured: bool = Field(
        description="Whether the provider is configured here.", examples=[True]
    )
    threshold: float | None = Field(
        description="Answers at or above it, and at or above the domain's own threshold, are "
        "final. Null if no answer is sure enough, so that all pictures go on to the next provider, "
        "and for the last provider, whose answers are always final.",
        examples=[0.74],
    )
    basis: Basis | None = Field(
        description="Source of the threshold: `given` in the domain, `labels` (answers whose true "
        "class is known), `taught` (what the model was taught with, each picture judged without "
        "it), or `nothing`. Null for the last provider.",
        examples=["labels"],
    )
    labels: int | None = Field(
        description="Labelled answers that the threshold is based on; null without.", examples=[200]
    )
    accuracy: float | None = Field(
        description="Accuracy of those at or above the threshold; null without.", examples=[0.985]
    )
    interval: tuple[float, float] | None = Field(
        description="Where the true accuracy lies with 95 % confidence (Wilson).",
        examples=[[0.957, 0.995]],
    )
    share: float | None = Field(
        description="Share of the labelled answers that are final.", examples=[0.84]
    )

    @classmethod
    def of(cls, provider: str, sureness: Sureness | None, *, configured: bool = True) -> Self:
        found = sureness.found if sureness else None
        return cls(
            provider=provider,
            configured=configured,
            threshold=sureness.threshold if sureness else None,
            basis=sureness.basis if sureness else None,
            labels=found.labels if found else None,
            accuracy=found.accuracy if found else None,
            interval=found.interval if found else None,
            share=found.share_accepted if found else None,
        )


class CascadeView(BaseModel):
    """The cascade in force; labels are read once a minute."""

    accuracy: float | None = Field(
        description="How often final answers should be right; null: the domain has no cascade, and "
        "a provider is asked only if those before it are down.",
        examples=[0.97],
    )
    steps: list[CascadeStep]


@router.get("")
async def get_cascade(name: DomainName, parts: Joined, caller: Caller) -> CascadeView:
    """Get the confidence from which on each provider's answers are final, and where it comes
    from."""
    domain = await parts.domains.find(name)
    if domain.cascade is None:
        return CascadeView(accuracy=None, steps=[])
    *earlier, last = domain.providers
    steps = []
    for provider in (*earlier, last):
        try:
            await parts.providers.get(provider)
            sureness = None if provider == last else await parts.surenesses.now(provider, domain)
            steps.append(CascadeStep.of(provider, sureness))
        except ProviderUnknown:
            steps.append(CascadeStep.of(provider, None, configured=False))
    return CascadeView(accuracy=domain.cascade.accuracy, steps=steps)
