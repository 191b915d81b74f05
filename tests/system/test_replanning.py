"""A plan that prices have outdated is made anew, also while nothing is said of anybody: that a plan is due is no word by itself."""

import msgspec
import pytest

from engine.events.effects import RiskEvent, Stream
from engine.ladder.table import EventType
from tests.support.cluster import Cluster
from tests.support.inputs import MARKS, deposit, fill, mark
from tests.support.kafka_log import read_topic
from tests.support.sender import Sender
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system


def test_plan_when_outdated_and_nobody_says_anything_then_it_is_replaced(cluster: Cluster) -> None:
    cluster.worker().wait_ready()
    sender = Sender(cluster.bootstrap)
    sender.inputs(deposit("alone", "677"), fill("alone", "0.1"))
    # 677 + 0.1 * (45400 - 50000) = 217, of 45400 * 0.1 * 0.05 = 227 required; then 187 of 225.5: the same band
    first = _plan_at(cluster, sender, "45400", count=1)
    second = _plan_at(cluster, sender, "45100", count=2)
    assert second.replaces == first.liquidation_id
    sender.check()


def _plan_at(cluster: Cluster, sender: Sender, price: str, count: int) -> RiskEvent:
    """Quote this price until so many plans were made; the last of them."""

    def attempt() -> RiskEvent | None:
        for symbol in MARKS:
            sender.prices(mark(symbol, price if symbol == "BTC-PERP" else None), symbol)
        records = read_topic(cluster.bootstrap, Stream.LIQUIDATIONS)
        events = [msgspec.json.decode(it.value or b"", type=RiskEvent) for it in records]
        plans = [it for it in events if it.type is EventType.LIQUIDATION_REQUESTED]
        return plans[-1] if len(plans) == count else None

    return wait_for(f"{count} plans at {price}", attempt)
