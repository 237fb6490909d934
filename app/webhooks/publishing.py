"""Events of other programs, sent like the service's own, under types that packages provide."""

from collections.abc import Mapping

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from app.domains import DomainRegistry
from app.errors import InvalidRequest
from app.storage import PublishedRepository
from app.storage.event_types import EVENT_TYPES, EventType
from app.storage.events import MAX_DATA, Event

MAX_SUBJECT = 40


class Publisher:
    def __init__(
        self,
        types: Mapping[str, EventType],
        published: PublishedRepository,
        domains: DomainRegistry,
    ) -> None:
        self.types = types
        self._published = published
        self._domains = domains

    def find(self, name: str) -> EventType:
        """A type that a package provides. Raises InvalidRequest."""
        found = self.types.get(name)
        if found is None:
            raise InvalidRequest(f"type: there is no {name[:64]!a}.")
        if name in EVENT_TYPES:
            raise InvalidRequest(f"type: {name} is told by the service alone.")
        return found

    async def publish(
        self,
        name: str,
        data: BaseModel,
        *,
        domain: str | None,
        caller: str,
        publisher: str,
        key: str | None,
    ) -> str:
        """Send it to all subscribers, once for each `key` of the publisher; returns the event's id.

        `data` is of the type's model. `caller` is the event's owner; if empty, it has none, and
        only operators receive it. Raises InvalidRequest, DomainNotFound, IdempotencyKeyReused.
        """
        subject = str(getattr(data, self.find(name).subject))
        if not 0 < len(subject) <= MAX_SUBJECT or "\x00" in subject:
            raise InvalidRequest(f"data: what it is about has 1 to {MAX_SUBJECT} characters.")
        _check_size(data)
        if domain is not None:
            await self._domains.find(domain)
        event = Event(name, caller, domain, subject, lambda: data)
        return await self._published.tell(event, publisher=publisher, key=key)


def _check_size(data: BaseModel) -> None:
    try:
        size = len(data.model_dump_json().encode())
    except PydanticSerializationError:
        raise InvalidRequest("data: a text in it is not Unicode.") from None
    if size > MAX_DATA:
        raise InvalidRequest(f"data: {size:,} bytes are more than {MAX_DATA:,}.")
