"""Webhooks from the owner's view: created, changed, secrets rotated, disabled and enabled."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self

import structlog

from app.domains import DomainRegistry
from app.egress import Allowance, judge
from app.errors import (
    InvalidRequest,
    SecretUnreadable,
    TooManyWebhooks,
    WebhookDisabled,
)
from app.identifiers import WEBHOOK, new_id
from app.storage import Database, Outbox, WebhookRepository, chosen
from app.storage.audit import By
from app.storage.webhooks import WebhookRow, no_webhook
from app.webhooks.keyring import Keyring
from app.webhooks.signing import check_secret, new_private_key, new_secret, public_key
from app.webhooks.vault import Vault

log = structlog.stdlib.get_logger(__name__)

MAX_WEBHOOKS = 200
"""Per caller: each event is matched against all of them."""

MAX_HEADERS, MAX_HEADER = 20, 1_000
"""Number of headers of a webhook, and characters in each."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE = re.compile(r"([!-~]([ -~]*[!-~])?)?")

OURS = frozenset(
    {
        *("host", "content-type", "content-length", "content-encoding", "transfer-encoding"),
        *("connection", "user-agent", "accept-encoding", "expect", "upgrade", "te", "trailer"),
    }
)
"""Headers that decide how a delivery is read, and so can't be set; likewise those that begin with
`webhook-`."""

CALLBACK_SECRET = "webhook_secret"  # noqa: S105
"""Its name among the installation's chosen values."""

Signature = Literal["v1", "v1a"]


