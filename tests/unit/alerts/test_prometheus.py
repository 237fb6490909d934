"""What is written for Prometheus, of rules other than those that are shipped."""

import shutil
import subprocess

import pytest
import yaml

from app.alerts import prometheus_rules, read_rules
from app.settings_groups import AlertThresholds

RULE = """\
cost:
  signal: cost_per_day
  above: {above}
  severity: warning
  description: "{description}"
  runbook: "{runbook}"
"""


@pytest.fixture
def written(tmp_path):
    def written(above: str = "5", description: str = "Dear.", runbook: str = "cost-per-day"):
        path = tmp_path / "alerts.yaml"
        path.write_text(RULE.format(above=above, description=description, runbook=runbook))
        return prometheus_rules(read_rules(path, AlertThresholds()))

    return written


@pytest.mark.parametrize(
    ("above", "shown"),
    [
        ("100", "100"),
        ("0.05", "0.05"),
        ("1234567", "1234567"),
        ("0.9999999", "0.9999999"),
        ("-2.50", "-2.5"),
        ("1.0e-7", "1e-07"),
    ],
)
def test_a_threshold_is_what_the_rule_says(written, above, shown):
    """To its last digit."""
    (rule, _) = yaml.safe_load(written(above))["groups"][0]["rules"]

    assert rule["expr"] == f"sum(increase(classifier_cost_usd_total[24h])) > {shown}"


TEST = """\
rule_files: [alerts.rules.yml]
tests:
  - interval: 1h
    input_series:
      - series: classifier_cost_usd_total{deployment="west",domain="flowers"}
        values: 0+10x24
    alert_rule_test:
      - eval_time: 24h
        alertname: ClassifierCost
        exp_alerts:
          - exp_labels: {rule: cost, severity: warning}
            exp_annotations:
"""


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs Prometheus' promtool")
def test_what_looks_like_a_template_is_told_as_it_is_written(written, tmp_path):
    told = {
        "description": "More {{ than }} {{{was}}} {{ $value }} or {{",
        "runbook": "https://wiki.example.com/{{cost}}",
    }
    (tmp_path / "alerts.rules.yml").write_text(written(**told))
    lines = {"summary": "cost: 240"} | told
    test = TEST + "".join(f"              {name}: '{text}'\n" for name, text in lines.items())
    (tmp_path / "alerts.test.yml").write_text(test)
    done = subprocess.run(
        ["promtool", "test", "rules", "alerts.test.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr
