"""The panels and rules against a real Prometheus that scrapes a real endpoint with a worker's metrics on it."""

import math
import threading
import time
from urllib.request import urlopen

import pytest
from prometheus_client import Counter, Gauge, Histogram, start_http_server

from engine.ladder import Band
from engine.marks.notices import NoticeKind
from streams.observe.metrics import Metrics, Stage
from streams.prices.price_desk import Judged
from streams.shards.shard_standing import Condition
from streams.shards.shards import RATIO_EDGES
from tests.deploy.files import DASHBOARDS, alerts
from tests.deploy.promql import OF_KAFKA_EXPORTER
from tests.support.prometheus_server import (
    QueryFailedError,
    RealPrometheus,
    check_all_queries,
    free_port,
)
from tests.support.redis_exporter import redis_exporter

# Every label of a worker's metrics, with values it can take: a new label must be added here.
LABEL_VALUES = {
    "step": ["apply", "judge"],
    "version": ["0.3.0"],
    "policy": ["default@1"],
    "symbol": ["BTC-USDT", "ETH-USDT"],
    "reason": ["malformed", "price_jump"],
    "topic": ["fills", "ledger"],
    "partition": ["0", "1"],
    "state": list(Band),
    "ratio": [str(edge) for edge in RATIO_EDGES],
    "path": ["screen", "exact"],
    "judged": list(Judged),
    "move": ["-0.1", "0", "0.1"],
    "type": ["margin.call.opened", "liquidation.requested"],
    "condition": list(Condition),
    "loop": ["prices", "outbox"],
    "shard": ["0", "1"],
    "due": ["plan", "detail"],
    "kind": list(NoticeKind),
    "cause": ["instant", "batch", "window"],
    "group": ["all", "major"],
    "stage": list(Stage),
}


def children(collector):
    """Every child of a metric, for the product of its label values."""
    combinations = [{}]
    for label in collector._labelnames:
        combinations = [{**taken, label: value} for taken in combinations for value in LABEL_VALUES[label]]
    return [collector.labels(**labels) if labels else collector for labels in combinations]


def exercise(metrics):
    """Move every metric once."""
    for collector in set(metrics.registry._names_to_collectors.values()):
        for child in children(collector):
            match collector:
                case Counter():
                    child.inc()
                case Histogram():
                    child.observe(0.004)
                case Gauge():
                    child.set(time.time() if "timestamp" in collector._name else 3)


@pytest.fixture(scope="module")
def worker_address():
    """The address of an endpoint whose metrics move all the time, served by the library a worker uses."""
    metrics, port, stop = Metrics(), free_port(), threading.Event()

    def run():
        while not stop.wait(0.1):
            exercise(metrics)

    exercise(metrics)
    server, server_thread = start_http_server(port, addr="127.0.0.1", registry=metrics.registry)
    thread = threading.Thread(target=run)
    thread.start()
    yield f"127.0.0.1:{port}"
    stop.set()
    thread.join()
    server.shutdown()
    server.server_close()
    server_thread.join()


@pytest.fixture(scope="module")
def prometheus(worker_address, real_redis, tmp_path_factory):
    directory = tmp_path_factory.mktemp("prometheus")
    with (
        redis_exporter(real_redis.url, directory) as exporter,
        RealPrometheus([worker_address], directory, redis=exporter) as server,
    ):
        server.wait_for_rates()
        yield server


def test_every_panel_and_every_recorded_series_shows_numbers(prometheus):
    results = check_all_queries(prometheus, DASHBOARDS, may_be_empty=["Worker starts", *OF_KAFKA_EXPORTER])
    assert len(results) > 50
    for expr, samples in results.items():
        assert all(math.isfinite(sample.value) for sample in samples), expr


def test_numbers_are_those_of_the_endpoint(prometheus, worker_address):
    assert prometheus.query("state:margin_accounts:sum{state='bankrupt'}")[0].value == 3
    assert prometheus.query("fleet:margin_shards_expected")[0].value == 3
    p99 = prometheus.query("fleet:margin_tick_to_event_seconds:p99_5m")[0].value
    assert 0.003 < p99 <= 0.005, "observations of 4 ms lie in the bucket from 3 to 5 ms"
    (rate,) = prometheus.query("sum by (instance) (rate(margin_marks_accepted_total[5s]))")
    assert rate.labels["instance"] == worker_address
    assert 1 < rate.value < 25, "two symbols, at most ten times a second each"


def test_alerts_that_the_numbers_call_for_fire_and_link_to_a_runbook_that_is_served(prometheus):
    prometheus.wait_until(
        lambda: bool(prometheus.query('ALERTS{alertname="MarginShardStopped", alertstate="firing"}')),
        "firing",
    )
    firing = {rule["name"]: rule["alerts"] for rule in prometheus.rules() if rule.get("state") == "firing"}
    assert {"MarginShardStopped", "MarginAccountStopped", "MarginAccountBankrupt"} <= set(firing)
    assert "MarginPricesStopped" not in firing
    for name in alerts():
        with urlopen(f"{prometheus.url}/user/{name}.md", timeout=5) as response:
            assert response.read().startswith(f"# {name}\n".encode())
    annotations = firing["MarginShardStopped"][0]["annotations"]
    assert "Stopped shards: 3." in annotations["description"]
    assert annotations["runbook_url"].endswith("/user/MarginShardStopped.md")


def test_an_expression_that_does_not_parse_is_an_error_and_not_an_empty_answer(prometheus):
    with pytest.raises(QueryFailedError, match="parse error"):
        prometheus.query("sum(up")


def test_check_names_the_panels_without_series_when_a_target_exposes_nothing(tmp_path):
    with (
        RealPrometheus([f"127.0.0.1:{free_port()}"], tmp_path) as empty,
        pytest.raises(AssertionError, match="Accounts by state: no series"),
    ):
        check_all_queries(empty, DASHBOARDS)