@dataclass(frozen=True, slots=True)
class Receiver:
    """What delivery needs to know about a webhook."""

    row: WebhookRow
    keys: Keyring
    headers: Mapping[str, str] = field(repr=False)

    @property
    def is_callback(self) -> bool:
        return self.row.kind == "callback"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What its owner may know about a webhook.

    Attributes:
        header_names: of the headers sent along; their values are secret.
        public_key: with which receivers verify `v1a` signatures.
        signs_on_until: when the last replaced secret stops signing.
        readable: False if the key that encrypted its secret and headers is missing.
    """

    row: WebhookRow
    header_names: tuple[str, ...] = ()
    public_key: str | None = None
    signs_on_until: datetime | None = None
    readable: bool = True

    @classmethod
    def of(cls, receiver: Receiver, now: datetime) -> Self:
        ends = [each.until for each in receiver.keys.secrets if each.until and each.until > now]
        return cls(
            receiver.row,
            tuple(sorted(receiver.headers)),
            public_key(receiver.keys.newest),
            max(ends, default=None),
        )


class Webhooks:
    """`caller` None means an operator, who sees all webhooks."""

    def __init__(
        self,
        database: Database,
        stored: WebhookRepository,
        outbox: Outbox,
        vault: Vault,
        domains: DomainRegistry,
        allow: Allowance,
        *,
        callback_secret: str | None,
        clock: Callable[[], datetime],
    ) -> None:
        """`callback_secret` None: one is generated when first needed, and kept in the database."""
        self._database = database
        self._stored = stored
        self._outbox = outbox
        self._creating = asyncio.Lock()
        self._vault = vault
        self._domains = domains
        self._allow = allow
        self._callback_secret = callback_secret
        self._clock = clock

    async def create(
        self,
        caller: str,
        values: Mapping[str, Any],
        *,
        secret: str | None = None,
        signature: Signature | None = None,
        by: By,
    ) -> tuple[Endpoint, str]:
        """Returns it with its secret, which is never returned again. `values` are the fields of
        WebhookRow that the owner chooses, `headers` as a mapping. `signature` None: the kind of
        `secret`, or else `v1`. Raises InvalidRequest, UrlRefused, DomainNotFound, TooManyWebhooks,
        ConfigurationError."""
        if secret is None:
            secret = new_private_key() if signature == "v1a" else new_secret()
        key = check_secret(secret)
        if signature is not None and (signature == "v1a") != (public_key(key) is not None):
            raise InvalidRequest(f"secret: with it, signatures are not {signature}.")
        await self._vault.open()
        now = self._clock()
        row = WebhookRow(
            id=new_id(WEBHOOK),
            kind="endpoint",
            caller=caller,
            secrets=self._vault.seal(Keyring.of(key).dump()),
            status="enabled",
            created_at=now,
            changed_at=now,
            **await self._checked(values),
        )
        async with self._creating:
            if len(await self._stored.all(caller=caller)) >= MAX_WEBHOOKS:
                raise TooManyWebhooks(f"There are {MAX_WEBHOOKS} webhooks: delete one first.")
            await self._stored.create(row, by=by)
        return await self._told(row), key

    async def all(self, *, caller: str | None) -> list[Endpoint]:
        return [await self._told(each) for each in await self._stored.all(caller=caller)]

    async def get(self, webhook_id: str, *, caller: str | None) -> Endpoint:
        """Raises WebhookNotFound."""
        return await self._told(await self._endpoint(webhook_id, caller))

    async def change(
        self,
        webhook_id: str,
        values: Mapping[str, Any],
        *,
        caller: str | None,
        by: By,
    ) -> Endpoint:
        """Raises as `create` and `get`."""
        await self._endpoint(webhook_id, caller)
        await self._vault.open()
        changed = await self._checked(values) | {"changed_at": self._clock()}
        if "url" in changed:
            changed["failing_since"] = None  # the receiver at the new URL has not failed yet
        row = await self._stored.change(webhook_id, changed, caller=caller, by=by)
        return await self._told(row)

    async def rotate(
        self,
        webhook_id: str,
        secret: str | None,
        *,
        caller: str | None,
        by: By,
    ) -> tuple[Endpoint, str]:
        """`secret`, or a new one of the same kind, signs from now on; the previous ones sign for a
        day more, if they can be read. Raises as `create` and `get`."""
        while True:
            row = await self._endpoint(webhook_id, caller)
            before = await self._keys(row)
            if secret is None:
                private = before is not None and public_key(before.newest) is not None
                secret = new_private_key() if private else new_secret()
            key = check_secret(secret)
            after = Keyring.of(key) if before is None else before.rotated(key, self._clock())
            sealed = self._vault.seal(after.dump())
            # Two concurrent rotations must not lose each other's secret.
            if await self._stored.rotate(webhook_id, row.secrets or "", sealed, by=by):
                return await self.get(webhook_id, caller=caller), key

    async def enable(self, webhook_id: str, *, caller: str | None, by: By) -> Endpoint:
        """Raises WebhookNotFound."""
        await self._endpoint(webhook_id, caller)
        values = {
            "status": "enabled",
            "reason": None,
            "disabled_at": None,
            "failing_since": None,
            "changed_at": self._clock(),
        }
        row = await self._stored.change(webhook_id, values, caller=caller, by=by)
        return await self._told(row)

    async def delete(self, webhook_id: str, *, caller: str | None, by: By) -> None:
        """Raises WebhookNotFound."""
        await self._endpoint(webhook_id, caller)
        await self._stored.delete(webhook_id, caller=caller, by=by)

    async def receiver(self, row: WebhookRow) -> Receiver:
        """Raises ConfigurationError."""
        await self._vault.open()
        if row.secrets is None:
            keys = Keyring.of(await self.callback_secret())
        else:
            keys = Keyring.load(self._vault.read(row.secrets))
        headers = {} if row.headers is None else json.loads(self._vault.read(row.headers))
        return Receiver(row, keys, headers)

    async def find(self, webhook_id: str) -> Receiver:
        """An endpoint, or the callbacks to one origin. Raises WebhookNotFound,
        ConfigurationError."""
        return await self.receiver(await self._stored.get(webhook_id, caller=None))

    async def callback_secret(self) -> str:
        """Signs deliveries to a `callback_url`. Raises ConfigurationError."""
        if self._callback_secret is None:
            self._callback_secret = self._vault.read(await self._sealed_callback_secret())
        return self._callback_secret

    async def reseal(self, *, by: By) -> int:
        """Encrypt everything with the newest key, or nothing where a secret can't be read; returns
        how many webhooks there are. Raises ConfigurationError."""
        await self._vault.open()
        return await self._stored.reseal(self._vault.reseal, chosen=CALLBACK_SECRET, by=by)

    async def check_enabled(self, webhook_id: str) -> None:
        """Raises WebhookDisabled."""
        row = await self._stored.get(webhook_id, caller=None)
        if row.status != "enabled":
            raise WebhookDisabled(f"The webhook {webhook_id} is disabled: {row.reason}")

    async def use_callback(self, caller: str, url: str) -> str:
        """Returns the URL in its normalized form. Raises UrlRefused, ConfigurationError."""
        place = judge(url, self._allow, https_only=True).url
        await self.callback_secret()
        await self._outbox.use_callback(caller, place)
        return place

    def _check_url(self, url: str) -> None:
        judge(url, self._allow, https_only=True)

    async def _told(self, row: WebhookRow) -> Endpoint:
        try:
            return Endpoint.of(await self.receiver(row), self._clock())
        except SecretUnreadable:
            return Endpoint(row, readable=False)

    async def _keys(self, row: WebhookRow) -> Keyring | None:
        """None: they can't be read any more."""
        await self._vault.open()
        try:
            return Keyring.load(self._vault.read(row.secrets or ""))
        except SecretUnreadable:
            return None

    async def _sealed_callback_secret(self) -> str:
        await self._vault.open()
        return await chosen(self._database, CALLBACK_SECRET, self._vault.seal(new_secret()))

    async def _endpoint(self, webhook_id: str, caller: str | None) -> WebhookRow:
        row = await self._stored.get(webhook_id, caller=caller)
        if row.kind != "endpoint":
            raise no_webhook(webhook_id)
        return row

    async def _checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """As they are stored."""
        checked = dict(values)
        if "url" in values:
            self._check_url(values["url"])
        known = self._outbox.types
        if unknown := set(values.get("event_types", ())) - known.keys():
            raise InvalidRequest(
                f"event_types: {min(unknown)[:100]!a} is none of {', '.join(known)}."
            )
        for name in values.get("domains", ()):
            await self._domains.find(name)
        if "headers" in values:
            headers = _checked_headers(values["headers"] or {})
            checked["headers"] = self._vault.seal(json.dumps(headers)) if headers else None
        return checked


def _checked_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Raises InvalidRequest, whose message does not contain values."""
    if len(headers) > MAX_HEADERS:
        raise InvalidRequest(f"headers: there may be {MAX_HEADERS}.")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise InvalidRequest("headers: a name is no name of a header.")
        if name.lower() in OURS or name.lower().startswith("webhook-"):
            raise InvalidRequest(f"headers: {name} is set by the service.")
        if len(value) > MAX_HEADER or not _HEADER_VALUE.fullmatch(value):
            raise InvalidRequest(
                f"headers: the value of {name} must be visible ASCII with no space at its ends, "
                f"{MAX_HEADER} characters at most."
            )
    if len({name.lower() for name in headers}) < len(headers):
        raise InvalidRequest("headers: a name is there twice.")
    return headers
