import re
import tomllib

import pytest
import yaml

from deploy.grafana.write_dashboards import ALL, text_of
from streams.observe.metrics import Metrics
from tests.deploy.files import DASHBOARDS, DEPLOY, RUNBOOKS, compose, dashboards, recorded, rules
from tests.deploy.promql import SCRAPE_LABELS, defined_samples, grouping_labels, selectors
from tests.deploy.test_rules import assert_values_exist

PAGES = dashboards()
PANELS = {
    (name, panel["title"]): panel
    for name, page in PAGES.items()
    for panel in page["panels"]
    if panel["type"] != "row"
}
TARGETS = [(*place, target) for place, panel in PANELS.items() for target in panel["targets"]]
ROWS = {
    "risk": ["Risk now", "Bands and calls", "Equity", "Cascade", "Heat map", "Concentration"],
    "pipeline": ["Now", "Latency", "Inputs and events", "Shards and recovery", "Broker and state", "Workers"],
    "prices": ["Feed", "Belief", "Judging"],
}
OVER_AN_HOUR = {"Recovery time", "Quarantined in an hour", "Reader restarts"}


def thresholds(name, title):
    return [step["value"] for step in PANELS[name, title]["fieldConfig"]["defaults"]["thresholds"]["steps"]]


def test_dashboards_that_are_checked_in_are_those_that_make_dashboards_writes():
    assert {path.stem for path in DASHBOARDS} == set(ALL)
    for path in DASHBOARDS:
        assert path.read_text() == text_of(ALL[path.stem]), f"run `make dashboards`: {path.name} is another"


@pytest.mark.parametrize("name", PAGES)
def test_dashboard_has_its_identity_its_rows_and_the_way_to_the_others(name):
    page = PAGES[name]
    assert page["uid"] == f"margin-{name}"
    assert [panel["title"] for panel in page["panels"] if panel["type"] == "row"] == ROWS[name]
    assert page["links"][0]["tags"] == page["tags"] == ["margin"]


@pytest.mark.parametrize(("name", "title"), PANELS)
def test_panel_says_what_it_shows_in_which_unit_and_what_to_do(name, title):
    panel = PANELS[name, title]
    assert len(panel["description"]) > 15
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    (link,) = panel["links"]
    page = re.fullmatch(r"\$\{runbooks\}/(\w+\.md)", link["url"])[1]
    assert (RUNBOOKS / page).exists()
    assert link["title"] == f"Runbook {page.removesuffix('.md')}"


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_panels_of_a_page_have_titles_and_ids_of_their_own(page):
    for field in ("title", "id"):
        values = [panel[field] for panel in page["panels"] if field == "id" or panel["type"] != "row"]
        assert len(set(values)) == len(values)


@pytest.mark.parametrize(("name", "title", "target"), TARGETS)
def test_query_names_its_series_by_labels_that_it_keeps(name, title, target):
    legend = target["legendFormat"]
    assert legend.strip(), (name, title)
    used = set(re.findall(r"\{\{(\w+)\}\}", legend))
    aggregated = grouping_labels(target["expr"])
    if aggregated:
        assert used <= aggregated
    known = set().union(*defined_samples().values()) | SCRAPE_LABELS
    assert used <= known


@pytest.mark.parametrize(("name", "title", "target"), TARGETS)
def test_query_uses_only_metrics_that_exist(name, title, target):
    known = {"up": set(), **defined_samples()}
    for selector in selectors(target["expr"]):
        if ":" in selector.metric:
            assert selector.metric in recorded(), (name, title)
            continue
        assert selector.metric in known, f"{name}, {title}: no metric {selector.metric}"
        assert set(selector.matchers) <= known[selector.metric] | SCRAPE_LABELS
        assert_values_exist(selector)


@pytest.mark.parametrize(("name", "title", "target"), TARGETS)
def test_counters_are_shown_as_rates_over_the_rate_interval(name, title, target):
    expr = target["expr"]
    # A total since start.
    if title == "Quarantined records":
        return
    wanted = "1h" if title in OVER_AN_HOUR else "$__rate_interval"
    for counter in re.findall(r"\w+(?:_total|_bucket|_sum|_count)\b", expr):
        form = rf"(?:rate|increase)\({counter}(?:\{{[^}}]*\}})?\[{re.escape(wanted)}\]\)"
        assert re.search(form, expr), (name, title)
    for window in re.findall(r"\[([^\].]+)\]", expr):
        assert window == wanted


def test_every_metric_of_a_worker_is_shown_or_watched_by_a_rule_or_named_here():
    for_who_asks = {
        "margin_account_state_copied_bytes",
        "margin_account_state_copies",
        "margin_engine_errors",
        "margin_events_refused",
        "margin_heat_map_pools",
        "margin_outbox_withdrawn",
        "margin_policy_refused",
        "margin_quarantine_places",
        "margin_snapshots_written",
        "margin_standby_behind_seconds",
    }
    expressions = [target["expr"] for *_, target in TARGETS] + [rule["expr"] for rule in rules()]
    shown = {selector.metric for expr in expressions for selector in selectors(expr)}
    own = {collector._name for collector in Metrics().registry._names_to_collectors.values()}
    assert {name for name in own if not any(it.startswith(name) for it in shown)} == for_who_asks


def test_thresholds_stand_on_the_lines_of_the_default_policy():
    policy = tomllib.loads((DEPLOY / "policies" / "default.toml").read_text())
    ladder = policy["ladder"]
    lines = [ladder[state] for state in ("liquidation", "reduce_only", "margin_call", "warning")]
    assert thresholds("risk", "Equity / maintenance") == [None, *lines]
    assert thresholds("risk", "Equity over maintenance margin") == [None, *lines]
    assert thresholds("prices", "Oldest prices")[-1] == policy["prices"]["stale_after_seconds"]


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_panels_of_a_row_fill_the_width_and_do_not_overlap(page):
    taken = set()
    for panel in page["panels"]:
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
    for page in PAGES.values():
        variables = {variable["name"]: variable for variable in page["templating"]["list"]}
        assert set(variables) == {"datasource", "runbooks"}
        assert variables["datasource"]["current"]["value"] == source["uid"]
    assert {target["datasource"]["uid"] for *_, target in TARGETS} == {"${datasource}"}


def test_runbooks_are_linked_where_prometheus_hands_them_out():
    command = compose()["services"]["prometheus"]["command"]
    (external,) = (it.partition("=")[2] for it in command if it.startswith("--web.external-url="))
    for page in PAGES.values():
        (variable,) = (it for it in page["templating"]["list"] if it["name"] == "runbooks")
        assert variable["query"] == f"{external}/user"


def test_provider_reads_the_folder_compose_mounts_the_dashboards_into():
    path = DEPLOY / "grafana" / "provisioning" / "dashboards" / "margin.yml"
    (provider,) = yaml.safe_load(path.read_text())["providers"]
    text = (DEPLOY.parent / "docker-compose.yml").read_text()
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in text
    home = compose()["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.removeprefix(provider["options"]["path"] + "/").removesuffix(".json") in PAGES
