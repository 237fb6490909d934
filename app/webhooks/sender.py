"""One attempt: a signed POST, and the receiver's answer."""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from app.egress import Answer, EgressClient
from app.errors import UrlRefused, UrlUnreachable
from app.retry_after import retry_after_s
from app.storage.delivery_rows import Attempt, Due
from app.telemetry.trace import Tracing, current
from app.webhooks.endpoints import MAX_HEADER, Receiver
from app.webhooks.signing import sign

Outcome = Literal["delivered", "failed", "overloaded", "gone", "refused"]
"""`refused`: by the service's own policy for untrusted URLs."""

OVERLOADED = frozenset({429, 502, 503, 504})
GONE = 410

MAX_ANSWER = 2_048
"""Bytes of an answer that are kept."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Characters that a terminal or a page would interpret, except line breaks and tabs."""


@dataclass(frozen=True, slots=True)
class Sent:
    """
    Attributes:
        retry_after_s: the wait that the receiver asked for.
    """

    attempt: Attempt
    outcome: Outcome
    retry_after_s: float | None = None


class Sender:
    """Every attempt is checked anew against the policy for untrusted URLs."""

    def __init__(
        self, egress: EgressClient, tracing: Tracing, *, clock: Callable[[], datetime]
    ) -> None:
        self._egress = egress
        self._tracing = tracing
        self._clock = clock

    async def send(self, receiver: Receiver, due: Due, body: bytes) -> Sent:
        """Errors are part of the returned value."""
        ids = {"webhook_id": receiver.row.id, "delivery_id": due.id}
        with self._tracing.work("delivery", ids, of=current()) as trace:
            sent = await self._attempt(receiver, due, body)
            trace.tell(outcome=sent.outcome)
            if sent.outcome != "delivered":
                trace.tell(error=sent.attempt.error or sent.outcome)
        return sent

    async def _attempt(self, receiver: Receiver, due: Due, body: bytes) -> Sent:
        at, began = self._clock(), time.perf_counter()
        status = error = text = asked_s = None
        outcome: Outcome
        try:
            answer = await self._egress.send(
                "POST",
                due.url or receiver.row.url,
                headers=_headers(receiver, due.event_id, at, body),
                content=body,
                max_bytes=MAX_ANSWER + MAX_HEADER,  # never cuts a header's value
                https_only=True,
            )
        except UrlRefused as refused:
            outcome, error, text = "refused", "refused", str(refused)
        except UrlUnreachable as unreachable:
            outcome, error, text = "failed", unreachable.kind, str(unreachable)
        else:
            status, outcome = answer.status, _outcome(answer)
            text = cleaned(answer.content, receiver.headers.values())
            asked_s = retry_after_s(answer.headers.get("retry-after"), at)
        milliseconds = round((time.perf_counter() - began) * 1000, 3)
        attempt = Attempt(due.attempts + 1, at, milliseconds, status, error, text or None)
        return Sent(attempt, outcome, asked_s)


def cleaned(content: bytes, hidden: Iterable[str] = ()) -> str:
    """For people; the webhook owner's secrets are hidden, even if the receiver echoes them."""
    text = _CONTROL.sub("", content.decode(errors="replace"))
    # `Bearer xyz` may come back as `xyz`.
    secrets = {each for value in hidden for each in (value, *value.split()[1:]) if each}
    # In one pass, longest first, so that no replacement text is taken for a secret.
    either = "|".join(re.escape(each) for each in sorted(secrets, key=len, reverse=True))
    if either:
        text = re.sub(either, "***", text)
    return text[:MAX_ANSWER]


def _headers(receiver: Receiver, event_id: str, at: datetime, body: bytes) -> dict[str, str]:
    timestamp = int(at.timestamp())
    return {
        **receiver.headers,
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(
            receiver.keys.at(at), message_id=event_id, timestamp=timestamp, body=body
        ),
    }


def _outcome(answer: Answer) -> Outcome:
    if 200 <= answer.status < 300:
        return "delivered"
    if answer.status == GONE:
        return "gone"
    return "overloaded" if answer.status in OVERLOADED else "failed"
