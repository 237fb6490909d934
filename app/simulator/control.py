"""The control API, `/_sim`: reads counters, changes behaviour."""

from collections.abc import Mapping

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from app.simulator.config import Behaviour, DeploymentConfig
from app.simulator.counts import Counts
from app.simulator.deployment import Deployment


class DeploymentState(BaseModel):
    """One deployment as it is now."""

    config: DeploymentConfig
    counts: Counts


class State(BaseModel):
    """All deployments, by name."""

    deployments: dict[str, DeploymentState]


def control(deployments: Mapping[str, Deployment]) -> APIRouter:
    router = APIRouter(prefix="/_sim", tags=["control"])

    @router.get("")
    async def look() -> State:
        """What is configured and what was counted."""
        return State(deployments={name: _state(each) for name, each in deployments.items()})

    @router.post("/deployments/{name}")
    async def change(name: str, behaviour: Behaviour) -> DeploymentState:
        """Change what is given, from the next call on; counters and windows go on."""
        if name not in deployments:
            raise HTTPException(404, f"none of {', '.join(deployments)}")
        deployments[name].change(behaviour)
        return _state(deployments[name])

    @router.post("/reset")
    async def reset() -> State:
        """Set all counters to zero. Quota windows and behaviour stay."""
        for each in deployments.values():
            each.tally.reset()
        return await look()

    return router


def _state(deployment: Deployment) -> DeploymentState:
    return DeploymentState(config=deployment.config, counts=deployment.tally.counts())
