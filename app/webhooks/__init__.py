"""Events sent to other services: signed, retried for days, isolated from each other."""

from app.storage.event_types import EventType
from app.webhooks.configured import configured_callback_secret, configured_vault
from app.webhooks.deliveries import AT_ONCE, Deliveries
from app.webhooks.endpoints import Endpoint, Signature, Webhooks
from app.webhooks.publishing import Publisher
from app.webhooks.sender import Sender
from app.webhooks.signing import SignatureRefused, check_key, verify
from app.webhooks.vault import Vault

__all__ = [
    "AT_ONCE",
    "Deliveries",
    "Endpoint",
    "EventType",
    "Publisher",
    "Sender",
    "Signature",
    "SignatureRefused",
    "Vault",
    "Webhooks",
    "check_key",
    "configured_callback_secret",
    "configured_vault",
    "verify",
]
