"""Opens fsspec filesystems, and maps their errors to one kind."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.errors import ClassifierError, ConfigurationError, StorageUnavailable

GONE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""Errors of back ends when there is no file to read."""

OWN = ("file", "memory")
"""Schemes that need no further library, so that none is checked for."""

EXTRAS = {"s3": "s3", "abfs": "azure-storage", "abfss": "azure-storage", "az": "azure-storage"}
"""The package extra that installs a scheme's library."""


def check_scheme(scheme: str, setting: str) -> None:
    """Raises ConfigurationError when the library of a scheme that `setting` names is missing."""
    if scheme in OWN:
        return
    from fsspec import get_filesystem_class  # type: ignore[import-untyped]

    try:
        get_filesystem_class(scheme)
    except (ImportError, ValueError) as error:
        hint = f": extra `{EXTRAS[scheme]}`" if scheme in EXTRAS else ""
        raise ConfigurationError(f"{setting}: {scheme}://: {error}{hint}") from error


def open_filesystem(scheme: str) -> Any:
    """Credentials and other options come from the environment. Raises ConfigurationError."""
    from fsspec import filesystem

    try:
        # Nothing is cached: no sizes, no listings of a million names, no instance of an earlier
        # call.
        return filesystem(scheme, use_listings_cache=False, skip_instance_cache=True)
    except (ImportError, ValueError) as error:
        raise ConfigurationError(f"{scheme}:// can't be opened: {error}") from error


@contextmanager
def mapped(what: str) -> Iterator[None]:
    """Raises every error of a back end, including botocore's and Azure's own, as
    StorageUnavailable: the next call may succeed. `what` begins the message."""
    try:
        yield
    except ClassifierError:
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise StorageUnavailable(f"{what}: {reason}.") from error
