"""The back ends of the facade: the service's parts in this process, or a server."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from app.client.folder import Folder
from app.errors import InvalidRequest
from app.result import Result, check_metadata

DOMAIN = "flowers"
"""The domain where a call names none."""

TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What is sent along with a picture. `provider` None: as the domain says."""

    domain: str
    provider: str | None = None
    expected: str | None = None
    metadata: dict[str, Any] | None = None

    @classmethod
    def of(
        cls,
        domain: str,
        provider: str | None,
        expected: str | None,
        metadata: Mapping[str, Any] | None,
    ) -> "Asked":
        """Raises InvalidRequest for metadata that is not JSON, MetadataTooLarge."""
        if metadata is None:
            return cls(domain, provider, expected)
        check_metadata(metadata)
        return cls(domain, provider, expected, dict(metadata))


@dataclass(frozen=True, slots=True)
class Order:
    """The options for classifying a folder.

    Attributes:
        name: of the batch; None: derived from the folder's path.
        batch_size: None: as set in the service.
    """

    domain: str
    provider: str | None = None
    name: str | None = None
    batch_size: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a folder: `done` of `total` pictures sent, or answered."""

    phase: Literal["sending", "classifying", "paused"]
    done: int
    total: int
    needs_review: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Taught:
    """What was learned from a folder.

    Attributes:
        lesson: its id, which is the `revision` of answers.
        examples: how many it was taught with, including those given earlier.
        accuracy: share of the classes' examples that heads which had not seen them answered
            correctly; None where a class has a single example.
        threshold: the lowest confidence at or above which as many answers were right as was asked
            for; None: there is none.
        refused: pictures that can't be read, and why.
    """

    lesson: str
    examples: int
    accuracy: float | None
    threshold: float | None
    refused: Mapping[str, str]


Tell = Callable[[Progress], None]


class Kept(NamedTuple):
    """A result as JSON, which takes a sixth of the memory, with the fields needed for counting."""

    status: str
    predicted_class: str | None
    text: bytes

    @classmethod
    def of(cls, result: Result) -> "Kept":
        label = result.predicted_class
        text = result.model_dump_json().encode()
        return cls(sys.intern(result.status), None if label is None else sys.intern(label), text)


@dataclass(slots=True)
class Answers:
    """
    Attributes:
        batch_ids: of the batches that the folder was sent as.
        results: by the name under which a picture was sent; None: there is none.
        refused: why a picture was not accepted, by that name.
        left_because: the reason for all missing results.
    """

    batch_ids: list[str] = field(default_factory=list)
    results: dict[str, Kept | None] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    left_because: str = "The result was deleted."


class Backend(Protocol):
    """All methods raise ClassifierError, with the same classes wherever the work is done.

    Attributes:
        copies: a folder on this machine with copies of pictures; None: there is none.
    """

    copies: Path | None

    async def classify(self, picture: bytes | str, asked: Asked) -> Result:
        """`picture`: a file's bytes, or a URL."""

    async def define_domain(self, name: str, spec: Mapping[str, Any]) -> None:
        """Create a domain, or replace one that was created this way."""

    async def teach(self, folder: Path, domain: str, accuracy: float) -> Taught:
        """`folder` contains one folder per class. A domain that does not exist is created from
        them."""

    async def process(self, folder: Folder, order: Order, tell: Tell) -> Answers:
        """Classify its pictures, of which there must be at least one. Work that was begun under the
        same name and has not ended is continued. After a cancellation it can be continued, too."""

    async def aclose(self) -> None:
        """Close the back end, and release its resources."""


def open_backend(
    *,
    base_url: str | None,
    api_key: str | None,
    timeout: float,
    settings: Mapping[str, Any] | None,
) -> Backend:
    """Raises InvalidRequest, and ConfigurationError for wrong settings of this process."""
    # Imported only when used: a client of a server does not need to load a model.
    if base_url is not None:
        if settings is not None:
            raise InvalidRequest("settings= are for this process: a server has its own.")
        from app.client.remote import RemoteBackend

        return RemoteBackend(base_url, api_key, timeout_s=timeout)
    if api_key is not None:
        raise InvalidRequest("api_key= is for a server: base_url= is missing.")
    from app.client.local import LocalBackend

    return LocalBackend(settings or {})
