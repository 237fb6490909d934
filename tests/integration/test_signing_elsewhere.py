"""Our signatures before the reference library of another language."""

import base64
import json
import shutil
import subprocess
import time

import pytest

from app.webhooks.signing import new_private_key, new_secret, sign
from tests.service import ROOT

LIBRARY = ROOT / ".node" / "node_modules" / "standardwebhooks"
RECEIVER = """
const { Webhook } = require(process.argv[1]);
const { key, headers, body } = JSON.parse(require("node:fs").readFileSync(0));
try {
  console.log(JSON.stringify(new Webhook(key).verify(Buffer.from(body, "base64"), headers)));
} catch (error) {
  if (error.name !== "WebhookVerificationError") throw error;
  console.log(error.message);
}
"""
EVENT = {"type": "result.created", "data": {"predicted_class": "Gänseblümchen 🌼\u2028"}}

pytestmark = [
    pytest.mark.skipif(
        shutil.which("node") is None, reason="no node: install it, then make test-deps"
    ),
    pytest.mark.skipif(
        not LIBRARY.is_dir(), reason="no standardwebhooks of npm: make test-deps installs it"
    ),
]


def asked(key: str, signers: list[str], *, late_s: int = 0, changed: bytes | None = None) -> str:
    """What the library makes of it: the event, or why not."""
    body = json.dumps(EVENT, ensure_ascii=False).encode()
    timestamp = int(time.time()) - late_s
    told = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(signers, message_id="msg_1", timestamp=timestamp, body=body),
    }
    letter = {"key": key, "headers": told, "body": base64_of(changed or body)}
    done = subprocess.run(
        ["node", "-e", RECEIVER, LIBRARY],
        input=json.dumps(letter),
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout.strip()


def base64_of(body: bytes) -> str:
    return base64.b64encode(body).decode()


def test_what_we_sign_is_taken():
    key = new_secret()

    assert json.loads(asked(key, [key])) == EVENT


def test_either_secret_is_enough_while_they_rotate():
    """Beside a signature that the library does not know."""
    new, old = new_secret(), new_secret()

    for key in (new, old):
        assert json.loads(asked(key, [new_private_key(), new, old])) == EVENT


def test_what_was_changed_is_refused():
    key = new_secret()

    assert "signature" in asked(key, [key], changed=b'{"type":"result.deleted"}')
    assert "signature" in asked(key, [new_secret()])


def test_what_is_old_is_refused():
    key = new_secret()

    assert asked(key, [key], late_s=302) == "Message timestamp too old"
