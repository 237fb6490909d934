"""What people are told, and through what."""

import logging
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from app.alerts import open_targets
from app.alerts.notify import MOST_LINES, message
from app.errors import ConfigurationError
from app.storage.alerts import AlertRow

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIRING = AlertRow(
    id="alr_1",
    rule="accuracy",
    subject="flowers",
    signal="accuracy",
    state="firing",
    severity="critical",
    value=0.71,
    threshold=0.8,
    description="Too few answers are right.",
    runbook="docs/monitoring.md#accuracy",
    since=NOON,
    seen_at=NOON,
    fired_at=NOON,
)
RESOLVED = replace(FIRING, state="resolved", value=0.9, resolved_at=NOON + timedelta(hours=1))


def test_one_that_fires():
    assert message([FIRING]) == (
        "[critical] accuracy of flowers",
        "Too few answers are right. 71.0%, threshold 80.0%, since 2026-03-01 12:00 UTC. "
        "What to do: docs/monitoring.md#accuracy",
    )


def test_one_that_resolved():
    """Also one that nobody was told of while it fired."""
    title, body = message([RESOLVED])

    assert title == "[resolved] accuracy of flowers"
    assert body.endswith(
        "90.0%, threshold 80.0%, since 2026-03-01 12:00 UTC until 2026-03-01 13:00 UTC."
    )


def test_one_that_there_is_no_data_of():
    _, body = message([replace(RESOLVED, reason="no_data")])

    assert body.endswith("until 2026-03-01 13:00 UTC; there is no more data.")


def test_several_come_in_one_message():
    title, body = message([FIRING, replace(FIRING, subject="animals"), RESOLVED])

    assert title == "Alerts: 2 firing, 1 resolved"
    assert len(body.splitlines()) == 3
    assert body.startswith("[critical] accuracy of flowers: Too few")


def test_very_many_are_counted():
    """A pager takes no book."""
    _, body = message([FIRING] * 500)

    assert len(body.splitlines()) == MOST_LINES + 1
    assert body.endswith("and 480 more: GET /alerts")


@pytest.mark.parametrize(
    ("signal", "value", "shown"),
    [
        ("response_time", 6.04321, "6.043 seconds"),
        ("cost_per_day", 101.5, "101.5 US dollars"),
        ("unhealthy", 2.0, " 2, threshold"),
        ("gone_with_a_plug_in", 2.0, " 2, threshold"),
    ],
)
def test_values_have_units(signal, value, shown):
    _, body = message([replace(FIRING, signal=signal, value=value)])

    assert shown in body


@pytest.mark.parametrize("url", ["sesame", "sesame://open", "slack://sesame", "http://sesame"])
def test_what_apprise_does_not_know_is_refused_at_the_start(url, caplog):
    caplog.set_level(logging.DEBUG)
    fine = SecretStr("json://127.0.0.1:1")
    with pytest.raises(ConfigurationError) as caught:
        open_targets([fine, SecretStr(url)])

    assert "number 2" in str(caught.value)
    assert "sesame" not in f"{caught.value}{caplog.text}"


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ConfigurationError, match="extra `alerts`"):
        open_targets([SecretStr("json://127.0.0.1:1")])

    assert open_targets([]) == ()
