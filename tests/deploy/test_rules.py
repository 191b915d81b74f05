import re
import shutil
import subprocess

import pytest
import yaml

from engine.ladder import Band
from streams.shards.shard_standing import Condition
from tests.deploy.files import DASHBOARDS, DEPLOY, RULES, alerts, recorded, rules
from tests.deploy.promql import SCRAPE_LABELS, defined_samples, grouping_labels, selectors

PROMETHEUS = DEPLOY / "prometheus"
UNIT_TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))


def promtool(*arguments):
    binary = shutil.which("promtool")
    assert binary, "promtool is not installed (Debian package: prometheus)"
    return subprocess.run([binary, *arguments], capture_output=True, text=True, check=False)


def test_prometheus_accepts_its_configuration_and_rules():
    result = promtool("check", "config", str(PROMETHEUS / "prometheus.yml"))
    assert result.returncode == 0, result.stderr
    assert f"{len(rules())} rules found" in result.stdout


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_alerts_fire_and_keep_quiet_as_their_unit_tests_say(path):
    result = promtool("test", "rules", str(path))
    assert result.returncode == 0, result.stdout + result.stderr


def test_unit_tests_notice_when_an_alert_is_broken(tmp_path):
    broken = tmp_path / "rules"
    broken.mkdir()
    (tmp_path / "tests").mkdir()
    text = RULES.read_text()
    assert "margin_symbols_stale > 0" in text
    (broken / RULES.name).write_text(text.replace("margin_symbols_stale > 0", "margin_symbols_stale > 2"))
    copy = shutil.copy(PROMETHEUS / "tests" / "prices.yml", tmp_path / "tests")
    result = promtool("test", "rules", str(copy))
    assert result.returncode == 1
    assert "MarginSymbolsStale fires" in result.stdout + result.stderr


def unit_cases():
    cases = {}
    for path in UNIT_TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for case in test["alert_rule_test"]:
                cases.setdefault(case["alertname"], []).append(bool(case["exp_alerts"]))
    return cases


@pytest.mark.parametrize("name", alerts())
def test_alert_has_a_unit_test_that_fires_and_one_that_does_not(name):
    assert set(unit_cases()[name]) == {True, False}


def test_unit_tests_speak_of_existing_alerts_only():
    assert set(unit_cases()) == set(alerts())


@pytest.mark.parametrize("name", alerts())
def test_alert_says_how_bad_it_is_what_it_means_and_where_to_read_on(name):
    alert = alerts()[name]
    assert alert["labels"]["severity"] in {"critical", "warning"}
    annotations = alert["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert annotations["runbook_url"] == f"{{{{ $externalURL }}}}/user/{name}.md"
    assert re.fullmatch(r"[^.]{10,80}", re.sub(r"\{\{.*?\}\}", "x", annotations["summary"]))
    assert annotations["description"].endswith(".")


def test_rules_use_only_metrics_that_a_worker_or_the_api_defines_with_labels_they_have():
    known = defined_samples()
    for rule in rules():
        name = rule.get("alert") or rule["record"]
        for selector in selectors(rule["expr"]):
            if ":" in selector.metric:
                assert selector.metric in recorded(), f"{name}: {selector.metric}"
                continue
            labels = {"up": set(), **known}.get(selector.metric)
            assert labels is not None, f"{name}: no metric {selector.metric}"
            assert set(selector.matchers) <= labels | SCRAPE_LABELS, f"{name}: {selector}"
            assert_values_exist(selector)
        labels_known = set().union(*known.values()) | SCRAPE_LABELS
        assert grouping_labels(rule["expr"]) <= labels_known, name


def assert_values_exist(selector):
    for label, values in (("state", set(Band)), ("condition", set(Condition))):
        if label in selector.matchers:
            assert set(selector.matchers[label].split("|")) <= values, selector


def test_every_recorded_series_is_used_by_an_alert_or_a_panel():
    text = "\n".join(rule["expr"] for rule in rules())
    text += "".join(path.read_text() for path in DASHBOARDS)
    assert [name for name in recorded() if name not in text] == []


def test_selectors_of_an_expression_are_its_metrics_and_nothing_else():
    expr = 'sum by (le) (rate(a_bucket{x="1", y=~"b|c"}[5m])) > 0.5e3 and on () d:e:f offset 5m unless topk(3, g)'
    assert [tuple(found) for found in selectors(expr)] == [
        ("a_bucket", {"x": "1", "y": "b|c"}),
        ("d:e:f", {}),
        ("g", {}),
    ]
