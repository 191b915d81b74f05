"""Counters of liquidations: what was executed, and what is expected to be left unpaid."""

from decimal import Decimal

import msgspec
import pytest

from engine.book.columnar_book import ColumnarBook
from engine.events.effects import EventType
from engine.inputs import Topic
from engine.marks.mark_book import MarkBook
from streams.contract.commit import OutboxEntry
from streams.contract.record import Record
from streams.observe.cascade import Cascade
from streams.observe.metrics import Metrics
from streams.shards.processor import ShardProcessor
from tests.support.builders import mark, sample, trade
from tests.support.wide import wide

D = Decimal


def counting(policy):
    metrics, marks = Metrics(), MarkBook(policy)
    for symbol, price in {"USDT-USD": "0.5", "BTC-USD": 60_000}.items():
        marks.prime(mark(symbol, price))
    return Cascade(policy, marks, metrics), metrics


def liquidated(metrics):
    (family,) = metrics.liquidated_notional_total.collect()
    return {it.labels["symbol"]: it.value for it in family.samples if it.name.endswith("_total")}


def test_executed_when_linear_inverse_and_spot_then_in_account_currency_at_the_fill_price():
    cascade, metrics = counting(wide())
    fills = [
        trade("BTC-PERP", -2, 100, liquidation_id="alice/cross/1"),
        trade("BTC-PERP", 1, 100, liquidation_id="alice/cross/1"),
        trade("BTC-INV", -6, 50_000, liquidation_id="alice/cross/1"),
        trade("BTC-USDT", -3, 70, liquidation_id="alice/cross/1"),
    ]
    cascade.on_executed(fills)
    assert liquidated(metrics) == {
        "BTC-PERP": 150,  # 3 * 100 USDT at 0.5
        "BTC-INV": pytest.approx(720),  # 6 * 100 / 50,000 coins at 60,000
        "BTC-USDT": 105,  # 3 * 70 USDT at 0.5
    }


def entry(event_type, shortfall=None, account="alice", position=None, topic="liquidations"):
    value = {"type": event_type, "account": account, "position": position, "band": "liquidation"}
    if shortfall is not None:
        value["plan"] = {"outcome": "takeover", "expected_shortfall": shortfall}
    return OutboxEntry(topic, 0, account.encode(), msgspec.json.encode(value), (), event_type)


def test_committed_when_a_pool_is_planned_anew_then_only_what_its_shortfall_grew_by_counts():
    cascade, metrics = counting(sample())

    def total():
        return metrics.expected_shortfall_total._value.get()

    cascade.on_committed([entry(EventType.LIQUIDATION_REQUESTED, "0")])
    assert total() == 0
    # into bankruptcy: the verdict carries no plan, the request behind it does
    cascade.on_committed([entry(EventType.ACCOUNT_BANKRUPT), entry(EventType.LIQUIDATION_REQUESTED, "30")])
    assert total() == 30
    cascade.on_committed(
        [entry(EventType.LIQUIDATION_REQUESTED, "20"), entry(EventType.LIQUIDATION_REQUESTED, "45.5")]
    )
    assert total() == 45.5
    # another pool of the account, and another account
    cascade.on_committed(
        [
            entry(EventType.LIQUIDATION_REQUESTED, "1", position="BTC-PERP"),
            entry(EventType.LIQUIDATION_REQUESTED, "2", "bob"),
        ]
    )
    assert total() == 48.5
    # after its end the pool begins anew
    cascade.on_committed(
        [entry(EventType.LIQUIDATION_COMPLETED), entry(EventType.LIQUIDATION_REQUESTED, "10")]
    )
    assert total() == 58.5


def test_committed_when_not_a_liquidation_then_nothing_counts():
    cascade, metrics = counting(sample())
    cascade.on_committed(
        [entry(EventType.CALL_OPENED, topic="margin-events"), entry("quarantine", topic="quarantine")]
    )
    assert metrics.expected_shortfall_total._value.get() == 0


def record(offset, message):
    return Record(offset, b"alice", msgspec.json.encode(message))


def test_processor_when_fills_name_a_liquidation_then_they_are_told_once_and_only_if_applied():
    policy = sample()
    processor = ShardProcessor(
        0,
        policy,
        ColumnarBook(policy),
        partition_of=lambda _: 0,
        topics={topic: topic.value for topic in Topic},
        quarantine_topic="quarantine",
        source="/test",
    )
    executing = trade("USD-PERP", -2, 100, trade_id="x", liquidation_id="alice/cross/1")
    records = [
        record(0, trade("USD-PERP", 5, 100, trade_id="o")),
        record(1, executing),
        record(2, executing),  # sent again
        record(3, trade("NO-SUCH", 1, 100, trade_id="n", liquidation_id="alice/cross/1")),
    ]
    outcome = processor.apply(Topic.FILLS, processor.decode(Topic.FILLS, records))
    assert outcome.executed == (executing,)
    assert (outcome.applied, outcome.duplicates) == (2, 1)
