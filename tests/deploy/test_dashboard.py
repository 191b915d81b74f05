import re
import tomllib

import pytest
import yaml

from tests.deploy.files import DEPLOY, dashboard, recorded, topics
from tests.deploy.promql import SCRAPE_LABELS, defined_samples, grouping_labels, selectors
from tests.deploy.test_rules import assert_values_exist

PANELS = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
TARGETS = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]
ROWS = ["Risk now", "Cascade", "Events", "Prices", "Durability", "Workers"]


def thresholds(title):
    panel = next(panel for panel in PANELS if panel["title"] == title)
    return [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]


def test_dashboard_has_its_identity_and_its_rows():
    assert dashboard()["uid"] == "margin-overview"
    assert dashboard()["title"] == "Margin / Overview"
    assert [panel["title"] for panel in dashboard()["panels"] if panel["type"] == "row"] == ROWS


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_panel_says_what_it_shows_in_which_unit(panel):
    assert len(panel["description"]) > 10
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]


def test_panels_have_titles_and_ids_of_their_own():
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    identifiers = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(identifiers)) == len(identifiers)


@pytest.mark.parametrize(("title", "target"), TARGETS)
def test_query_names_its_series_by_labels_that_it_keeps(title, target):
    legend = target["legendFormat"]
    assert legend.strip(), title
    used = set(re.findall(r"\{\{(\w+)\}\}", legend))
    aggregated = grouping_labels(target["expr"])
    if aggregated:
        assert used <= aggregated
    known = set().union(*defined_samples().values()) | SCRAPE_LABELS
    assert used <= known


@pytest.mark.parametrize(("title", "target"), TARGETS)
def test_query_uses_only_metrics_that_exist(title, target):
    known = {"up": set(), **defined_samples()}
    for selector in selectors(target["expr"]):
        if ":" in selector.metric:
            assert selector.metric in recorded(), title
            continue
        assert selector.metric in known, f"{title}: no metric {selector.metric}"
        assert set(selector.matchers) <= known[selector.metric] | SCRAPE_LABELS
        assert_values_exist(selector)


@pytest.mark.parametrize(("title", "target"), TARGETS)
def test_counters_are_shown_as_rates_over_the_rate_interval(title, target):
    expr = target["expr"]
    # A total since start, and a rare thing looked at over an hour.
    if title in {"Quarantined records", "Recovery time"}:
        return
    for name in re.findall(r"margin_\w+(?:_total|_bucket|_sum|_count)\b", expr):
        assert re.search(rf"(?:rate|increase)\({name}(?:\{{[^}}]*\}})?\[\$__rate_interval\]\)", expr), title
    for window in re.findall(r"\[([^\]]+)\]", expr):
        assert window == "$__rate_interval"


def test_thresholds_stand_on_the_lines_of_the_default_policy():
    policy = tomllib.loads((DEPLOY / "policies" / "default.toml").read_text())
    ladder = policy["ladder"]
    lines = [ladder[state] for state in ("liquidation", "reduce_only", "margin_call", "warning")]
    assert thresholds("Equity / maintenance") == [None, *lines]
    assert thresholds("Equity over maintenance margin") == [None, *lines]
    assert thresholds("Oldest prices")[-1] == policy["prices"]["stale_after_seconds"]


def test_stat_of_running_shards_is_green_at_the_number_of_partitions_only():
    assert thresholds("Shards running") == [None, topics()["fills"]["partitions"]]


def test_panels_of_a_row_fill_the_width_and_do_not_overlap():
    taken = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    height = max(y for _, y in taken) + 1
    assert taken == {(x, y) for x in range(24) for y in range(height)}


def test_data_source_knows_the_scrape_interval_the_rate_interval_is_made_of():
    prometheus = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    path = DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml"
    (source,) = yaml.safe_load(path.read_text())["datasources"]
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
    (variable,) = dashboard()["templating"]["list"]
    assert variable["current"]["value"] == source["uid"]
    assert {target["datasource"]["uid"] for _, target in TARGETS} == {"${datasource}"}


def test_provider_reads_the_folder_compose_mounts_the_dashboard_into():
    path = DEPLOY / "grafana" / "provisioning" / "dashboards" / "margin.yml"
    (provider,) = yaml.safe_load(path.read_text())["providers"]
    compose = (DEPLOY.parent / "docker-compose.yml").read_text()
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in compose
