"""The dashboard of docs/grafana_panels.py in Grafana's format; `python -m docs.generate` writes it.
Only settings that differ from Grafana's defaults are included."""

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

from docs.grafana_panel import Panel, Query
from docs.grafana_panels import ROWS

SCHEMA = 39
"""The schema of Grafana 11.0; later versions upgrade it automatically."""

SOURCE = {"type": "prometheus", "uid": "${datasource}"}

COLUMNS = 24
SIZES = {"stat": (3, 4), "timeseries": (6, 8)}
"""Width and height."""

WITH_EXEMPLARS = ("classifier_classification_seconds", "classifier_http_request_seconds")


def dashboard() -> str:
    made = {
        "annotations": {"list": [_alerts()]},
        "description": "Whether the service is healthy, and if not, where it fails.",
        "graphTooltip": 1,  # one crosshair for all
        "panels": list(_placed()),
        "refresh": "30s",
        "schemaVersion": SCHEMA,
        "tags": ["classifier"],
        "templating": {"list": [_source(), _choice("instance"), _choice("domain")]},
        "time": {"from": "now-6h", "to": "now"},
        "title": "Image classifier",
        "uid": "classifier",
    }
    return json.dumps(made, indent=2, sort_keys=True) + "\n"


def _placed() -> Iterator[dict[str, Any]]:
    """Below each other, with ids in their order."""
    ids, y = count(1), 0
    for title, panels in ROWS.items():
        place = {"h": 1, "w": COLUMNS, "x": 0, "y": y}
        yield {"gridPos": place, "id": next(ids), "panels": [], "title": title, "type": "row"}
        y += 1
        width, height = SIZES[panels[0].kind]
        across = COLUMNS // width
        for number, panel in enumerate(panels):
            down, right = divmod(number, across)
            place = {"h": height, "w": width, "x": right * width, "y": y + down * height}
            yield {"gridPos": place, "id": next(ids), **_panel(panel)}
        y += -(-len(panels) // across) * height


def _panel(panel: Panel) -> dict[str, Any]:
    told = {
        "datasource": SOURCE,
        "description": panel.about,
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "targets": [_target(panel, *each) for each in zip("ABCDE", panel.queries, strict=False)],
        "title": panel.title,
        "type": panel.kind,
    }
    if panel.kind == "timeseries":
        told["options"] = {"tooltip": {"mode": "multi"}}
    return told


def _target(panel: Panel, name: str, query: Query) -> dict[str, Any]:
    told = {"expr": query.expression, "legendFormat": query.name, "refId": name}
    measured = any(f"{each}_bucket" in query.expression for each in WITH_EXEMPLARS)
    if measured and panel.kind == "timeseries":
        told["exemplar"] = True
    return told


def _field(panel: Panel) -> dict[str, Any]:
    field: dict[str, Any] = {"min": 0, "unit": panel.unit}
    if panel.most is not None:
        field["max"] = panel.most
    if panel.stacked:
        field["custom"] = {"fillOpacity": 30, "stacking": {"group": "A", "mode": "normal"}}
    elif panel.kind == "timeseries" and panel.bad is not None:
        field["custom"] = {"thresholdsStyle": {"mode": "dashed"}}
    if panel.kind == "stat" or panel.bad is not None:
        field["thresholds"] = {"mode": "absolute", "steps": _steps(panel)}
    return field


def _steps(panel: Panel) -> list[dict[str, Any]]:
    if panel.bad is None:
        return [{"color": "text", "value": None}]
    well = "green" if panel.kind == "stat" else "transparent"
    return [{"color": well, "value": None}, {"color": "red", "value": panel.bad}]


def _alerts() -> dict[str, Any]:
    return {
        "datasource": SOURCE,
        "enable": True,
        "iconColor": "red",
        "name": "Alerts of Prometheus",
        "tagKeys": "severity",
        "target": {
            "expr": 'ALERTS{alertname=~"Classifier.+",alertstate="firing"}',
            "refId": "Alerts",
        },
        "textFormat": "{{domain}}{{deployment}}{{check}}",
        "titleFormat": "{{alertname}}",
    }


def _source() -> dict[str, Any]:
    return {
        "label": "Prometheus",
        "name": "datasource",
        "query": "prometheus",
        "type": "datasource",
    }


def _choice(label: str) -> dict[str, Any]:
    """A variable with any number of values; initially all."""
    metric = {"instance": "classifier_build_info", "domain": "classifier_results_total"}[label]
    told = {
        "current": {"text": ["All"], "value": ["$__all"]},
        "datasource": SOURCE,
        "includeAll": True,
        "label": label.capitalize(),
        "multi": True,
        "name": label,
        "query": {"query": f"label_values({metric}, {label})", "refId": label},
        "refresh": 2,  # whenever the time range is changed
        "sort": 1,
        "type": "query",
    }
    if label == "domain":  # which has no values before the first result
        told["allValue"] = ".*"
    return told
