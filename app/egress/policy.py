"""Whether an untrusted URL may be used. Decides only: no lookup, no connection.

Nothing is trimmed or repaired: a URL that needs it is refused.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

from app.egress.addresses import Address, is_public
from app.egress.hosts import parse_host
from app.errors import ConfigurationError, UrlRefused

MAX_URL = 8192
PORTS = {"http": 80, "https": 443}
INTERNAL_SUFFIXES = (
    ".localhost",
    ".local",
    ".internal",
    ".home.arpa",
    ".onion",
    ".invalid",
    ".localdomain",
)

# Control characters, space, delete, backslash; a lone surrogate is not a character.
_FORBIDDEN = re.compile("[\x00-\x20\x7f\\\\\ud800-\udfff]")
_SCHEME = re.compile("[A-Za-z][A-Za-z0-9+.-]*:")
_PORT = re.compile("[1-9][0-9]{0,4}")
_VISIBLE_ASCII = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes, as far as the URL alone tells.

    Attributes:
        scheme: `http` or `https`.
        host: ASCII, lower case, no brackets, no root dot.
        literal: the host as an address, if it is one; otherwise the name must be looked up.
        path: path and query as they go into the request line.
        exempt: named by EGRESS_ALLOW, so its addresses need not be public.
    """

    scheme: str
    host: str
    port: int
    literal: Address | None
    path: str
    exempt: bool = False

    @property
    def authority(self) -> str:
        """Host and port as in a Host header: without the scheme's default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What EGRESS_ALLOW exempts from the rules for ports, internal names, addresses and https.

    Attributes:
        hosts: host and port, None for every port.
        networks: exempt as literals in a URL and as results of a lookup. A name that resolves to
            one still has to pass the rules for names and ports.
    """

    hosts: frozenset[tuple[str, int | None]] = frozenset()
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @classmethod
    def parse(cls, entries: str | Iterable[str]) -> Self:
        """Read `host:port`, `host`, an address or CIDR, comma-separated or one by one.

        Raises ConfigurationError.
        """
        hosts = set()
        networks = []
        for entry in entries.split(",") if isinstance(entries, str) else entries:
            if not (text := entry.strip()):
                continue
            try:
                networks.append(ipaddress.ip_network(text))
            except ValueError as error:
                if "/" in text:
                    raise ConfigurationError(f"EGRESS_ALLOW: {error}") from None
                hosts.add(_allowed_host(text))
        return cls(frozenset(hosts), tuple(networks))

    def names(self, host: str, port: int, literal: Address | None) -> bool:
        """Whether this host of a URL is exempt."""
        if (host, port) in self.hosts or (host, None) in self.hosts:
            return True
        return literal is not None and self.holds(literal)

    def holds(self, address: Address) -> bool:
        """Whether an address is in one of the networks, IPv4-mapped or not."""
        plain = getattr(address, "ipv4_mapped", None) or address
        return any(plain in network for network in self.networks)


NOTHING_ALLOWED = Allowance()


def judge(url: str, allow: Allowance = NOTHING_ALLOWED, *, https_only: bool = False) -> Target:
    """Parse a URL and apply the policy. Raises only UrlRefused, whatever the string."""
    if not url or len(url) > MAX_URL:
        raise UrlRefused(f"The URL is empty or longer than {MAX_URL} characters.")
    if _FORBIDDEN.search(url):
        raise UrlRefused("The URL has a space, a control character or a backslash in it.")
    scheme, found, rest = url.partition("://")
    scheme = scheme.lower() if scheme.isascii() else ""
    if not found or scheme not in PORTS:
        raise UrlRefused("The URL must begin with http:// or https://.")
    authority, path = _split_authority(rest)
    host, port, literal = _parse_authority(authority)
    port = port or PORTS[scheme]
    exempt = allow.names(host, port, literal)
    target = Target(scheme, host, port, literal, path, exempt)
    if not exempt:
        _require_public(target, https_only=https_only)
    return target


