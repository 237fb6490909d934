"""Writes the files that follow from the code: `python -m docs.generate`. A test detects stale
ones."""

import json
from collections.abc import Mapping
from pathlib import Path

from app.alerts import prometheus_rules, read_rules
from app.exports.xsd import schema
from app.main import create_schema_app
from app.settings_groups import AlertThresholds
from benchmarks.kept import Kept
from benchmarks.soak import Soaks
from docs.api_reference import api_reference, errors
from docs.configuration import azure_env_example, configuration, env_example
from docs.grafana import dashboard
from docs.performance import faults, for_readme, performance

ROOT = Path(__file__).resolve().parents[1]


def generated() -> dict[str, str]:
    """Every file and its content, by path from the project's root."""
    app = create_schema_app()
    kept = Kept.read()
    return {
        "README.md": readme(for_readme(kept)),
        ".env.example": env_example(),
        "azure.env.example": azure_env_example(),
        "openapi.json": json.dumps(app.openapi(), indent=1) + "\n",
        "docs/configuration.md": configuration(),
        "docs/errors.md": errors(),
        "docs/export.xsd": schema(),
        "docs/api_reference.md": api_reference(app),
        "docs/performance.md": performance(kept) + faults(Soaks.read()),
        "config/prometheus/alerts.rules.yml": prometheus_rules(
            read_rules(ROOT / "config" / "alerts.yaml", AlertThresholds())
        ),
        "config/grafana/dashboards/classifier.json": dashboard(),
    }


def readme(tables: Mapping[str, str]) -> str:
    """The README as it is, with its tables of figures replaced."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, table in tables.items():
        begin, end = f"<!-- {name}: made by `make docs` -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{table}{end}{rest.partition(end)[2]}"
    return text


def main() -> None:
    for name, content in generated().items():
        (ROOT / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
