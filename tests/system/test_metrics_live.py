"""A real Prometheus that scrapes a real worker under traffic: every panel and every rule has something to show."""

import math
from pathlib import Path

import pytest

from engine.events.effects import EventType
from engine.rejections import RejectionCode
from streams.observe.metrics import Stage
from tests.deploy.files import DASHBOARDS
from tests.deploy.promql import OF_KAFKA_EXPORTER
from tests.support.cluster import PARTITIONS, Cluster
from tests.support.inputs import deposit, fill
from tests.support.prometheus_server import RealPrometheus, check_all_queries
from tests.support.redis_exporter import redis_exporter
from tests.support.sender import Sender
from tests.support.settling import settle_and_audit
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for
from tests.support.workers import Worker

pytestmark = pytest.mark.system

MAY_BE_EMPTY = ("Worker starts", "What happened to belief", *OF_KAFKA_EXPORTER)


def test_every_panel_and_rule_when_a_worker_has_traffic_then_shows_numbers(
    cluster: Cluster, seed: int, tmp_path: Path
) -> None:
    directory = tmp_path / "prometheus"
    directory.mkdir()
    worker = cluster.worker(HEAT_MAP_SECONDS="1", FUND_TOPIC_ENABLED="true")
    with Traffic(cluster.bootstrap, seed) as traffic:
        worker.wait_ready()
        _make_every_counter_move(worker, cluster)
        address = worker.address()
        assert address is not None
        with (
            redis_exporter(cluster.redis.url, directory) as exporter,
            RealPrometheus([address], directory, redis=exporter) as prometheus,
        ):
            prometheus.wait_for_rates()
            results = check_all_queries(prometheus, DASHBOARDS, MAY_BE_EMPTY)
            assert len(results) > 50
            # A quantile of no observations is NaN by Prometheus' rules; every other number is one.
            strange = {
                expr: sample.value
                for expr, samples in results.items()
                for sample in samples
                if math.isinf(sample.value) or (math.isnan(sample.value) and "histogram_quantile" not in expr)
            }
            assert not strange
            for series in ("fleet:margin_shards_running:sum", "fleet:margin_shards_expected"):
                assert prometheus.query(series)[0].value == PARTITIONS
            settle_and_audit(cluster, traffic)
            _check_totals(worker, cluster)


def _make_every_counter_move(worker: Worker, cluster: Cluster) -> None:
    sender = Sender(cluster.bootstrap)
    sender.send_now(
        "fund", b"all", b'{"type":"fund_balance","group":"all","balances":{"USD":"1"},"time_ns":1}'
    )
    sender.send_now("fills", b"acct-poison", b"{")
    sender.send_now("prices", b"BTC-PERP", b"{")
    sender.inputs(deposit("acct-poison", "1"))
    sender.inputs(
        deposit("acct-executed", "1000"), fill("acct-executed", liquidation_id="acct-executed/cross/1")
    )
    wait_for("an executed liquidation", lambda: worker.metric("margin_liquidated_notional_total"))
    wait_for("a heat map", lambda: "margin_heat_map_notional{" in worker.get("/metrics").body)
    wait_for("a quarantined price", lambda: worker.metric("margin_quarantined_total", topic="prices"))
    wait_for("a duplicate", lambda: worker.metric("margin_inputs_duplicate_total", topic="fills"))
    wait_for("events of a mark", lambda: worker.metric("margin_tick_to_event_seconds_count"), seconds_max=90)
    mark = b'{"type":"mark","symbol":"BTC-PERP","price":"0","sequence":1,"time_ns":0}'
    sender.send_now("prices", b"BTC-PERP", mark)
    wait_for(
        "a refused mark",
        lambda: worker.metric("margin_marks_refused_total", reason=RejectionCode.NOT_POSITIVE),
    )


def _check_totals(worker: Worker, cluster: Cluster) -> None:
    """The worker's own numbers against what lies in Kafka and Redis."""
    accounts = worker.metric("margin_accounts")
    with cluster.client() as client:
        stored = sum(client.hlen(f"unimargin:{{shard-{shard}}}:accounts") for shard in range(PARTITIONS))
    assert accounts == stored
    assert worker.metric("margin_accounts_stopped") == 1
    assert worker.metric("margin_outbox_pending") == 0
    for stage in Stage:
        assert worker.metric("margin_stage_seconds_count", stage=stage) > 0, stage
    for event_type in EventType:
        committed = worker.metric("margin_events_committed_total", type=event_type)
        assert worker.metric("margin_events_published_total", type=event_type) == committed
