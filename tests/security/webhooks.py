"""The same hostile URLs as those of webhooks: judged when they are registered, and at each attempt.

https only, and no redirect is followed.
"""

import ssl
from datetime import UTC, datetime
from pathlib import Path

from app.egress import EgressClient, judge
from app.errors import UrlRefused
from app.storage.delivery_rows import Due
from app.storage.webhooks import WebhookRow
from app.telemetry.trace import Tracing
from app.webhooks import Sender
from app.webhooks.endpoints import Receiver
from app.webhooks.keyring import Keyring
from app.webhooks.sender import Outcome
from app.webhooks.signing import new_secret
from tests.security.urls import Case, FakeNetwork, excluded_connection, is_in, run_cases

__all__ = ["NAME", "is_in", "run"]

NAME = "URLs of webhooks"

KEYS = Keyring.of(new_secret())


def run(directory: Path) -> tuple[int, list[str]]:
    """How many cases there are, and a line for each that fails."""
    return run_cases(directory, _failure, "webhook ")


async def _failure(case: Case, tls: ssl.SSLContext) -> str | None:
    network = FakeNetwork(case)
    egress = EgressClient(resolver=network.resolve, connector=network, ssl_context=tls)
    outcome: Outcome = "refused"
    if _is_registered(case["url"]):
        sender = Sender(egress, Tracing(), clock=_now)
        for _ in range(case.get("attempts", 1)):
            sent = await sender.send(_receiver(case["url"]), DUE, b"{}")
            outcome = sent.outcome
    if len(network.connected) > case.get("attempts", 1):
        return "followed a redirect"
    return excluded_connection(case, network.connected) or _wrong_outcome(case, outcome)


def _is_registered(url: str) -> bool:
    try:
        return judge(url, https_only=True).scheme == "https"
    except UrlRefused:
        return False


def _wrong_outcome(case: Case, outcome: Outcome) -> str | None:
    plain = case["url"].lower().startswith("http:")
    if case["expect"] == "refuse" or plain or case.get("redirects"):
        return "delivered" if outcome == "delivered" else None
    return (
        f"{outcome}, not delivered"
        if outcome != "delivered" and not case.get("may_refuse")
        else None
    )


def _receiver(url: str) -> Receiver:
    row = WebhookRow("whk_1", "endpoint", "shop", url, "enabled", _now(), _now())
    return Receiver(row, KEYS, {})


def _now() -> datetime:
    return datetime.now(UTC)


DUE = Due("dlv_1", "evt_1", "ping", _now(), None, b"{}", 0, 0, _now())
