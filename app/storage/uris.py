"""Whether a storage URI may be read or written. Decides only: nothing is opened.

Nothing is trimmed, decoded or repaired: a URI that needs it is refused.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from app.errors import ConfigurationError, UrlRefused

MAX_URI = 2_000

NO_STORES = ("http", "https", "local", "data")
"""fsspec schemes that would bypass the policy for untrusted URLs, or that for files."""

_SCHEME = re.compile("[a-z][a-z0-9+.-]*")
# Control characters, backslash, query, surrogates; chained filesystems; percent-encoding, which
# fsspec never decodes, but something in between might.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f\\\\?\ud800-\udfff]|::|%[0-9A-Fa-f]{2}")


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a store.

    Attributes:
        path: in fsspec's form, without a trailing `/`: `bucket/folder/a.jpg`, `/data/a.jpg`.
        root: the path of the allowed prefix that contains it.
    """

    scheme: str
    path: str
    root: str

    def uri(self, path: str) -> str:
        """URI of another path in the same store."""
        return f"{self.scheme}://{path if self.scheme == 'file' else path.lstrip('/')}"


@dataclass(frozen=True, slots=True)
class AllowedUris:
    """The URIs that `setting` allows, each as scheme and path."""

    prefixes: tuple[tuple[str, str], ...] = ()
    setting: str = "BATCH_SOURCES"

    @classmethod
    def parse(cls, entries: Iterable[str], setting: str = "BATCH_SOURCES") -> Self:
        """Raises ConfigurationError."""
        prefixes = []
        for entry in filter(None, entries):
            try:
                scheme, path = _read(entry)
            except UrlRefused as error:
                raise ConfigurationError(f"{setting}: {entry}: {error}") from None
            if scheme in NO_STORES:
                raise ConfigurationError(f"{setting}: {entry}: {scheme}:// is no store.")
            prefixes.append((scheme, path))
        return cls(tuple(prefixes), setting)

    @property
    def schemes(self) -> frozenset[str]:
        return frozenset(scheme for scheme, _ in self.prefixes)

    def judge(self, uri: str) -> Location:
        """Raises only UrlRefused, whatever the string."""
        if not self.prefixes:
            raise UrlRefused(f"No storage URIs are taken here: {self.setting} names none.")
        scheme, path = _read(uri)
        for allowed, root in self.prefixes:
            if scheme == allowed and lies_under(path, root):
                return Location(scheme, path, root)
        raise UrlRefused(f"The URI lies under none of those that {self.setting} names.")


def lies_under(path: str, root: str) -> bool:
    """Compares whole path segments."""
    return path == root or path.startswith(f"{root}/")


def _read(uri: str) -> tuple[str, str]:
    """Scheme and path; each place has exactly one accepted spelling. Raises UrlRefused."""
    if not uri or len(uri) > MAX_URI:
        raise UrlRefused(f"The URI is empty or longer than {MAX_URI:,} characters.")
    if _FORBIDDEN.search(uri):
        raise UrlRefused("The URI has a control character, `\\`, `?`, `::` or `%XX` in it.")
    scheme, found, path = uri.partition("://")
    if not (found and _SCHEME.fullmatch(scheme)):
        raise UrlRefused("The URI must be written as `s3://bucket/folder/`.")
    path = path.removesuffix("/")
    if scheme == "file" and not path.startswith("/"):
        raise UrlRefused("The URI of a file must be written as `file:///folder/`.")
    segments = path.removeprefix("/").split("/") if scheme == "file" else path.split("/")
    if any(segment in ("", ".", "..") for segment in segments):
        raise UrlRefused("The URI has an empty name, `.` or `..` in it.")
    if scheme != "file" and re.search("[@:]", segments[0]):
        raise UrlRefused("The URI must hold no credentials, account or port.")
    return scheme, path
