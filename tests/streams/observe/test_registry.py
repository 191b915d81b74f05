"""What every process tells of itself, beside its own metrics."""

import pytest
from prometheus_client import generate_latest

from streams.desk.api_metrics import ApiMetrics
from streams.desk.notify.notify_metrics import NotifyMetrics
from streams.observe.metrics import Metrics


@pytest.mark.parametrize("metrics", [Metrics, ApiMetrics, NotifyMetrics])
def test_metrics_when_scraped_then_the_process_is_in_them_and_no_created_series(metrics) -> None:
    told = metrics()
    for collector in set(told.registry._names_to_collectors.values()):
        if not collector._labelnames and hasattr(collector, "inc"):
            collector.inc()
    names = {
        line.partition("{")[0].partition(" ")[0]
        for line in generate_latest(told.registry).decode().splitlines()
    }
    assert names >= {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"}
    assert [name for name in names if name.endswith("_created")] == []
