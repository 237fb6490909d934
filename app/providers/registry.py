"""Which providers there are, and how they are built: on first use, off the event loop."""

import asyncio
from importlib.metadata import EntryPoint, entry_points

from app.errors import ConfigurationError, ProviderUnknown
from app.providers.base import Provider, ProviderContext

GROUP = "classifier.providers"
OWN = (
    EntryPoint("azure_openai", "app.providers.azure_openai:create", GROUP),
    EntryPoint("openai_compatible", "app.providers.openai_compatible:create", GROUP),
    EntryPoint("local", "app.providers.local.provider:create", GROUP),
)
"""Ours are found like a plug-in's, also where the package is not installed but only unpacked."""


def provider_names() -> list[str]:
    """Ours and those of installed plug-ins."""
    return sorted(_found())


def _found() -> dict[str, EntryPoint]:
    return {each.name: each for each in (*OWN, *entry_points(group=GROUP))}


class ProviderRegistry:
    def __init__(self, context: ProviderContext) -> None:
        self._context = context
        self._entry_points = _found()
        self._built: dict[str, Provider] = {}
        self._building = asyncio.Lock()

    async def get(self, name: str) -> Provider:
        """Raises ProviderUnknown when there is none of this name or it is not configured."""
        if name in self._built:
            return self._built[name]
        if name not in self._entry_points:
            known = ", ".join(sorted(self._entry_points))
            raise ProviderUnknown(f"There is no provider {name[:64]!r}. Known: {known}.")
        async with self._building:
            if name not in self._built:
                self._built[name] = await asyncio.to_thread(self._build, name)
        return self._built[name]

    async def aclose(self) -> None:
        for provider in self._built.values():
            await provider.aclose()

    def _build(self, name: str) -> Provider:
        try:
            factory = self._entry_points[name].load()
            provider: Provider = factory(self._context)
        except ConfigurationError as error:
            raise ProviderUnknown(f"The provider {name!r} is not configured: {error}") from error
        return provider
