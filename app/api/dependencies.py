"""Dependencies of routes: the parts, which are built once, and the caller."""

from typing import Annotated

from fastapi import Depends, Header, Request

from app.api import security
from app.api.raising import Raises
from app.errors import IdempotencyKeyReused, NotAllowed, NotAuthenticated, StorageUnavailable
from app.parts import Parts


async def parts(request: Request) -> Parts:
    # Async although it awaits nothing: a plain function would be run in a thread.
    found: Parts = request.app.state.parts
    return found


Joined = Annotated[Parts, Depends(parts), Raises(StorageUnavailable)]
InMemory = Annotated[Parts, Depends(parts)]
"""For routes that need no storage."""
Caller = Annotated[security.Caller, Depends(security.caller), Raises(NotAuthenticated)]
Operator = Annotated[
    security.Caller, Depends(security.operator), Raises(NotAuthenticated, NotAllowed)
]

IdempotencyKey = Annotated[
    str | None,
    Header(
        description="For 24 hours, the same request with the same key gets the same response.",
        pattern=r"^[\x21-\x7e]{1,255}$",
    ),
    Raises(IdempotencyKeyReused),
]
