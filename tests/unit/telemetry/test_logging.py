"""Lines as they are written."""

import json
import logging

import pytest

from app.settings import Settings
from app.settings_groups import AzureOpenAISettings
from app.settings_sources import secrets
from app.telemetry.logging import _handler
from app.telemetry.trace import Tracing

HIDDEN = 'a"key+with/marks'


@pytest.fixture
def written():
    def written(renderer, message, *arguments, **how):
        formatter = _handler(renderer, [HIDDEN, HIDDEN[:9]]).formatter
        record = logging.LogRecord("lib", logging.ERROR, "", 0, message, arguments, None)
        record.__dict__.update(how)
        return formatter.format(record)

    return written


@pytest.mark.parametrize("renderer", ["json", "console"])
def test_what_is_hidden_is_in_no_line_whoever_wrote_it(written, renderer):
    failure = (RuntimeError, RuntimeError(HIDDEN), None)

    told = [
        written(renderer, "connected with %s", HIDDEN),
        written(renderer, "it failed", exc_info=failure),
    ]

    assert all("***" in each and "key+with" not in each for each in told)
    assert "RuntimeError: ***" in told[1]


@pytest.mark.parametrize("renderer", ["json", "console"])
@pytest.mark.parametrize("secret", ['pa"ss\\word-99', "geheimé-12345"])
def test_nor_as_a_library_writes_it(renderer, secret):
    formatter = _handler(renderer, [secret]).formatter
    for shown in (secret, repr(secret), repr(secret.encode()), {"key": secret}):
        record = logging.LogRecord("lib", logging.ERROR, "", 0, "it got %s", (shown,), None)
        assert "***" in formatter.format(record)


def test_a_line_begins_with_what_a_reader_looks_for(written):
    with Tracing().request("", {"request_id": "req_1"}) as trace:
        line = json.loads(written("json", "it works"))

    assert line.pop("timestamp").endswith("Z")
    assert list(line.items()) == [
        ("level", "error"),
        ("event", "it works"),
        ("logger", "lib"),
        ("request_id", "req_1"),
        ("trace_id", trace.trace_id),
    ]


def test_secrets_of_the_settings_are_those_marked_so_and_passwords_of_urls():
    settings = Settings(
        database_url="postgresql://me:pass%2Fword-1@host/db",
        redis_url="redis://:password-2@host",
        blobs_url="memory://",
        azure_openai=AzureOpenAISettings(
            endpoint="https://host.example", api_key="password-3", deployment="eyes"
        ),
        deployments=[{"name": "west", "api_key": "password-4"}],
        webhooks={"encryption_keys": ["short", "password-5-of-webhooks"]},
    )

    assert secrets(settings) == {
        "pass%2Fword-1",
        "pass/word-1",
        "redis://:password-2@host",
        "password-2",
        "password-3",
        "password-4",
        "password-5-of-webhooks",
    }
