"""Classifies one picture at a time."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from app.client import html, notebook
from app.client.backend import DOMAIN, TIMEOUT_S, Asked, Taught, open_backend
from app.client.loop import Closing
from app.client.pictures import Picture, taken
from app.client.results import Classification
from app.result import Result

if TYPE_CHECKING:
    from app.client.pictures import ImageLike

ClassLike = str | Mapping[str, Any]
"""A label, or a mapping of `label` with `description` and `aliases`."""


class AsyncImageClassifier:
    """Says which class of a domain a picture shows. An instance belongs to one event loop.

    Without `base_url` this process does the work, configured like the service: by the environment,
    `.env` and config/. With `base_url` a server does it.
    """

    def __init__(
        self,
        domain: str = DOMAIN,
        *,
        provider: str | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = TIMEOUT_S,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """See ImageClassifier."""
        self._domain = domain
        self._provider = provider
        self._backend = open_backend(
            base_url=base_url, api_key=api_key, timeout=timeout, settings=settings
        )

    async def classify_image(
        self,
        image: "ImageLike",
        *,
        domain: str | None = None,
        expected: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Classification:
        """See ImageClassifier."""
        picture = await asyncio.to_thread(taken, image)
        asked = Asked.of(domain or self._domain, self._provider, expected, metadata)
        return _classified(await self._backend.classify(picture.content, asked), picture)

    async def define_domain(self, name: str, classes: Sequence[ClassLike], **options: Any) -> None:
        """See ImageClassifier."""
        await self._backend.define_domain(name, {"classes": list(classes), **options})

    async def teach(
        self, folder: str | Path, *, domain: str | None = None, accuracy: float = 0.97
    ) -> Taught:
        """See ImageClassifier."""
        return await self._backend.teach(Path(folder), domain or self._domain, accuracy)

    async def aclose(self) -> None:
        """Close the classifier, and release its resources."""
        await self._backend.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


class ImageClassifier(Closing):
    """Says which class of a domain a picture shows. It also works where an event loop is running.

    Without `base_url` this process does the work, configured like the service: by the environment,
    `.env` and config/. With `base_url` a server does it.
    """

    def __init__(
        self,
        domain: str = DOMAIN,
        *,
        provider: str | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = TIMEOUT_S,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Args:
            domain: the domain to classify in where a call names no other.
            provider: the provider to ask; None: as the domain says.
            timeout: seconds to wait for one answer of a server.
            settings: of this process; they override the environment: `{"database_url": ...}`.

        Raises ConfigurationError, InvalidRequest.
        """
        self._async = AsyncImageClassifier(
            domain,
            provider=provider,
            base_url=base_url,
            api_key=api_key,
            timeout=timeout,
            settings=settings,
        )
        super().__init__(self._async.aclose)

    def classify_image(
        self,
        image: "ImageLike",
        *,
        domain: str | None = None,
        expected: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Classification:
        """Say which class `image` shows. `image` is a path, a URL, bytes, an open binary file, a
        Pillow image, or a numpy array (height x width [x 1, 3 or 4], uint8, or floats from 0 to 1).

        `expected` is the true class where it is known; `metadata` is stored with the result. Raises
        ClassifierError where there is no answer, OSError for a file, TypeError for anything that is
        not a picture.
        """
        return self._thread.call(
            self._async.classify_image(image, domain=domain, expected=expected, metadata=metadata)
        )

    def define_domain(self, name: str, classes: Sequence[ClassLike], **options: Any) -> None:
        """Create a domain, or replace one that was created this way. `options` are those of
        config/domains.yaml. A server requires an operator's key. Raises InvalidRequest, and
        DomainReadOnly for a domain of that file."""
        self._thread.call(self._async.define_domain(name, classes, **options))

    def teach(
        self, folder: str | Path, *, domain: str | None = None, accuracy: float = 0.97
    ) -> Taught:
        """Teach the local model with a few pictures of each class, `folder/CLASS/*`; those in
        `folder/none` show none of the classes. A domain that does not exist is created from the
        folders. `accuracy`: the share of accepted answers that should be right, from which the
        threshold is chosen. A server requires an operator's key. Raises InvalidRequest,
        TooFewExamples, OSError."""
        return self._thread.call(self._async.teach(folder, domain=domain, accuracy=accuracy))


def _classified(result: Result, picture: Picture) -> Classification:
    return Classification.of(result, _to_show(picture))


def _to_show(picture: Picture) -> Path | str | bytes | None:
    """Files and URLs can be read again when displayed; bytes are kept only where a notebook may
    show them, and shrunk."""
    if picture.path is not None:
        return picture.path
    if isinstance(picture.content, str):
        return picture.content
    return html.small(picture.content) if notebook.is_there() else None
