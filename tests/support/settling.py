"""Bringing a run to rest, so that it can be audited."""

import time

from engine.inputs import Mark, Topic
from tests.support.audit import Audited, audit, unsettled
from tests.support.cluster import Cluster
from tests.support.kafka_log import ends
from tests.support.market import BASE
from tests.support.redis_view import read_all
from tests.support.traffic import Traffic
from tests.support.waiting import wait_until_none

SETTLE_S = 300.0


def settle(cluster: Cluster, traffic: Traffic) -> None:
    """Hold inputs and prices still, and return once the workers have applied, judged and published everything."""
    traffic.hold()
    traffic.sender.flush()
    wait_until_none("every input is applied", lambda: behind(cluster), SETTLE_S)
    held = {
        symbol: Mark(symbol=symbol, price=traffic.market.price(symbol), sequence=0, time_ns=time.time_ns())
        for symbol in BASE
    }
    wait_until_none("every pool stands where its figures say", lambda: unsettled(cluster, held), SETTLE_S)


def settle_and_audit(cluster: Cluster, traffic: Traffic, **options: object) -> Audited:
    """Settle, then check everything."""
    settle(cluster, traffic)
    return audit(cluster, **options)


def behind(cluster: Cluster) -> str | None:
    """None once Redis' watermarks are at the log's ends, else where they are not."""
    metas = read_all(cluster.redis.url).metas
    for topic in Topic:
        for partition, end in ends(cluster.bootstrap, topic).items():
            mark = metas[partition].watermarks.get(topic, 0)
            if mark != end:
                return f"{topic}/{partition}: Redis is at {mark}, the log ends at {end}"
    return None
