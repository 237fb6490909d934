"""config/alerts.yaml: what it may say, and how a mistake in it is told."""

from datetime import timedelta

import pytest
from pydantic import TypeAdapter, ValidationError

from app.alerts import Rules, read_rules, signals, written
from app.alerts.rule import Duration
from app.errors import ConfigurationError
from app.settings_groups import AlertThresholds, MonitoringSettings
from tests.alerting import SHIPPED

RULE = """\
slow:
  signal: queue_wait
  above: 3
  window: 5m
  for: 30s
  severity: warning
  description: It takes long.
  runbook: queue-wait
"""


@pytest.fixture
def read(tmp_path):
    path = tmp_path / "alerts.yaml"

    def read(text: str):
        path.write_text(text)
        return read_rules(path, AlertThresholds())

    return read


def test_a_rule_is_read(read):
    (rule,) = read(RULE)

    assert (rule.name, rule.signal) == ("slow", "queue_wait")
    assert (rule.side, rule.threshold) == ("above", 3)
    assert (rule.window, rule.lasting) == (timedelta(minutes=5), timedelta(seconds=30))
    assert rule.runbook == "docs/monitoring.md#queue-wait"


def test_no_rules_are_rules_too(read):
    """Whoever wants to hear nothing."""
    assert read("{}") == ()


def test_a_runbook_may_be_elsewhere(read):
    (rule,) = read(RULE.replace("queue-wait", "https://wiki.example.com/slow"))

    assert rule.runbook == "https://wiki.example.com/slow"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("queue_wait", "mood", ":2: slow.signal: 'mood' is none of accuracy, unseen_accuracy,"),
        ("5m", "5 minutes", ":4: slow.window: must be a whole number and a unit, such as 30s"),
        ("5m", "5", ":4: slow.window: must be a whole number and a unit"),
        ("30s", "soon", ":5: slow.for: must be"),
        ("5m", "401d", ":4: slow.window: must be 400d at most"),
        ("5m", "9601h", ":4: slow.window: must be 400d at most"),
        ("30s", "999999d", ":5: slow.for: must be 400d at most"),
        ("  window: 5m\n", "", ":1: slow: queue_wait needs a window"),
        ("  window: 5m\n", "  window: 0m\n", ":1: slow: queue_wait needs a window"),
        ("  above: 3\n", "", ":1: slow: needs either above or below"),
        ("above: 3", "above: .nan", ":3: slow.above: "),
        ("above: 3", "above: 3\n  below: 2", ":1: slow: needs either above or below"),
        ("above: 3", "above: 3\n  over: 2", ":4: slow.over: "),
        ("warning", "bad", ":6: slow.severity: "),
        ("queue-wait", "Queue wait", ":8: slow.runbook: "),
        ("slow", "Slow down", ":1: Slow down"),
        (
            "above: 3",
            "above: 3\n  domains: [a]",
            ":1: slow: queue_wait is not told by domain",
        ),
        ("queue_wait", "unhealthy", ":1: slow: unhealthy has no window"),
        ("queue_wait", "accuracy", "is the setting monitoring.alert_thresholds.accuracy"),
        (RULE, RULE + RULE, ":9: slow: is there twice"),
        (RULE, "- slow\n", ":1: "),
    ],
)
def test_a_mistake_is_told_with_its_place(read, old, new, complaint):
    with pytest.raises(ConfigurationError) as caught:
        read(RULE.replace(old, new))

    assert complaint in str(caught.value)


def test_a_file_that_is_missing_is_told(tmp_path):
    with pytest.raises(ConfigurationError, match=r"alerts.yaml: No such file"):
        read_rules(tmp_path / "alerts.yaml", AlertThresholds())


def test_a_wrong_file_leaves_the_last_good_rules(tmp_path):
    path = tmp_path / "alerts.yaml"
    path.write_text(RULE)
    rules = Rules(path, AlertThresholds())
    path.write_text(RULE.replace("3", "three"))
    with pytest.raises(ConfigurationError, match=r"alerts.yaml:3: slow.above"):
        rules.reload_file()
    assert rules.all[0].threshold == 3

    path.write_text(RULE.replace("3", "4", 1))
    rules.reload_file()
    assert rules.all[0].threshold == 4


def test_every_signal_is_shipped_with_a_rule():
    """So each is tried, documented and drawn."""
    assert {each.signal for each in read_rules(SHIPPED, AlertThresholds())} == signals().keys()


def test_promised_thresholds_are_those_of_the_settings():
    promised = {name for name, each in signals().items() if each.promised}

    assert promised == AlertThresholds.model_fields.keys()


@pytest.mark.parametrize("text", ["0s", "1s", "90s", "10m", "24h", "26h", "7d", "400d"])
def test_a_duration_comes_back_as_it_was_written(text):
    assert written(TypeAdapter(Duration).validate_python(text)) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("json://host/x", 1),
        ("json://host/x,slack://a/b/c", 2),
        ("mailto://u:p@x.com?to=a@x.com,b@x.com, json://host", 2),
        ("json://a\njson://b", 2),
    ],
)
def test_urls_are_parted_where_one_begins(text, count):
    """They may have commas in them."""
    assert len(MonitoringSettings(notify=text).notify) == count


def test_urls_are_not_shown():
    with pytest.raises(ValidationError) as caught:
        MonitoringSettings(notify=["json://user:sesame@host", 7])

    shown = f"{caught.value} {MonitoringSettings(notify='json://user:sesame@host')!r}"
    assert "sesame" not in shown
