"""A provider that answers at once, which leaves only the service's own cost.

It is plugged in like any other, through an entry point: `install` writes the few lines of metadata
that a package of its own would contain.
"""

import asyncio
from dataclasses import replace
from pathlib import Path

from app.domains import Domain
from app.images import PreparedImage
from app.providers.base import Capabilities, ProviderAnswer, ProviderContext

DELAY_S = 0.05


class InstantProvider:
    """Requests the picture's JPEG, as a remote model would, but does not look at it."""

    name = "instant"

    def capabilities(self) -> Capabilities:
        return Capabilities("instant-1", None, metered=False, confidence_source="stated")

    def estimate_tokens(self, image: PreparedImage, domain: Domain) -> int:
        return 0

    async def classify(self, image: PreparedImage, domain: Domain, **_: object) -> ProviderAnswer:
        _ = image.jpeg  # made with the pixels, as for a remote model
        label = domain.labels[0]
        return ProviderAnswer(label, {label: 1.0}, "stated", "instant-1")

    async def aclose(self) -> None:
        return


class DelayedProvider(InstantProvider):
    """Answers after 50 ms, and counts against a quota."""

    name = "delayed"

    def capabilities(self) -> Capabilities:
        return replace(super().capabilities(), metered=True)

    async def classify(self, image: PreparedImage, domain: Domain, **_: object) -> ProviderAnswer:
        await asyncio.sleep(DELAY_S)
        return await super().classify(image, domain)


def create(context: ProviderContext) -> InstantProvider:
    return InstantProvider()


def create_delayed(context: ProviderContext) -> InstantProvider:
    return DelayedProvider()


def install(folder: Path) -> None:
    """Make `folder` contain this plug-in, which is found when the folder is on the path."""
    metadata = folder / "instant-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: instant\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[classifier.providers]\n"
        "instant = benchmarks.instant:create\n"
        "delayed = benchmarks.instant:create_delayed\n"
    )
