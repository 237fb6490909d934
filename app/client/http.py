"""Requests to a server, retried where that is safe and may help."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
from pydantic import BaseModel, TypeAdapter, ValidationError

from app import __version__
from app.client.problems import ServiceUnreachable, UnexpectedAnswer, asked_wait_s, error_of
from app.errors import BudgetSpent, IdempotencyKeyInUse, InvalidRequest

T = TypeVar("T", bound=BaseModel)

CONNECT_TIMEOUT_S = 10.0

BUSY_PATIENCE_S = 60.0
"""How long to retry while the server says it is busy."""
GONE_PATIENCE_S = 3.0
"""How long to retry while the server can't be reached."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 10.0


def next_wait(
    tried: int, waited_s: float, told_s: float | None, *, patience_s: float
) -> float | None:
    """Seconds before the next attempt, at least those that the server asked for; None: give up."""
    wait_s = max(min(FIRST_WAIT_S * 2 ** (tried - 1), LONGEST_WAIT_S), told_s or 0.0)
    return wait_s if waited_s + wait_s <= patience_s else None


class Http:
    """A connection to one server, with its credentials. Raises the errors that the server's problem
    responses describe, ServiceUnreachable, and UnexpectedAnswer."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        *,
        timeout_s: float,
        transport: httpx2.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Raises InvalidRequest for anything but the URL of a server."""
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidRequest("base_url= is no http or https URL of a server.")
        # Without credentials, should the URL contain any.
        self._place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        headers = {"user-agent": f"enhanced-image-classifier/{__version__}"}
        if api_key is not None:
            headers["authorization"] = f"Bearer {api_key}"
        self._client = httpx2.AsyncClient(
            base_url=base_url.rstrip("/"),
            headers=headers,
            timeout=httpx2.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
            transport=transport,
        )
        self._timeout_s = timeout_s
        self._sleep = sleep

    async def aclose(self) -> None:
        await self._client.aclose()

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: Callable[[], dict[str, Any]] = dict,
        headers: dict[str, str] | None = None,
        patience_s: float | None = None,
        timeout_s: float | None = None,
    ) -> httpx2.Response:
        """Return a successful response, completely read. `body` is called for each attempt and
        returns the request's body as keyword arguments for httpx2.

        The request must be safe to send twice. `patience_s`: how long to retry while the server is
        busy or can't be reached; None: the defaults above.
        """
        began, tried = time.monotonic(), 0
        while True:
            tried += 1
            told_s = None
            try:
                response = await self._client.request(
                    method,
                    path,
                    headers=headers,
                    timeout=httpx2.Timeout(timeout_s or self._timeout_s, connect=CONNECT_TIMEOUT_S),
                    **body(),
                )
            except httpx2.TransportError as failed:
                error: Exception = _unreachable(self._place, failed)
                patience = GONE_PATIENCE_S
            except (httpx2.InvalidURL, httpx2.DecodingError) as failed:
                raise UnexpectedAnswer(f"The server's answer can't be read: {failed}") from failed
            else:
                if response.is_success:
                    return response
                error, told_s = error_of(response), asked_wait_s(response)
                if not _may_pass(response.status_code, error):
                    raise error
                patience = BUSY_PATIENCE_S
            wait_s = next_wait(
                tried,
                time.monotonic() - began,
                told_s,
                patience_s=patience if patience_s is None else patience_s,
            )
            if wait_s is None:
                raise error
            await self._sleep(wait_s)

    async def get(self, path: str, model: type[T], *, patience_s: float | None = None) -> T:
        return parsed(await self.send("GET", path, patience_s=patience_s), model)


def parsed(response: httpx2.Response, model: type[T]) -> T:
    """Raises UnexpectedAnswer."""
    try:
        return TypeAdapter(model).validate_json(response.content)
    except ValidationError:
        raise UnexpectedAnswer(
            f"{response.request.url.path} was not answered as the service answers."
        ) from None


def _may_pass(status: int, error: Exception) -> bool:
    """Whether the same request may soon succeed."""
    if isinstance(error, BudgetSpent):
        return False
    return status in (429, 503) or isinstance(error, IdempotencyKeyInUse)


def _unreachable(place: str, error: httpx2.TransportError) -> ServiceUnreachable:
    reason = str(error) or type(error).__name__
    unreachable = ServiceUnreachable(f"{place} can't be reached: {reason}")
    unreachable.__cause__ = error
    return unreachable
