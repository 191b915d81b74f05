"""Write the dashboards that Grafana is provisioned with: `make dashboards`.

    python -m deploy.grafana.write_dashboards

What is checked in under `dashboards/` is what this writes; a test compares. Own code and not a builder's library: the one that Grafana
publishes for Python describes editions before the one we run, and is not shorter.
"""

import json
from itertools import count
from pathlib import Path
from typing import Any

from deploy.grafana.panels import WIDTH, Dashboard
from deploy.grafana.pipeline_dashboard import PIPELINE
from deploy.grafana.prices_dashboard import PRICES
from deploy.grafana.risk_dashboard import RISK

DIRECTORY = Path(__file__).parent / "dashboards"
ALL = {"risk": RISK, "pipeline": PIPELINE, "prices": PRICES}
RUNBOOKS_URL = "http://127.0.0.1:9090/user"
"""Where a browser finds `deploy/runbooks`: Prometheus hands them out. Grafana's variable `runbooks` holds it."""


def text_of(dashboard: Dashboard) -> str:
    """The file Grafana reads."""
    return json.dumps(_page(dashboard), indent=1, ensure_ascii=False) + "\n"


def _page(dashboard: Dashboard) -> dict[str, Any]:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["margin"],
        "schemaVersion": 41,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "utc",
        "refresh": "5s",
        "time": {"from": "now-30m", "to": "now"},
        "timepicker": {"refresh_intervals": ["5s", "10s", "30s", "1m"]},
        "templating": {"list": [_data_source(), _runbooks()]},
        "annotations": {"list": [_worker_starts()]},
        "links": [
            {
                "type": "dashboards",
                "title": "Margin",
                "tags": ["margin"],
                "keepTime": True,
                "asDropdown": False,
            }
        ],
        "panels": _placed(dashboard),
    }


def _placed(dashboard: Dashboard) -> list[dict[str, Any]]:
    """Headings and panels from left to right, from top to bottom."""
    numbers, panels, y = count(1), [], 0
    for row in dashboard.rows:
        place = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        panels.append(
            {
                "id": next(numbers),
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": place,
                "panels": [],
            }
        )
        x, y = 0, y + 1
        for panel in row.panels:
            size = panel["gridPos"]
            panels.append({"id": next(numbers), **panel, "gridPos": {"x": x, "y": y, **size}})
            x += size["w"]
            if x == WIDTH:
                x, y = 0, y + size["h"]
    return panels


def _data_source() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {"text": "Prometheus", "value": "prometheus"},
        "hide": 2,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
    }


def _runbooks() -> dict[str, Any]:
    chosen = {"text": RUNBOOKS_URL, "value": RUNBOOKS_URL, "selected": True}
    return {
        "name": "runbooks",
        "label": "Runbooks",
        "type": "constant",
        "query": RUNBOOKS_URL,
        "hide": 2,
        "current": chosen,
        "options": [chosen],
    }


def _worker_starts() -> dict[str, Any]:
    return {
        "name": "Worker starts",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "enable": True,
        "iconColor": "blue",
        "expr": "changes(margin_worker_start_timestamp_seconds[1m]) > 0",
        "titleFormat": "worker started",
        "textFormat": "{{instance}}",
        "step": "5s",
    }


def main() -> None:
    """Write every one."""
    for name, dashboard in ALL.items():
        (DIRECTORY / f"{name}.json").write_text(text_of(dashboard))


if __name__ == "__main__":
    main()
