"""How panels look: from title, description, queries and runbook to the JSON that Grafana reads.

One function a kind of panel. A dashboard is rows of them; places come from the widths, so a row of panels is a list and nothing more.
"""

from typing import Any, NamedTuple

Panel = dict[str, Any]
Steps = list[tuple[str, float | None]]
"""Colours from a value on; the first has none, and holds below all others."""

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
BLUE: Steps = [("blue", None)]
LADDER_LINES: Steps = [("dark-red", None), ("red", 1.0), ("orange", 1.05), ("yellow", 1.2), ("green", 1.5)]
"""The lines of the default policy, for ratios."""
BAND_COLORS = {
    "healthy": "green",
    "warning": "yellow",
    "margin_call": "orange",
    "reduce_only": "dark-orange",
    "liquidation": "red",
    "bankrupt": "dark-red",
}
STAT_HEIGHT, HEIGHT, WIDTH = 4, 8, 24
NEWEST = {"calcs": ["lastNotNull"], "fields": "", "values": False}


class Row(NamedTuple):
    """Panels under one heading; their widths fill whole lines of `WIDTH`."""

    title: str
    panels: list[Panel]


class Dashboard(NamedTuple):
    """One page."""

    uid: str
    title: str
    description: str
    rows: list[Row]


def _panel(
    kind: str,
    title: str,
    description: str,
    queries: dict[str, str],
    *,
    runbook: str,
    unit: str,
    width: int,
    options: Panel,
    steps: Steps = BLUE,
    colors: dict[str, str] | None = None,
    custom: Panel | None = None,
    target: Panel | None = None,
    **defaults: Any,
) -> Panel:
    """`queries`: expression by legend. `runbook`: the alert whose page tells what to do when this looks wrong."""
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "links": [{"title": f"Runbook {runbook}", "url": f"${{runbooks}}/{runbook}.md", "targetBlank": True}],
        "gridPos": {"w": width, "h": STAT_HEIGHT if kind == "stat" else HEIGHT},
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": SOURCE,
                "editorMode": "code",
                "expr": expr,
                "legendFormat": legend,
                **(target or {"range": True}),
            }
            for number, (legend, expr) in enumerate(queries.items())
        ],
        "options": options,
        "fieldConfig": {
            "defaults": {
                "unit": unit,
                "thresholds": {
                    "mode": "absolute",
                    "steps": [{"color": color, "value": value} for color, value in steps],
                },
                "custom": custom or {},
                "mappings": [],
                **{name: value for name, value in defaults.items() if value is not None},
            },
            "overrides": [_colored(name, color) for name, color in (colors or {}).items()],
        },
    }


def _colored(series: str, color: str) -> Panel:
    return {
        "matcher": {"id": "byName", "options": series},
        "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}],
    }


def stat(title: str, description: str, queries: dict[str, str], **how: Any) -> Panel:
    """One number, coloured by its steps."""
    options = {
        "colorMode": "background_solid",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "value",
        "reduceOptions": NEWEST,
    }
    target = {"range": False, "instant": True}
    return _panel(
        "stat", title, description, queries, options=options, target=target, noValue="no data", **how
    )


def line(
    title: str,
    description: str,
    queries: dict[str, str],
    *,
    least: float | None = 0,
    highest: float | None = None,
    stacked: bool = False,
    logarithmic: bool = False,
    steps: Steps = BLUE,
    **how: Any,
) -> Panel:
    """Series over time; `steps` are drawn as lines."""
    options = {
        "legend": {
            "displayMode": "table",
            "placement": "bottom",
            "calcs": ["lastNotNull", "max"],
            "showLegend": True,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    custom = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 30 if stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "off" if steps is BLUE else "line"},
        "axisPlacement": "auto",
        "scaleDistribution": {"type": "log", "log": 10} if logarithmic else {"type": "linear"},
    }
    return _panel(
        "timeseries",
        title,
        description,
        queries,
        options=options,
        custom=custom,
        steps=steps,
        min=least,
        max=highest,
        **how,
    )


def stack(title: str, description: str, queries: dict[str, str], **how: Any) -> Panel:
    """Series over time that add up."""
    return line(title, description, queries, stacked=True, **how)


def bars(
    title: str, description: str, queries: dict[str, str], *, gradient: bool = False, **how: Any
) -> Panel:
    """A bar for each series, now."""
    options = {
        "displayMode": "gradient" if gradient else "basic",
        "orientation": "horizontal",
        "showUnfilled": True,
        "valueMode": "color",
        "namePlacement": "auto",
        "reduceOptions": NEWEST,
    }
    color = {"mode": "continuous-YlRd"} if gradient else None
    target = {"range": False, "instant": True}
    return _panel(
        "bargauge", title, description, queries, options=options, target=target, min=0, color=color, **how
    )


def heat(
    title: str,
    description: str,
    queries: dict[str, str],
    *,
    rows_unit: str,
    of_buckets: bool = False,
    **how: Any,
) -> Panel:
    """Series over time as rows of colour; `of_buckets`: they are a histogram's."""
    options = {
        "calculate": False,
        "yAxis": {"unit": rows_unit, "axisPlacement": "left"},
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 32, "exponent": 0.5},
        "cellGap": 1,
        "filterValues": {"le": 1e-09},
        "legend": {"show": True},
        "tooltip": {"mode": "single", "yHistogram": False},
        "rowsFrame": {"layout": "auto"},
    }
    target = {"range": True, "format": "heatmap" if of_buckets else "time_series"}
    custom = {"scaleDistribution": {"type": "linear"}}
    return _panel(
        "heatmap", title, description, queries, options=options, target=target, custom=custom, **how
    )
