"""`GET /deployments`: how much quota is left, who waits for it, and which deployment fails."""

from dataclasses import asdict
from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.dependencies import InMemory, Operator
from app.traffic import DeploymentState, ProviderState

router = APIRouter(tags=["operations"])


class QuotaReport(BaseModel):
    """One dimension of a deployment's quota."""

    per_minute: float = Field(
        description="The limit per minute as the service assumes it: as configured, or less if the "
        "provider said so.",
        examples=[600],
    )
    left: float = Field(description="What could be used at once.", examples=[63])
    share_left: float = Field(
        description="Share of the quota of a window that is left, 0 to 1.", examples=[0.63]
    )


class LastError(BaseModel):
    """The last call that failed."""

    kind: str = Field(examples=["timeout"])
    at: datetime = Field(examples=["2026-01-02T03:04:05.678Z"])


class DeploymentReport(BaseModel):
    """One deployment."""

    name: str = Field(examples=["west"])
    model: str = Field(examples=["gpt-4o-2024-11-20"])
    priority: int = Field(
        description="The available deployment with the lowest priority is asked first.",
        examples=[0],
    )
    breaker: Literal["closed", "open", "half_open"] = Field(
        description="`open`: it fails and is not called; `half_open`: a single call probes it.",
        examples=["closed"],
    )
    in_flight: int = Field(description="Calls in flight.", examples=[4])
    max_in_flight: int | None = Field(examples=[64])
    latency_ms: float = Field(
        description="Running mean of the latency of answered calls.", examples=[840.5]
    )
    quota: dict[str, QuotaReport] = Field(
        description="Quotas of `requests` and `tokens`; empty if calls are not metered."
    )
    last_error: LastError | None = Field(examples=[None])

    @classmethod
    def of(cls, state: DeploymentState) -> "DeploymentReport":
        error = state.last_error
        return cls(
            **{name: getattr(state, name) for name in _SAME},
            latency_ms=round(state.latency_s * 1000, 1),
            quota={name: QuotaReport(**asdict(each)) for name, each in state.quota.items()},
            last_error=error and LastError(at=error[0], kind=error[1]),
        )


_SAME = ("name", "model", "priority", "breaker", "in_flight", "max_in_flight")


class ProviderReport(BaseModel):
    """A provider, and the calls that wait for it, as one process sees them."""

    process: str = Field(description="Host and process id.", examples=["classifier-1:7"])
    provider: str = Field(examples=["azure_openai"])
    waiting: dict[Literal["interactive", "batch"], int] = Field(
        description="Calls that wait for quota, by lane.", examples=[{"interactive": 0, "batch": 9}]
    )
    deployments: list[DeploymentReport]

    @classmethod
    def of(cls, state: ProviderState) -> "ProviderReport":
        return cls(
            process=state.process,
            provider=state.provider,
            waiting=state.waiting,
            deployments=[DeploymentReport.of(each) for each in state.deployments],
        )


@router.get("/deployments")
async def deployments(parts: InMemory, _: Operator) -> list[ProviderReport]:
    """List every provider that was asked since the start, and the default one. With `REDIS_URL`:
    those of every process, as of the last two seconds, this one's first."""
    return [ProviderReport.of(each) for each in await parts.board.read()]
