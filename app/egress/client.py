"""Requests to untrusted URLs: each URL is checked, resolved once, and connected to at the checked
address."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import httpcore2

from app.egress.addresses import Address
from app.egress.network import OneConnection, Resolver, system_resolver
from app.egress.policy import NOTHING_ALLOWED, PORTS, Allowance, Target, checked, follow, judge
from app.errors import ClassifierError, UrlRefused, UrlTooLarge, UrlUnreachable
from app.telemetry.trace import current

REDIRECTS = frozenset({301, 302, 303, 307, 308})

# A caller's headers with these names are dropped: they decide where a request ends.
_OWN_HEADERS = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "user-agent"}
)


@dataclass(frozen=True, slots=True)
class Fetched:
    """The content of a URL.

    Attributes:
        content_type: as declared, `""` when it was not. Not to be trusted.
        final_url: after the last redirect, without fragment.
    """

    content: bytes
    content_type: str
    final_url: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer to one request.

    Attributes:
        headers: names in lower case; of duplicates, the last.
        content: as sent (not decoded), cut off at `max_bytes`.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes


class EgressClient:
    """The outbound client for untrusted URLs.

    No connection outlives its request, so none can be reused without a check. Proxies from the
    environment, cookies and credentials are not used.

    Args:
        connect_timeout_s: for each address tried, and for TLS.
        read_timeout_s: longest silence.
        total_timeout_s: for everything: lookups, redirects, body.
        proxy: URL of a proxy that makes all connections and resolves names: then the proxy has to
            refuse names that lead to addresses that are not public.
        connector: makes the connections; it only gets checked addresses, or the proxy's.
    """

    def __init__(
        self,
        *,
        allow: Allowance = NOTHING_ALLOWED,
        user_agent: str = "enhanced-image-classifier",
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 10.0,
        total_timeout_s: float = 20.0,
        max_redirects: int = 5,
        proxy: str | None = None,
        resolver: Resolver = system_resolver,
        connector: httpcore2.AsyncNetworkBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._allow = allow
        self._user_agent = user_agent
        self._timeouts = {
            "connect": connect_timeout_s,
            "read": read_timeout_s,
            "write": read_timeout_s,
        }
        self._total_timeout_s = total_timeout_s
        self._max_redirects = max_redirects
        self._proxy = _proxy(proxy) if proxy else None
        self._resolver = resolver
        self._connector = connector or httpcore2.AnyIOBackend()
        self._ssl_context = ssl_context

    async def get(self, url: str, *, max_bytes: int, accept: str = "image/*") -> Fetched:
        """Download, following redirects.

        Raises UrlRefused, UrlUnreachable (also for any status but 200) or UrlTooLarge.
        """
        with _typed_errors():
            async with asyncio.timeout(self._total_timeout_s):
                target = judge(url, self._allow)
                for _ in range(self._max_redirects + 1):
                    async with self._exchange(target, "GET", {"accept": accept}) as response:
                        if response.status not in REDIRECTS:
                            return await _fetched(response, target, max_bytes)
                        location = _location(response)
                    target = follow(target, location, self._allow)
                raise UrlRefused(f"The URL redirects more than {self._max_redirects} times.")

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        max_bytes: int,
        https_only: bool = False,
    ) -> Answer:
        """One request, whatever the status of its answer; redirects are not followed.

        `https_only` refuses http, except for what EGRESS_ALLOW names. Raises UrlRefused or
        UrlUnreachable.
        """
        with _typed_errors():
            async with asyncio.timeout(self._total_timeout_s):
                target = judge(url, self._allow, https_only=https_only)
                async with self._exchange(target, method, headers or {}, content) as response:
                    body, _ = await _read(response, max_bytes)
                    return Answer(response.status, _headers(response), body)

    @asynccontextmanager
    async def _exchange(
        self, target: Target, method: str, headers: Mapping[str, str], content: bytes | None = None
    ) -> AsyncIterator[httpcore2.Response]:
        place = {
            "http.request.method": method,
            "server.address": target.host,
            "server.port": target.port,
        }
        with current().span(method, place, calls=True) as span:
            own = {name: each for name, each in headers.items() if name.lower() not in span.headers}
            joined = {**own, **span.headers}
            async with self._connected(target, method, joined, content) as response:
                span.set({"http.response.status_code": response.status})
                if response.status >= 400:
                    span.fail(str(response.status))
                yield response

    @asynccontextmanager
    async def _connected(
        self, target: Target, method: str, headers: Mapping[str, str], content: bytes | None
    ) -> AsyncIterator[httpcore2.Response]:
        # With a proxy, the only connection is to the proxy itself.
        addresses = None if self._proxy else await self._addresses(target)
        backend = OneConnection(self._connector, addresses)
        if self._ssl_context is None:
            # Loading the system's certificates takes 30 ms: not at startup, not on the event loop.
            self._ssl_context = await asyncio.to_thread(httpcore2.default_ssl_context)
        # A proxy gets the target as text, in which an IPv6 address needs brackets.
        bracketed = self._proxy is not None and ":" in target.host
        url = httpcore2.URL(
            scheme=target.scheme,
            host=f"[{target.host}]" if bracketed else target.host,
            port=target.port,
            target=target.path,
        )
        async with (
            aclosing(backend),
            httpcore2.AsyncConnectionPool(
                ssl_context=self._ssl_context,
                max_connections=1,
                network_backend=backend,
                proxy=self._proxy,
            ) as pool,
            pool.stream(
                method,
                url,
                headers=self._request_headers(target, headers),
                content=content,
                extensions={"timeout": self._timeouts},
            ) as response,
        ):
            yield response

    async def _addresses(self, target: Target) -> tuple[Address, ...]:
        if target.literal is not None:
            return (target.literal,)
        try:
            answers = await self._resolver(target.host, target.port)
        except OSError as error:
            raise UrlUnreachable(
                f"The host {target.host} could not be looked up.", kind="lookup"
            ) from error
        return checked(target, answers, self._allow)

    def _request_headers(self, target: Target, headers: Mapping[str, str]) -> list[tuple[str, str]]:
        return [
            ("Host", target.authority),
            ("User-Agent", self._user_agent),
            # A compressed body could expand to a thousand times its size, past the limit.
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
            *((name, value) for name, value in headers.items() if name.lower() not in _OWN_HEADERS),
        ]


def _proxy(url: str) -> httpcore2.Proxy:
    parts = urlsplit(url)
    name, password = (unquote(part or "") for part in (parts.username, parts.password))
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    place = f"{parts.scheme}://{host}:{parts.port or PORTS[parts.scheme]}"
    return httpcore2.Proxy(place, auth=(name, password) if name else None)


async def _fetched(response: httpcore2.Response, target: Target, max_bytes: int) -> Fetched:
    headers = _headers(response)
    if response.status != 200:
        raise UrlUnreachable(f"The URL answered with status {response.status}.")
    if headers.get("content-encoding", "").lower() not in ("", "identity"):
        raise UrlUnreachable("The URL answered with a compressed body, which was not asked for.")
    if int(headers.get("content-length", "0")) > max_bytes:
        raise _too_large(max_bytes)
    content, complete = await _read(response, max_bytes)
    if not complete:
        raise _too_large(max_bytes)
    return Fetched(content, headers.get("content-type", ""), target.url)


async def _read(response: httpcore2.Response, max_bytes: int) -> tuple[bytes, bool]:
    """The body up to `max_bytes`, and whether that is all of it."""
    body = bytearray()
    async with aclosing(response.aiter_stream()) as chunks:
        async for chunk in chunks:
            body += chunk[: max_bytes - len(body) + 1]
            # One read may yield thousands of tiny chunks: let the event loop run between them.
            await asyncio.sleep(0)
            if len(body) > max_bytes:
                return bytes(body[:max_bytes]), False
    return bytes(body), True


def _headers(response: httpcore2.Response) -> dict[str, str]:
    return {
        name.decode("ascii").lower(): value.decode("latin-1") for name, value in response.headers
    }


def _location(response: httpcore2.Response) -> str:
    """The target of a redirect; if Location headers differ, there is none."""
    found = {value for name, value in response.headers if name.lower() == b"location"}
    return found.pop().decode("utf-8") if len(found) == 1 else ""


def _too_large(max_bytes: int) -> UrlTooLarge:
    return UrlTooLarge(f"The URL holds more than {max_bytes} bytes.")


@contextmanager
def _typed_errors() -> Iterator[None]:
    """Lets only ClassifierError out."""
    try:
        yield
    except ClassifierError:
        raise
    except Exception as error:
        raise _unreachable(error) from error


def _unreachable(error: Exception) -> UrlUnreachable:
    """The message for the caller. The error's own text may contain addresses or the URL."""
    # httpcore2 drops `__cause__` but keeps what it mapped as the argument.
    original = error.args[0] if error.args else None
    match error:
        case TimeoutError() | httpcore2.TimeoutException():
            reason, kind = "The URL took too long to answer.", "timeout"
        case _ if isinstance(original, ssl.SSLCertVerificationError):
            reason = "The host's certificate is not valid: wrong name, date or issuer."
            kind = "certificate"
        case httpcore2.ConnectError() if isinstance(original, ssl.SSLError):
            reason, kind = "No secure connection to the host could be made.", "tls"
        case httpcore2.ConnectError():
            reason = "The host refused the connection or could not be reached."
            kind = "connect"
        case httpcore2.ProtocolError() | UnicodeError():
            reason, kind = "The URL's answer is not valid HTTP.", "protocol"
        case OSError() | httpcore2.NetworkError():
            reason, kind = "The connection to the host broke.", "broken"
        case _:
            reason, kind = "The URL could not be fetched.", "unusable"
    return UrlUnreachable(reason, kind=kind)
