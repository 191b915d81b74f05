"""What the demo computes from what it sees."""

import math
import time
from decimal import Decimal

import msgspec
import pytest

from engine.inputs import Mark
from streams.demo import hold
from streams.demo.demo_view import bar, sparkline
from streams.demo.scrape import WorkerMetrics, histogram_quantile

PAGE = """\
# TYPE margin_worker_start_timestamp_seconds gauge
margin_worker_start_timestamp_seconds {started}
# TYPE margin_inputs_applied_total counter
margin_inputs_applied_total{{topic="fills"}} {fills}
# TYPE margin_accounts gauge
margin_accounts{{state="healthy"}} {healthy}
"""


@pytest.mark.parametrize(
    ("q", "seconds"),
    [
        (0.25, 0.0025),  # rank 25 of the 50 in (0, 0.005]
        (0.50, 0.005),
        (0.74, 0.0075),  # rank 74: the 24th of the 48 in (0.005, 0.01]
        (0.99, 0.01),  # rank 99 lies beyond the last finite edge
    ],
)
def test_histogram_quantile_when_observed_interpolates_inside_the_bucket(q: float, seconds: float) -> None:
    assert histogram_quantile({0.005: 50, 0.01: 98, math.inf: 100}, q) == pytest.approx(seconds)


def test_histogram_quantile_when_nothing_was_observed_is_none() -> None:
    assert histogram_quantile({0.005: 0, math.inf: 0}, 0.5) is None
    assert histogram_quantile({}, 0.5) is None


def test_worker_metrics_when_a_worker_restarts_keep_its_counters_and_not_its_gauges() -> None:
    metrics = WorkerMetrics(["http://127.0.0.1:1/metrics"])
    worker = metrics._workers[0]
    worker.take(PAGE.format(started=1, fills=70, healthy=5))
    worker.take(PAGE.format(started=1, fills=80, healthy=6))
    worker.take(PAGE.format(started=2, fills=3, healthy=4))
    assert metrics.total("margin_inputs_applied_total") == 80 + 3
    assert metrics.by("topic", "margin_inputs_applied_total") == {"fills": 80 + 3}
    assert metrics.by("state", "margin_accounts") == {"healthy": 4}


def test_sparkline_when_prices_fall_falls() -> None:
    assert sparkline([8, 7, 6, 5, 4, 3, 2, 1], 8) == "█▇▆▅▄▃▂▁"
    assert sparkline(list(range(100)), 10)[-1] == "█"
    assert len(sparkline(list(range(100)), 10)) == 10
    assert sparkline([5, 5], 8) == "▁▁"
    assert not sparkline([], 8)


def test_bar_when_a_part_is_tiny_is_still_seen() -> None:
    assert bar(1, 4) == "████"
    assert bar(0.5, 4) == "██"
    assert bar(0.0001, 4) == "▏"
    assert not bar(0, 4)


async def test_held_prices_when_repeated_then_the_whole_mark_dated_now_under_the_next_number() -> None:
    saved = Mark(
        "BTC-PERP", Decimal(100), 7, 5, funding_rate=Decimal("0.001"), open_interest=Decimal(9), epoch=2
    )
    sent: list[tuple[str, Mark, bytes]] = []

    class Store:
        async def marks(self, shard: int) -> dict[str, bytes]:
            return {"BTC-PERP": msgspec.json.encode(saved)} if shard == 0 else {}

    class Producer:
        async def send_and_wait(self, topic: str, value: bytes, key: bytes) -> None:
            sent.append((topic, msgspec.json.decode(value, type=Mark), key))

    before_ns = time.time_ns()
    await hold._repeat(Store(), Producer(), "prices")  # type: ignore[arg-type]
    ((topic, mark, key),) = sent
    assert (topic, key) == ("prices", b"BTC-PERP")
    assert before_ns <= mark.time_ns <= time.time_ns()
    assert mark == msgspec.structs.replace(saved, sequence=8, time_ns=mark.time_ns)
