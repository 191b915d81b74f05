"""A price of 0 or below in an input: the instrument decides, and a refused one stops the account as ever."""

import msgspec
import pytest

from engine.book.columnar_book import ColumnarBook
from engine.inputs import Topic
from engine.policy import Policy
from engine.rejections import RejectionCode
from streams.contract.record import Record
from streams.shards.input_batch import Outcome
from streams.shards.processor import ShardProcessor
from tests.support.builders import trade
from tests.support.oil import oil


def applied(policy: Policy, symbol: str, price: str) -> tuple[ShardProcessor, Outcome]:
    processor = ShardProcessor(
        3,
        policy,
        ColumnarBook(policy),
        partition_of=lambda _: 3,
        topics={topic: topic.value for topic in Topic},
        quarantine_topic="quarantine",
        source="/test",
    )
    record = Record(0, b"alice", msgspec.json.encode(trade(symbol, 1, price)))
    return processor, processor.apply(Topic.FILLS, processor.decode(Topic.FILLS, [record]))


@pytest.mark.parametrize("price", ["0", "-37.63"])
def test_fill_when_the_instrument_allows_no_such_price_then_quarantined_and_the_account_stopped(price):
    processor, outcome = applied(oil(), "BTC-PERP", price)
    assert (outcome.applied, outcome.quarantined) == (0, {RejectionCode.OUT_OF_RANGE: 1})
    assert [entry.topic for entry in outcome.commit.outbox] == ["quarantine"]
    state = processor.state("alice")
    assert state is not None
    assert state.fills.stop is not None
    assert (state.fills.stop.code, state.positions) == (RejectionCode.OUT_OF_RANGE, {})


@pytest.mark.parametrize("price", ["0", "-37.63"])
def test_fill_when_the_instrument_allows_it_then_booked(price):
    processor, outcome = applied(oil(), "CL-MAY", price)
    assert (outcome.applied, dict(outcome.quarantined)) == (1, {})
    state = processor.state("alice")
    assert state is not None
    assert state.positions["CL-MAY"].entry_value == 1_000 * trade("CL-MAY", 1, price).price
