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
    """Who is asked, and from which confidence on nobody else is."""

    provider: str = Field(examples=["local"])
    configured: bool = Field(description="Whether it can be asked at all here.", examples=[True])
    threshold: float | None = Field(
        description="Answers at or above it, and at or above the domain's own threshold, go no "
        "further. Null where none is sure enough, so that all go on, and for the last one, whose "
        "answers always stand.",
        examples=[0.74],
    )
    basis: Basis | None = Field(
        description="Where that comes from: `given` in the domain, `labels` (answers of which the "
        "truth is known), `taught` (what the model was taught with, each picture judged without "
        "it), or `nothing`. Null for the last one.",
        examples=["labels"],
    )
    labels: int | None = Field(
        description="Labelled answers that it was found with; null without.", examples=[200]
    )
    accuracy: float | None = Field(
        description="Of those at the threshold or above; null without.", examples=[0.985]
    )
    interval: tuple[float, float] | None = Field(
        description="In which it lies with 95 % confidence (Wilson).", examples=[[0.957, 0.995]]
    )
    share: float | None = Field(
        description="Of the labelled answers, how many go no further.", examples=[0.84]
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
    """What is in force right now; labels are looked at once a minute."""

    accuracy: float | None = Field(
        description="How often answers that go no further shall be right; null: the domain has no "
        "cascade, and the next one is asked only when one is down.",
        examples=[0.97],
    )
    steps: list[CascadeStep]


@router.get("")
async def get_cascade(name: DomainName, parts: Joined, caller: Caller) -> CascadeView:
    """From which confidence on each provider's answers go no further, and where that comes from."""
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
