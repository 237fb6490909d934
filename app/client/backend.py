"""What stands behind the facade: the parts in this process, or a server."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from app.client.folder import Folder
from app.errors import InvalidRequest
from app.result import Result, check_metadata

DOMAIN = "flowers"
"""Where nobody names one."""

TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What goes with a picture. `provider` None: as the domain says."""

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
        """Raises InvalidRequest for metadata that are no JSON, MetadataTooLarge."""
        if metadata is None:
            return cls(domain, provider, expected)
        check_metadata(metadata)
        return cls(domain, provider, expected, dict(metadata))


@dataclass(frozen=True, slots=True)
class Order:
    """What goes with a folder.

    Attributes:
        name: of the batch; None: made from the folder's path.
        batch_size: None: as the service is set.
    """

    domain: str
    provider: str | None = None
    name: str | None = None
    batch_size: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a folder is: `done` of `total` pictures taken in, or answered."""

    phase: Literal["sending", "classifying", "paused"]
    done: int
    total: int
    needs_review: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Taught:
    """What was learned from a folder.

    Attributes:
        lesson: its id, the `revision` of answers.
        examples: that it was taught with, those given before, too.
        accuracy: share of the classes' examples told right by heads that had not seen them; None
            where a class has a single example.
        threshold: the least confidence from which on as many were right as was asked for; None:
            there is none.
        refused: pictures that can't be read, and why.
    """

    lesson: str
    examples: int
    accuracy: float | None
    threshold: float | None
    refused: Mapping[str, str]


Tell = Callable[[Progress], None]


class Kept(NamedTuple):
    """A result as JSON, a sixth of the memory, and what is counted without a look into it."""

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
        batch_ids: of what was made of the folder.
        results: by the name under which a picture was sent; None: there is none.
        refused: why a picture was not taken, by that name.
        left_because: why there is no result where there is none.
    """

    batch_ids: list[str] = field(default_factory=list)
    results: dict[str, Kept | None] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    left_because: str = "The result was deleted."


class Backend(Protocol):
    """All raise ClassifierError, of the same classes wherever the work is done.

    Attributes:
        copies: a folder of this machine with copies of pictures; None: there is none.
    """

    copies: Path | None

    async def classify(self, picture: bytes | str, asked: Asked) -> Result:
        """`picture`: a file's bytes, or a URL."""

    async def define_domain(self, name: str, spec: Mapping[str, Any]) -> None:
        """Make it, or replace one that was made so."""

    async def teach(self, folder: Path, domain: str, accuracy: float) -> Taught:
        """`folder`: one for each class in it. A domain that is not there is made of them."""

    async def process(self, folder: Folder, order: Order, tell: Tell) -> Answers:
        """Classify its pictures, of which there is at least one. What was begun under the same
        name and is not over is gone on with. A cancellation leaves it so."""

    async def aclose(self) -> None:
        """Let what runs end."""


def open_backend(
    *,
    base_url: str | None,
    api_key: str | None,
    timeout: float,
    settings: Mapping[str, Any] | None,
) -> Backend:
    """Raises InvalidRequest, and ConfigurationError for wrong settings of this process."""
    # Each imports what the other is spared: a client of a server has no use for a model.
    if base_url is not None:
        if settings is not None:
            raise InvalidRequest("settings= are for this process: a server has its own.")
        from app.client.remote import RemoteBackend

        return RemoteBackend(base_url, api_key, timeout_s=timeout)
    if api_key is not None:
        raise InvalidRequest("api_key= is for a server: base_url= is missing.")
    from app.client.local import LocalBackend

    return LocalBackend(settings or {})