def follow(target: Target, location: str, allow: Allowance = NOTHING_ALLOWED) -> Target:
    """Judge the target of a redirect; https never goes to http. Raises UrlRefused."""
    if not location:
        raise UrlRefused("The URL redirects to nowhere.")
    return judge(_join(target, location), allow, https_only=target.scheme == "https")


def checked(
    target: Target, answers: Iterable[str], allow: Allowance = NOTHING_ALLOWED
) -> tuple[Address, ...]:
    """The addresses a name resolved to: a single one that is not public refuses them all.

    Raises UrlRefused, also when there are none.
    """
    addresses = tuple(dict.fromkeys(_address(answer) for answer in answers))
    if not addresses:
        raise UrlRefused(f"The host {target.host} does not exist.")
    if not target.exempt and not all(is_public(a) or allow.holds(a) for a in addresses):
        raise UrlRefused(f"The host {target.host} is not on the public internet.")
    return addresses


def _split_authority(rest: str) -> tuple[str, str]:
    """Split what follows `://` into authority and request target, without the fragment."""
    rest, _, _ = rest.partition("#")
    end = min((i for i in map(rest.find, "/?") if i >= 0), default=len(rest))
    path = quote(rest[end:], safe=_VISIBLE_ASCII)
    return rest[:end], path if path.startswith("/") else f"/{path}"


def _parse_authority(authority: str) -> tuple[str, int | None, Address | None]:
    if "@" in authority:
        raise UrlRefused("The URL may hold no user name or password.")
    # A colon inside brackets is part of the address.
    bracket = authority.rfind("]") + 1
    host_text, colon, port_text = authority[bracket:].partition(":")
    host_text = authority[:bracket] + host_text
    if not host_text:
        raise UrlRefused("The URL has no host.")
    host, literal = parse_host(host_text)
    return host, _parse_port(port_text) if colon else None, literal


def _parse_port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise UrlRefused("The port is not a number from 1 to 65535.")
    return int(text)


def _require_public(target: Target, *, https_only: bool) -> None:
    """The rules that EGRESS_ALLOW can lift."""
    if https_only and target.scheme != "https":
        raise UrlRefused("Only https:// is allowed here; https never redirects to http.")
    if target.port not in PORTS.values():
        raise UrlRefused(f"Port {target.port} is not allowed, only 80 and 443 are.")
    if target.literal is not None:
        if not is_public(target.literal):
            raise UrlRefused(f"The address {target.host} is not on the public internet.")
        return
    if "." not in target.host or f".{target.host}".endswith(INTERNAL_SUFFIXES):
        raise UrlRefused(f"The host {target.host} is an internal name.")


def _address(answer: str) -> Address:
    try:
        address = ipaddress.ip_address(answer)
    except ValueError:
        raise UrlRefused("The host resolves to something that is no address.") from None
    if getattr(address, "scope_id", None) is not None:
        raise UrlRefused("The host resolves to an address of the local network.")
    return address


def _allowed_host(text: str) -> tuple[str, int | None]:
    """Read `host` or `host:port` by the same rules as a URL's."""
    try:
        host, port, _ = _parse_authority(text)
    except UrlRefused as error:
        raise ConfigurationError(f"EGRESS_ALLOW: {text!r}: {error}") from None
    return host, port


def _join(base: Target, reference: str) -> str:
    """RFC 3986, 5.2.2, without the leniency for `http:path`."""
    if _SCHEME.match(reference):
        return reference
    if reference.startswith("//"):
        return f"{base.scheme}:{reference}"
    origin = f"{base.scheme}://{base.authority}"
    base_path, _, _ = base.path.partition("?")
    if reference.startswith("?"):
        return f"{origin}{base_path}{reference}"
    if reference.startswith("#"):
        return f"{origin}{base.path}{reference}"
    path_end = min((i for i in map(reference.find, "?#") if i >= 0), default=len(reference))
    path, rest = reference[:path_end], reference[path_end:]
    if not path.startswith("/"):
        path = base_path[: base_path.rindex("/") + 1] + path
    return f"{origin}{_without_dots(path)}{rest}"


def _without_dots(path: str) -> str:
    """RFC 3986, 5.2.4: `/a/./b/../c` is `/a/c`."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
