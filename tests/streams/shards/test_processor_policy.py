"""A shard that goes over to another policy judges as one that was loaded under it, and books as the event time says."""

from itertools import chain

import msgspec
import pytest

from engine.book.account_book import AccountBook
from engine.book.columnar_book import ColumnarBook
from engine.book.plain_book import PlainBook
from engine.events.effects import AccountRisk, RiskEvent
from engine.inputs import Topic
from engine.ladder import Band
from engine.marks.mark_book import Prices
from engine.policy.timeline import PolicyTimeline, Ruling
from engine.rejections import RejectionCode
from streams.contract.commit import Commit, merge
from streams.contract.record import Record
from streams.shards.processor import ShardProcessor
from tests.support.builders import mark, prices, sample, seconds
from tests.support.inputs import deposit, fill
from tests.support.instants import singly

OLD = sample()
NEW = sample(
    ("maintenance_rate = 0.05\ninitial_rate = 0.1", "maintenance_rate = 0.08\ninitial_rate = 0.16"),
    ("[instruments.ETH-PERP]", "[instruments.SOL-PERP]"),
)
FROM_NS = seconds(10)
TIMELINE = PolicyTimeline([Ruling(0, 0, OLD), Ruling(1, FROM_NS, NEW)])
AT_FIRST = prices(
    {"BTC-PERP": 50000, "BTC-USD": 50000, "USDT-USD": 1, "ETH-PERP": 3000, "ADA-PERP": 1, "USD-PERP": 1}
)
THEN = Prices(
    {it: AT_FIRST.marks[it] for it in AT_FIRST.marks if it != "ETH-PERP"}
    | {"SOL-PERP": mark("SOL-PERP", 150)},
    frozenset(),
    FROM_NS,
)
BOOKS = pytest.mark.parametrize("kind", [ColumnarBook, PlainBook])


class Shard:
    """One that keeps what is durable."""

    def __init__(self, book: AccountBook) -> None:
        self.processor = ShardProcessor(
            3,
            OLD,
            book,
            partition_of=lambda _: 3,
            topics={topic: topic.value for topic in Topic},
            quarantine_topic="quarantine",
            source="/test",
            booking=TIMELINE.booking,
        )
        self.stored = Commit()

    def take(self, topic: Topic, *messages: object) -> Commit:
        start = self.processor.watermarks[topic]
        records = [
            Record(start + number, it.account.encode(), msgspec.json.encode(it))
            for number, it in enumerate(messages)
        ]
        outcome = self.processor.apply(topic, self.processor.decode(topic, records))
        self.stored = merge([self.stored, outcome.commit])
        return outcome.commit

    def say(self, slices: object) -> list[RiskEvent]:
        commits = list(chain.from_iterable(slices))
        self.stored = merge([self.stored, *commits])
        entries = chain.from_iterable(it.outbox for it in commits)
        return [msgspec.json.decode(it.value, type=RiskEvent) for it in entries if it.topic != "quarantine"]


def running(kind: type) -> Shard:
    shard = Shard(kind(OLD))
    at = {"time_ns": seconds(1)}
    shard.take(Topic.LEDGER, *(deposit(name, "6500", **at) for name in "abc"), deposit("d", "90000", **at))
    shard.take(Topic.FILLS, *(fill(name, "1", **at) for name in "abd"))
    assert shard.say(shard.processor.start_judging(AT_FIRST)) == []
    return shard


@BOOKS
def test_policy_when_it_raises_a_tier_then_who_stands_below_a_line_by_it_is_told_at_its_time_with_its_digest(
    kind,
):
    shard = running(kind)
    said = shard.say(shard.processor.rule_by(NEW, THEN))
    # 6,500 of 0.05 * 50,000 is 2.6, and of 0.08 * 50,000 it is 1.625: above every line
    assert said == []
    said = shard.say(shard.processor.on_instants(singly([mark("BTC-PERP", 48000, 2, 11)])))
    # 4,500 of 0.08 * 48,000 = 3,840: 1.17, and by the old tier it were 1.875
    assert {(it.account, it.band, it.policy_digest) for it in said} == {
        (name, Band.MARGIN_CALL, NEW.digest) for name in "ab"
    }
    assert all(it.time_ns >= FROM_NS for it in said)


