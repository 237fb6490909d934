"""Signatures of Standard Webhooks 1.0.0: made by a sender, and checked by a receiver."""

import base64
import hmac
import re
import secrets as randomness
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from app.errors import InvalidRequest

# Slow to import, and most endpoints have a shared secret.
if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SHARED, PRIVATE, PUBLIC = "whsec_", "whsk_", "whpk_"
SEED_BYTES = 32
NEW_SECRET_BYTES = 32
SHARED_BYTES = range(24, 65)

# With a dot in it, the end of an id could be mistaken for the timestamp.
_ID = re.compile("[!-\\-/-~]+")
_TIMESTAMP = re.compile("[0-9]{1,12}")


class SignatureRefused(Exception):
    """The sender does not have the secret, or the timestamp is too far off; the message says
    why."""


def new_secret() -> str:
    """A shared secret, also given to the receiver."""
    return SHARED + _as_base64(randomness.token_bytes(NEW_SECRET_BYTES))


def new_private_key() -> str:
    """A receiver is given only its `public_key`."""
    return PRIVATE + _as_base64(randomness.token_bytes(SEED_BYTES))


def check_secret(text: str) -> str:
    """Returns the secret unchanged. Raises InvalidRequest, whose message does not contain it."""
    if text.startswith(SHARED):
        _shared_key(text)
    elif text.startswith(PRIVATE):
        _private_key(text)
    else:
        raise InvalidRequest(f"A secret begins with {SHARED} or {PRIVATE}.")
    return text


def check_key(text: str) -> str:
    """As `check_secret`, but a receiver may have a public key, too."""
    if text.startswith(PUBLIC):
        _public_bytes(text)
        return text
    return check_secret(text)


def public_key(secret: str) -> str | None:
    """The key with which a receiver verifies this secret's signatures; None: the secret itself.

    Raises InvalidRequest.
    """
    if check_secret(secret).startswith(SHARED):
        return None
    return PUBLIC + _as_base64(_private_key(secret).public_key().public_bytes_raw())


def sign(secrets: Iterable[str], *, message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`, with a signature for each secret, in their order.

    `timestamp` is of this attempt, in Unix seconds; `message_id` is visible ASCII without a dot.
    Raises InvalidRequest for an invalid secret.
    """
    if not _ID.fullmatch(message_id) or not _TIMESTAMP.fullmatch(str(timestamp)):
        raise ValueError("no id or timestamp that can be signed")
    signed = _signed(message_id, str(timestamp), body)
    return " ".join(_signature(check_secret(each), signed) for each in secrets)


def verify(
    keys: Iterable[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: float,
    tolerance_s: float = 300,
) -> None:
    """Check signatures as a receiver, with any of its keys: shared secrets, public or private keys.

    Signatures of unknown versions are skipped. Raises SignatureRefused, and InvalidRequest for an
    invalid key.
    """
    checked = [check_key(each) for each in keys]
    found = {name.lower(): value for name, value in headers.items()}
    message_id = found.get("webhook-id", "")
    timestamp = found.get("webhook-timestamp", "")
    given = found.get("webhook-signature", "").split()
    if not _ID.fullmatch(message_id):
        raise SignatureRefused("webhook-id is missing or malformed")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise SignatureRefused("webhook-timestamp is missing or malformed")
    if not given:
        raise SignatureRefused("webhook-signature is missing")
    age_s = now - int(timestamp)
    if abs(age_s) > tolerance_s:
        raise SignatureRefused(
            f"webhook-timestamp is {abs(age_s):.0f} s {'old' if age_s > 0 else 'ahead'}"
        )
    signed = _signed(message_id, timestamp, body)
    if not any(_matches(key, given, signed) for key in checked):
        raise SignatureRefused("webhook-signature does not match")


def _signed(message_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{message_id}.{timestamp}.".encode() + body


def _signature(secret: str, signed: bytes) -> str:
    if secret.startswith(SHARED):
        return f"v1,{_as_base64(hmac.digest(_shared_key(secret), signed, 'sha256'))}"
    return f"v1a,{_as_base64(_private_key(secret).sign(signed))}"


def _matches(key: str, given: Iterable[str], signed: bytes) -> bool:
    if key.startswith(SHARED):
        expected = _signature(key, signed).encode()
        return any(hmac.compare_digest(expected, each.encode(errors="replace")) for each in given)
    public = _raw_public_key(key)
    return any(_is_signature(each, public, signed) for each in given)


def _is_signature(given: str, public: bytes, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    version, _, signature = given.partition(",")
    if version != "v1a":
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(_from_base64(signature), signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _shared_key(secret: str) -> bytes:
    key = _key_bytes(secret, SHARED)
    if len(key) not in SHARED_BYTES:
        raise InvalidRequest(
            f"A secret holds {SHARED_BYTES.start} to {SHARED_BYTES.stop - 1} bytes, not {len(key)}."
        )
    return key


def _private_key(secret: str) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = _key_bytes(secret, PRIVATE)
    if len(key) not in (SEED_BYTES, 2 * SEED_BYTES):
        raise InvalidRequest("A private key holds a seed of 32 bytes, or it and the public key.")
    private = Ed25519PrivateKey.from_private_bytes(key[:SEED_BYTES])
    if key[SEED_BYTES:] not in (b"", private.public_key().public_bytes_raw()):
        raise InvalidRequest("The second half of the private key is not its public key.")
    return private


def _public_bytes(key: str) -> bytes:
    public = _key_bytes(key, PUBLIC)
    if len(public) != SEED_BYTES:
        raise InvalidRequest("A public key holds 32 bytes.")
    return public


def _raw_public_key(key: str) -> bytes:
    if key.startswith(PUBLIC):
        return _public_bytes(key)
    return _private_key(key).public_key().public_bytes_raw()


def _key_bytes(text: str, prefix: str) -> bytes:
    try:
        return _from_base64(text.removeprefix(prefix))
    except ValueError:
        raise InvalidRequest(f"After {prefix} comes padded base64.") from None


def _from_base64(text: str) -> bytes:
    """Raises ValueError."""
    return base64.b64decode(text, validate=True)


def _as_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
