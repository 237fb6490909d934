"""`webhooks secret`, `new-key`, `reencrypt`: from a shell, on the service's own database."""

import json
import sqlite3

import pytest
from cryptography.fernet import Fernet

from app.parts import build_parts
from app.settings import Settings
from app.storage.audit import COMMAND_LINE
from app.webhooks.signing import check_secret
from tests.shell import Shell


@pytest.fixture
def shell(tmp_path) -> Shell:
    return Shell(tmp_path)


def told(shell: Shell, *arguments: str, **variables: str) -> str:
    done = shell.run("webhooks", *arguments, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_the_secret_is_made_once_and_told_again(shell):
    first = told(shell, "secret")

    assert check_secret(first) == told(shell, "secret") == first
    assert json.loads(told(shell, "secret", "--json")) == {"secret": first}


def test_the_one_of_the_settings_wins(shell):
    given = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

    assert told(shell, "secret", WEBHOOK_SECRET=given) == given


def test_a_new_key_is_a_key(shell):
    assert Fernet(told(shell, "new-key"))
    assert Fernet(json.loads(told(shell, "new-key", "--json"))["key"])


async def test_all_is_encrypted_anew_and_the_old_key_may_go(shell, tmp_path):
    """From the key that was made to one that is given, and from that to the next."""
    settings = Settings(database_url=f"sqlite:///{tmp_path}/app.db")
    async with build_parts(settings) as parts:
        values = {"url": "https://example.com/", "headers": {"Authorization": "Bearer x"}}
        endpoint, secret = await parts.webhooks.create("shop", values, by=COMMAND_LINE)
        callback_secret = await parts.webhooks.callback_secret()
    first, second = (Fernet.generate_key().decode() for _ in range(2))
    told(shell, "reencrypt", WEBHOOKS_ENCRYPTION_KEYS=first)
    (tmp_path / "webhooks.key").unlink()
    count = told(shell, "reencrypt", "--json", WEBHOOKS_ENCRYPTION_KEYS=f"{second},{first}")

    assert json.loads(count) == {"webhooks": 1}
    assert told(shell, "secret", WEBHOOKS_ENCRYPTION_KEYS=second) == callback_secret
    settings = Settings(database_url=settings.database_url, webhooks={"encryption_keys": [second]})
    async with build_parts(settings) as parts:
        receiver = await parts.webhooks.find(endpoint.row.id)
    assert receiver.keys.newest == secret
    assert receiver.headers == {"Authorization": "Bearer x"}
    with sqlite3.connect(tmp_path / "app.db") as database:
        sealed = database.execute("SELECT secrets, headers FROM webhooks").fetchone()
    for each in sealed:
        assert Fernet(second).decrypt(each)


def test_a_key_that_is_gone_is_told(shell, tmp_path):
    told(shell, "secret")
    (tmp_path / "webhooks.key").write_text(Fernet.generate_key().decode())
    done = shell.run("webhooks", "secret")

    assert done.returncode == 2
    assert "a key that is not there any more" in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("WEBHOOK_SECRET", "secret-123"), ("WEBHOOKS_ENCRYPTION_KEYS", "secret-123")],
)
@pytest.mark.parametrize("command", [("config", "check"), ("webhooks", "secret")])
def test_nonsense_in_the_settings_is_told_and_not_repeated(shell, name, value, command):
    done = shell.run(*command, **{name: value})

    assert done.returncode == 2
    assert name in done.stderr
    assert value not in done.stdout + done.stderr
