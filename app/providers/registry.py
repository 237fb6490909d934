"""The available providers, built on first use, outside the event loop."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint

from app.domains import Domain
from app.errors import ConfigurationError, ProviderUnknown
from app.plug_ins import plug_ins
from app.providers.base import Capabilities, Learning, Provider, ProviderContext
from app.providers.embeddings import Embedder

GROUP = "classifier.providers"
LOCAL = "local"
OWN = (
    EntryPoint("azure_openai", "app.providers.azure_openai:create", GROUP),
    EntryPoint("openai_compatible", "app.providers.openai_compatible:create", GROUP),
    EntryPoint(LOCAL, "app.providers.local.provider:create", GROUP),
)
"""The service's own providers, found like a plug-in's even where the package is not installed."""


def provider_names() -> list[str]:
    """Names of the service's own providers and those of installed plug-ins."""
    return sorted(plug_ins(GROUP, OWN))


class ProviderRegistry:
    def __init__(self, context: ProviderContext) -> None:
        self._context = context
        self._entry_points = plug_ins(GROUP, OWN)
        self._built: dict[str, tuple[Provider, ...]] = {}
        self._building = asyncio.Lock()

    def chain(self, asked: str | None, domain: Domain) -> tuple[str, ...]:
        """The providers to ask about this domain, in this order; `asked`: the one that was
        requested."""
        return (asked,) if asked else domain.providers or (self._context.settings.provider_name,)

    async def get(self, name: str) -> tuple[Provider, ...]:
        """The provider, one instance for each of its deployments. Raises ProviderUnknown when none
        has this name or it is not configured."""
        if name in self._built:
            return self._built[name]
        if name not in self._entry_points:
            known = ", ".join(sorted(self._entry_points))
            raise ProviderUnknown(f"There is no provider {name[:64]!r}. Known: {known}.")
        async with self._building:
            if name not in self._built:
                self._built[name] = await asyncio.to_thread(self._build, name)
        return self._built[name]

    async def capabilities(self, name: str) -> Capabilities:
        """Capabilities of all deployments together: an answer of one may stand in for an answer of
        another. Raises ProviderUnknown."""
        first, *others = (each.capabilities() for each in await self.get(name))
        if not others:
            return first
        answers_as = sorted({each.answers_as or each.model for each in (first, *others)})
        return replace(first, answers_as="\n".join(answers_as))

    async def learned(self, name: str, domain: Domain) -> str:
        """What the provider has learned of the domain while the service runs (see Learning); empty:
        nothing. Raises ProviderUnknown."""
        first, *_ = await self.get(name)
        return first.learned(domain) if isinstance(first, Learning) else ""

    async def embedder(self) -> Embedder:
        """The embedded model: examples are stored by its embeddings."""
        (provider,) = await self.get(LOCAL)
        assert isinstance(provider, Embedder)  # noqa: S101 - no other provider has that name
        return provider

    async def aclose(self) -> None:
        for deployments in self._built.values():
            for each in deployments:
                await each.aclose()

    def _build(self, name: str) -> tuple[Provider, ...]:
        try:
            factory = self._entry_points[name].load()
            made: Provider | Sequence[Provider] = factory(self._context)
        except ConfigurationError as error:
            raise ProviderUnknown(f"The provider {name!r} is not configured: {error}") from error
        return tuple(made) if isinstance(made, Sequence) else (made,)
