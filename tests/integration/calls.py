"""What tests of the API ask for, and rows for them to find."""

import asyncio
import hashlib
import inspect
import time
from datetime import UTC, datetime, timedelta

from app.identifiers import RESULT, new_id
from app.result import Result
from app.settings_groups import ApiKey
from tests.pictures import jpeg

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PICTURE = jpeg()
UNKNOWN = "cls_01J9ZK3Q8XWVQ5T2M4N6P7R8S9"
"""A well-formed id of no row."""


def upload(**fields):
    fields = {"domain": "flowers", "provider": "fake", **fields}
    texts = [(name, (None, text)) for name, text in fields.items() if text is not None]
    return [*texts, ("file", ("rose.jpg", PICTURE))]


async def store(parts, minute: float = 0, **values) -> str:
    """A row of some minute after noon; returns its id."""
    moment = NOON + timedelta(minutes=minute)
    row = {
        "id": new_id(RESULT, moment),
        "domain": "flowers",
        "predicted_class": "rose",
        "confidence": 0.9,
        "status": "accepted",
        "provider": "local",
        "caller": "anonymous",
        "domain_version": "1",
        "created_at": moment,
    }
    result = Result(**{**row, **values})
    await parts.results.insert(result)
    return result.id


async def listed(client, headers=None, **query) -> list[str]:
    found = await client.get("/results", params=query, headers=headers)
    assert found.status_code == 200, found.text
    return [each["id"] for each in found.json()["results"]]


def is_problem(answer, status: int, slug: str) -> bool:
    """Whether the answer is this problem in full; says what it is instead."""
    told = answer.json()
    found = (
        answer.status_code,
        answer.headers["content-type"],
        told["type"],
        told["status"],
        told["instance"],
    )
    assert found == (
        status,
        "application/problem+json",
        f"/problems/{slug}",
        status,
        answer.request.url.path,
    ), answer.text
    return bool(told["title"] and told["detail"] and answer.headers["x-request-id"])


async def until(true, seconds: float = 10) -> None:
    """Return when `true()` is, or what it returns awaited."""
    deadline = time.monotonic() + seconds
    while True:
        found = true()
        if await found if inspect.isawaitable(found) else found:
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def api_keys(**operators: bool) -> tuple[ApiKey, ...]:
    """Keys by caller, each the caller's own name, and whether it is an operator's."""
    return tuple(
        ApiKey(name=name, sha256=hashlib.sha256(name.encode()).hexdigest(), admin=admin)
        for name, admin in operators.items()
    )
