"""Which providers would answer the pictures of a batch."""

from dataclasses import dataclass

from app.providers.base import Provider
from app.traffic import Deployment


@dataclass(frozen=True, slots=True)
class Route:
    """Which providers would answer the pictures of a batch.

    Attributes:
        names: the providers, in the order in which they are asked.
        before: those that begin a cascade and cost nothing but this machine's time.
        deployments: of the first provider after `before`; the first is the one whose bill counts.
        later: the rest of a cascade, asked about what that provider is not sure enough of.
    """

    names: tuple[str, ...]
    before: tuple[Provider, ...]
    deployments: list[Deployment]
    later: tuple[str, ...]

    @property
    def name(self) -> str:
        """The provider whose `deployments` these are."""
        return self.deployments[0].provider.name