@BOOKS
def test_policy_when_an_account_is_condemned_by_it_then_at_once_and_not_before_its_time(kind):
    shard = running(kind)
    shard.take(Topic.LEDGER, deposit("a", "1", time_ns=seconds(2)))
    shard.say(shard.processor.settle())
    shard.say(shard.processor.on_instants(singly([mark("BTC-PERP", 47000, 2, 3)])))
    # 3,501 of 0.05 * 47,000 = 2,350: 1.49, and of 0.08 * 47,000 = 3,760 it is 0.93
    said = shard.say(shard.processor.rule_by(NEW, THEN.__class__(
        THEN.marks | {"BTC-PERP": mark("BTC-PERP", 47000, 2, 3)}, frozenset(), FROM_NS
    )))  # fmt: skip
    assert {it.account for it in said if it.band is Band.LIQUIDATION} == {"a", "b"}
    assert {(it.time_ns, it.policy_digest) for it in said} == {(FROM_NS, NEW.digest)}


@BOOKS
def test_policy_when_a_shard_goes_over_then_it_stands_where_one_does_that_was_loaded_under_it(kind):
    shard = running(kind)
    shard.say(shard.processor.on_instants(singly([mark("BTC-PERP", 46500, 2, 3)])))
    stored = shard.stored
    risks = {it: msgspec.json.decode(data, type=AccountRisk) for it, data in stored.risks.items()}
    other = Shard(kind(NEW))
    other.processor.policy = NEW
    other.processor.load(stored.accounts.values(), risks, {})
    then = Prices(THEN.marks | {"BTC-PERP": mark("BTC-PERP", 46500, 2, 3)}, frozenset(), FROM_NS)
    of_other = other.say(other.processor.start_judging(then))
    assert shard.say(shard.processor.rule_by(NEW, then)) == of_other != []
    for name in "abcd":
        assert shard.processor.state(name) == other.processor.state(name)
        assert shard.processor.book.risk(name) == other.processor.book.risk(name)


@BOOKS
@pytest.mark.parametrize("judging", [True, False])
def test_policy_when_inputs_come_while_the_book_is_built_anew_then_none_is_lost(kind, judging):
    shard = running(kind)
    if not judging:
        shard.processor.stop_judging()
    slices = shard.processor.rule_by(NEW, THEN)
    next(slices)
    next(slices)
    shard.take(Topic.LEDGER, deposit("a", "5", time_ns=seconds(11)), deposit("new", "7", time_ns=seconds(11)))
    shard.say(slices)
    shard.say(shard.processor.settle())
    balances = {name: shard.processor.book.state(name).balances["USDT"] for name in ("a", "new")}
    assert balances == {"a": 6505, "new": 7}


def test_fill_when_its_contract_is_listed_from_its_event_time_on_then_booked_whatever_judges_now():
    shard = running(ColumnarBook)
    early = shard.take(Topic.FILLS, fill("c", "1", "SOL-PERP", "150", time_ns=FROM_NS - 1))
    assert shard.processor.state("c").fills.stop.code is RejectionCode.UNKNOWN_INSTRUMENT
    assert len(early.outbox) == 1
    shard.take(Topic.FILLS, fill("d", "1", "SOL-PERP", "150", time_ns=FROM_NS))
    assert shard.processor.state("d").positions["SOL-PERP"].quantity == 1
    # a contract that has left is booked for good
    shard.take(Topic.FILLS, fill("d", "2", "ETH-PERP", "3000", time_ns=FROM_NS + 1))
    assert shard.processor.state("d").positions["ETH-PERP"].quantity == 2
