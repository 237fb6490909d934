"""Who would answer the pictures of a batch."""

from dataclasses import dataclass

from app.providers.base import Provider
from app.traffic import Deployment


@dataclass(frozen=True, slots=True)
class Route:
    """Who would answer the pictures of a batch.

    Attributes:
        names: who is asked, in this order.
        before: those of a cascade that cost nothing but this machine's time, before anybody else.
        deployments: of the first one besides, the one whose bill counts first.
        later: who is asked in a cascade what that one is not sure enough of.
    """

    names: tuple[str, ...]
    before: tuple[Provider, ...]
    deployments: list[Deployment]
    later: tuple[str, ...]

    @property
    def name(self) -> str:
        """Whose deployments they are."""
        return self.deployments[0].provider.name
