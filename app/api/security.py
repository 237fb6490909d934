"""Who calls: API keys, and what an operator may do."""

import hashlib
from dataclasses import dataclass
from typing import Annotated

from fastapi import Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from app.errors import NotAllowed, NotAuthenticated
from app.settings import Settings
from app.storage.audit import By
from app.telemetry.trace import current


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. Where no keys are configured, everybody is `anonymous`, and may do everything."""

    name: str
    admin: bool

    @property
    def sees(self) -> str | None:
        """The caller whose results this one may find; None: everybody's."""
        return None if self.admin else self.name

    @property
    def by(self) -> By:
        """Who made this request, as the audit log names it."""
        return By(self.name, current().ids.get("request_id"))


ANONYMOUS = Caller("anonymous", admin=True)


class ApiKeyScheme(SecurityBase):
    """The dependency that tells who calls. There is only one, as each one costs every request."""

    def __init__(self) -> None:
        self.scheme_name = "ApiKey"
        self.model = HTTPBearer(
            description="An API key, if the service has any. `X-API-Key: KEY` works, too. `admin`: "
            "an operator's key."
        )

    async def __call__(self, request: Request) -> Caller:
        """Raises NotAuthenticated."""
        settings: Settings = request.app.state.parts.settings
        if not settings.api_keys:
            current().tell(caller=ANONYMOUS.name)
            return ANONYMOUS
        scheme, _, presented = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            presented = request.headers.get("x-api-key", "")
        if not presented:
            raise NotAuthenticated(
                "Send an API key: `Authorization: Bearer KEY` or `X-API-Key: KEY`."
            )
        # Digests are compared, so the time this takes tells nothing about a key.
        digest = hashlib.sha256(presented.strip().encode()).hexdigest()
        for key in settings.api_keys:
            if key.sha256 == digest:
                current().tell(caller=key.name)
                return Caller(key.name, key.admin)
        raise NotAuthenticated("This API key is not known.")


caller = ApiKeyScheme()


async def operator(caller: Annotated[Caller, Security(caller, scopes=["admin"])]) -> Caller:
    """Raises NotAllowed for a caller whose key is not an admin key."""
    if not caller.admin:
        raise NotAllowed("This needs an API key with `:admin`.")
    return caller


async def admit(request: Request) -> None:
    """Check the key as the route requires, where that was not done yet. Raises NotAuthenticated,
    NotAllowed."""
    wanted = {each.call for each in request.scope["route"].dependant.dependencies}
    if operator in wanted:
        await operator(await caller(request))
    elif caller in wanted:
        await caller(request)
