"""Who calls: API keys, and what an operator may do."""

import hashlib
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials

from app.errors import NotAllowed, NotAuthenticated
from app.settings import Settings

_bearer = HTTPBearer(auto_error=False, description="An API key.")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key.")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. Where no keys are configured everybody is `anonymous`, and may do everything."""

    name: str
    admin: bool

    @property
    def sees(self) -> str | None:
        """Whose results this caller finds; None: everybody's."""
        return None if self.admin else self.name


ANONYMOUS = Caller("anonymous", admin=True)


async def caller(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
) -> Caller:
    """Raises NotAuthenticated."""
    settings: Settings = request.app.state.parts.settings
    if not settings.api_keys:
        return ANONYMOUS
    presented = bearer.credentials if bearer else header
    if not presented:
        raise NotAuthenticated("Send an API key: `Authorization: Bearer KEY` or `X-API-Key: KEY`.")
    # Digests are compared, so the time it takes tells nothing about a key.
    digest = hashlib.sha256(presented.encode()).hexdigest()
    for key in settings.api_keys:
        if key.sha256 == digest:
            return Caller(key.name, key.admin)
    raise NotAuthenticated("This API key is not known.")


async def operator(caller: Annotated[Caller, Depends(caller)]) -> Caller:
    """Raises NotAllowed for a caller whose key does not say admin."""
    if not caller.admin:
        raise NotAllowed("This needs an API key with `:admin`.")
    return caller
