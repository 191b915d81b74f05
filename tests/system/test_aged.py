"""A worker that has run for long: what a fill costs, and what an account takes in memory and in Redis, does not grow with what was before.

    make test ARGS="tests/system/test_aged.py --aged-fills 1000000"

Fills come in parts of equal size. They are spread over half a day of event time, so that ids are remembered, and forgotten again, as they
are in a day of an exchange; every second account numbers its inputs, and of those nothing is remembered.
"""

import os
import statistics
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
import redis

from engine.inputs import Fill
from streams.store.store_keys import WATERMARK, ShardKeys
from tests.support.cluster import PARTITIONS, Cluster
from tests.support.inputs import deposit
from tests.support.repeater import Repeater
from tests.support.sender import Sender
from tests.support.waiting import wait_for
from tests.support.workers import Worker

pytestmark = pytest.mark.system

FILLS = 60_000
"""In CI."""
LONG_FILLS = 1_000_000
"""From so many on a machine is taken to be quiet: then rates are held against each other too."""
ACCOUNTS, PARTS = 2_000, 20
SPREAD_NS = 12 * 3600 * 10**9
RATE_SHARE_MIN = 0.9
"""Of the last part, to the first."""
COST_SHARE_MAX = 1.5
"""Of the last parts, to the first ones that were not a warm-up, in processor time, which a busy machine changes by its caches alone."""
REDIS_SHARE_MAX, RSS_SHARE_MAX = 1.2, 1.3
"""Of the end, to the middle: by then the accounts remember as many ids as ever."""
APPLIED_S_MAX = 300.0


class Part(NamedTuple):
    """What was seen after a part of the fills."""

    fills_per_second: float
    processor_us_a_fill: float
    """Of the worker and of Redis."""
    redis_bytes_an_account: float
    rss_bytes: int


@pytest.mark.timeout(1800)
def test_fills_when_a_worker_has_taken_very_many_then_each_costs_what_the_first_did(
    cluster: Cluster, request: pytest.FixtureRequest, say: Callable[[str], None]
) -> None:
    fills = int(request.config.getoption("--aged-fills", None) or FILLS)
    worker = cluster.worker()
    sender = Sender(cluster.bootstrap, **{"linger.ms": 5})
    began_ns = time.time_ns() - SPREAD_NS
    with Repeater(Sender(cluster.bootstrap)), cluster.client() as client:
        worker.wait_ready()
        for number in range(ACCOUNTS):
            message = deposit(_name(number), "100000", time_ns=began_ns)
            sender.send("ledger", message.account.encode(), msgspec.json.encode(message))
        sender.flush()
        _applied(client, "ledger", ACCOUNTS)
        parts = []
        for first in range(0, fills, fills // PARTS):
            records = [_record(number, began_ns, fills) for number in range(first, first + fills // PARTS)]
            parts.append(_take(worker, client, sender, first, records))
    assert worker.statuses == []
    assert worker.metric("margin_inputs_applied_total") == fills + ACCOUNTS
    say("\n" + "\n".join(f"{part.fills_per_second:9,.0f} fills/s {part.processor_us_a_fill:6.1f} us a fill "
        f"{part.redis_bytes_an_account:8,.0f} B an account in Redis, RSS {part.rss_bytes / 2**20:5.0f} MiB" for part in parts))  # fmt: skip
    early, middle, late = parts[0], parts[PARTS // 2], parts[-1]
    assert late.redis_bytes_an_account < REDIS_SHARE_MAX * middle.redis_bytes_an_account
    assert late.rss_bytes < RSS_SHARE_MAX * middle.rss_bytes
    costs = [part.processor_us_a_fill for part in parts]
    assert statistics.median(costs[-3:]) < COST_SHARE_MAX * statistics.median(costs[1:4])
    if fills >= LONG_FILLS:
        assert late.fills_per_second >= RATE_SHARE_MIN * early.fills_per_second


def _name(number: int) -> str:
    return f"aged-{number:04}"


def _record(number: int, began_ns: int, fills: int) -> tuple[bytes, bytes]:
    """A lot that is opened, and closed by the account's next."""
    account, turn = number % ACCOUNTS, number // ACCOUNTS
    fill = Fill(
        account=_name(account),
        time_ns=began_ns + number * SPREAD_NS // fills,
        account_seq=turn + 1 if account % 2 else None,
        trade_id=f"trade-{number}",
        symbol="BTC-PERP" if account % 3 else "ETH-PERP",
        side="sell" if turn % 2 else "buy",
        quantity=Decimal("0.001"),
        price=Decimal(50_000 if account % 3 else 3_000),
    )
    return fill.account.encode(), msgspec.json.encode(fill)


def _take(
    worker: Worker, client: redis.Redis, sender: Sender, before: int, records: list[tuple[bytes, bytes]]
) -> Part:
    processor_s, began_s = _processor_s(worker, client), time.monotonic()
    for key, value in records:
        sender.send("fills", key, value)
    sender.flush()
    _applied(client, "fills", before + len(records))
    took_s = time.monotonic() - began_s
    return Part(
        len(records) / took_s,
        (_processor_s(worker, client) - processor_s) / len(records) * 1e6,
        _redis_bytes(client) / ACCOUNTS,
        _rss_bytes(worker),
    )


def _redis_bytes(client: redis.Redis) -> int:
    """All but the trails: these hold the newest 2,000 commits of a shard, however many accounts it has, and grow until they do."""
    trails = (ShardKeys("unimargin", shard).trail for shard in range(PARTITIONS))
    return int(client.info("memory")["used_memory"]) - sum(
        client.memory_usage(it, samples=0) or 0 for it in trails
    )


def _applied(client: redis.Redis, topic: str, records: int) -> None:
    def reached() -> bool:
        marks = [
            client.hget(ShardKeys("unimargin", shard).meta, WATERMARK + topic) for shard in range(PARTITIONS)
        ]
        return sum(int(mark or 0) for mark in marks) == records

    wait_for(f"{records} of {topic} are applied", reached, APPLIED_S_MAX)


def _processor_s(worker: Worker, client: redis.Redis) -> float:
    told = client.info("cpu")
    user, system = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    own = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return own + float(told["used_cpu_user"] + told["used_cpu_sys"])


def _rss_bytes(worker: Worker) -> int:
    pages = int(Path(f"/proc/{worker.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
