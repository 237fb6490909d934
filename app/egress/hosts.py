"""Strict parsing of a URL's host: anything that two parsers could interpret differently is
refused."""

import ipaddress
import re

import idna

from app.egress.addresses import Address
from app.errors import UrlRefused

# Decimal, no leading zeros: `010` is 8 to some parsers and 10 to others.
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
# A system resolver takes a host that ends like this for an IPv4 address, whatever precedes it.
_NUMBER = re.compile("[0-9]+|0x.*")
# No `%`: a zone id names an interface of this machine.
_IPV6_CHARACTERS = re.compile("[0-9A-Fa-f:.]+")
_LABEL = re.compile("[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")

MAX_LABEL = 63
MAX_NAME = 253

Host = tuple[str, Address | None]


def parse_host(text: str) -> Host:
    """The host in ASCII and lower case, and its address where it is a literal.

    IPv6 literals are expected in brackets and come back without. Raises UrlRefused.
    """
    if text.startswith("["):
        address = _ipv6(text)
        return str(address), address
    name = text.removesuffix(".")
    labels = [_label(label) for label in name.split(".")]
    if _NUMBER.fullmatch(labels[-1]):
        return text, _ipv4(text)
    host = ".".join(labels)
    if len(host) > MAX_NAME:
        raise UrlRefused(f"The host name is longer than {MAX_NAME} characters.")
    return host, None


def _ipv6(text: str) -> ipaddress.IPv6Address:
    inside = text[1:-1]
    if not text.endswith("]") or not _IPV6_CHARACTERS.fullmatch(inside):
        raise UrlRefused("The host is not a valid IPv6 address.")
    try:
        return ipaddress.IPv6Address(inside)
    except ValueError:
        raise UrlRefused("The host is not a valid IPv6 address.") from None


def _ipv4(text: str) -> ipaddress.IPv4Address:
    if not _IPV4.fullmatch(text):
        raise UrlRefused("An IPv4 address is to be written as four decimal numbers.")
    return ipaddress.IPv4Address(text)


def _label(text: str) -> str:
    """One label as it is sent to the DNS."""
    if not text:
        raise UrlRefused("The host name has an empty part.")
    if len(text) > MAX_LABEL:
        raise UrlRefused(f"A part of the host name is longer than {MAX_LABEL} characters.")
    label = _ascii(_lower(text))
    if not _LABEL.fullmatch(label):
        raise UrlRefused("The host name may hold letters, digits and inner hyphens only.")
    return label


def _lower(text: str) -> str:
    """Only ASCII letters change: `str.lower` would turn the Kelvin sign into a k."""
    return "".join(character.lower() if character.isascii() else character for character in text)


def _ascii(label: str) -> str:
    """Strict IDNA 2008 without mapping: full-width or invisible characters raise, as do A-labels
    that don't decode. Other ASCII labels are left to `_LABEL`: IDNA would refuse `r3---sn`."""
    try:
        if not label.isascii():
            return idna.alabel(label).decode("ascii")
        if label.startswith("xn--"):
            idna.ulabel(label)
    except ValueError:  # idna.IDNAError is a ValueError
        raise UrlRefused("The host name has characters that names may not hold.") from None
    return label
