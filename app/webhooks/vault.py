"""Secrets at rest: encrypted, so that a copy of the database reveals none."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from app.errors import ConfigurationError, SecretUnreadable

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

KEY_FILE = "webhooks.key"


class Vault:
    """Encrypts with the first key, and decrypts with any of them."""

    def __init__(self, keys: Sequence[str], folder: Path | None, *, shared: bool = False) -> None:
        """`keys`: Fernet keys, newest first. If there are none, one is generated when first needed,
        and kept in `folder`, from where it is read even once there are `keys`; without a folder it
        is lost with the process. `shared`: other processes need it, so it can't be generated
        here."""
        self._keys = tuple(keys)
        self._folder = folder
        self._shared = shared
        self._fernet: MultiFernet | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """To be called before anything is sealed or read. Raises ConfigurationError."""
        # Two concurrent calls would each generate a key, and the later one would win.
        async with self._opening:
            if self._fernet is None:
                # Importing cryptography is slow, and only installations with webhooks need it.
                self._fernet = await asyncio.to_thread(self._opened)

    def seal(self, secret: str) -> str:
        return self._opened().encrypt(secret.encode()).decode()

    def read(self, sealed: str) -> str:
        """Raises SecretUnreadable when none of the keys fits."""
        from cryptography.fernet import InvalidToken

        try:
            return self._opened().decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise SecretUnreadable(
                "secrets of webhooks were encrypted with a key that is not there any more: "
                f"WEBHOOKS_ENCRYPTION_KEYS, or the file {KEY_FILE} beside the database"
            ) from None

    def reseal(self, sealed: str) -> str:
        """Encrypts with the first key."""
        return self.seal(self.read(sealed))

    def _opened(self) -> "MultiFernet":
        if self._fernet is not None:
            return self._fernet
        from cryptography.fernet import Fernet, MultiFernet

        try:
            self._fernet = MultiFernet([Fernet(each) for each in self._known()])
        except ValueError:
            raise ConfigurationError(
                "WEBHOOKS_ENCRYPTION_KEYS: a key is 32 bytes in URL-safe base64, as "
                "`python -m app webhooks new-key` makes them"
            ) from None
        return self._fernet

    def _known(self) -> tuple[str, ...]:
        if self._shared and not self._keys:
            raise ConfigurationError(
                "several processes need one key for the secrets of webhooks: "
                "WEBHOOKS_ENCRYPTION_KEYS"
            )
        path = None if self._folder is None else self._folder / KEY_FILE
        if path is not None and path.exists():
            return (*self._keys, path.read_text().strip())
        return self._keys or (_made(path),)


def _made(path: Path | None) -> str:
    from cryptography.fernet import Fernet

    new = Fernet.generate_key().decode()
    return new if path is None else _kept(path, new)


def _kept(path: Path, new: str) -> str:
    """The key in the file: `new`, unless another process was first."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Atomic: no one reads half a key, and no crash leaves one. Only the owner may read it.
        with NamedTemporaryFile("w", dir=path.parent, prefix=f".{KEY_FILE}-") as file:
            file.write(new)
            file.flush()
            os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(file.name, path)
        return path.read_text().strip()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
