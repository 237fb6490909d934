"""Opening what fsspec reaches, with one meaning for whatever goes wrong there."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.errors import ClassifierError, ConfigurationError, StorageUnavailable

GONE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""What back ends raise where nothing is to be read."""

OWN = ("file", "memory")
"""Schemes that need no further library, nor a look whether it is there."""

EXTRAS = {"s3": "s3", "abfs": "azure-storage", "abfss": "azure-storage", "az": "azure-storage"}
"""Which of the package's extras brings the library of a scheme."""


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
    """With credentials and all else as the environment says. Raises ConfigurationError."""
    from fsspec import filesystem

    try:
        # Nothing is remembered: neither sizes and a million names, nor who asked for it before.
        return filesystem(scheme, use_listings_cache=False, skip_instance_cache=True)
    except (ImportError, ValueError) as error:
        raise ConfigurationError(f"{scheme}:// can't be opened: {error}") from error


@contextmanager
def mapped(what: str) -> Iterator[None]:
    """Whatever a back end raises, botocore's and Azure's own errors too, is StorageUnavailable:
    the next call may succeed. `what` begins the message."""
    try:
        yield
    except ClassifierError:
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise StorageUnavailable(f"{what}: {reason}.") from error
