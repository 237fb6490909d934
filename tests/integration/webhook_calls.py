"""What tests of webhooks ask for."""

from typing import Any

import sqlalchemy as sa

from app.storage.tables import events
from tests.integration.calls import until, upload
from tests.receiver import Receiver


async def subscribe(client, place: Receiver | str, headers=None, **values) -> dict[str, Any]:
    """A webhook, with its secret. `send`: the headers that are sent along."""
    url = place if isinstance(place, str) else place.url()
    if "send" in values:
        values["headers"] = values.pop("send")
    created = await client.post("/webhooks", json={"url": url, **values}, headers=headers)
    assert created.status_code == 201, created.text
    assert created.headers["location"] == f"/webhooks/{created.json()['id']}"
    return created.json()


async def classify(client, headers=None, **fields) -> dict[str, Any]:
    """A picture by the provider `fake`, at once."""
    answered = await client.post("/classify", files=upload(**fields), headers=headers)
    assert answered.status_code in (200, 202), answered.text
    return answered.json()


async def get(client, path: str, headers=None, **query) -> dict[str, Any]:
    found = await client.get(path, params=query, headers=headers)
    assert found.status_code == 200, found.text
    return found.json()


async def sent_to(client, webhook: dict[str, Any], **query) -> list[dict[str, Any]]:
    """The oldest first."""
    page = await get(client, f"/webhooks/{webhook['id']}/deliveries", **query)
    return page["deliveries"][::-1]


async def settled(
    client, webhook: dict[str, Any], *states: str, seconds: float = 20
) -> list[dict[str, Any]]:
    """Its deliveries, when they are in these states."""

    async def are() -> bool:
        return [each["state"] for each in await sent_to(client, webhook)] == [*states]

    await until(are, seconds=seconds)
    return await sent_to(client, webhook)


async def attempted(
    client, webhook: dict[str, Any], count: int, *, seconds: float = 20
) -> dict[str, Any]:
    """Its newest delivery, when it was attempted so often."""

    async def is_() -> bool:
        found = await sent_to(client, webhook)
        return bool(found) and len(found[-1]["attempts"]) >= count

    await until(is_, seconds=seconds)
    return (await sent_to(client, webhook))[-1]


async def written(parts) -> list[str]:
    """Types of the events in the database."""
    query = sa.select(events.c.type).order_by(events.c.number)
    return await parts.database.read(lambda each: list(each.execute(query).scalars()))
