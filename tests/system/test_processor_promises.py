"""The promise inside one shard's memory: what one commit carries, before any server is involved."""

from itertools import chain

import msgspec
import pytest

from engine.book.columnar_book import ColumnarBook
from engine.events.effects import AccountRisk, RiskEvent, Stream
from engine.inputs import AccountInput, Topic
from engine.ladder import Band
from engine.ledger.accounts import decode
from engine.rejections import RejectionCode
from streams.contract.commit import Commit, merge
from streams.contract.record import Record
from streams.kafka.clients import account_partitioner
from streams.shards.input_batch import Outcome
from streams.shards.newest import Newest
from streams.shards.processor import ShardProcessor
from tests.support.builders import mark, prices, sample
from tests.support.inputs import deposit, fill
from tests.support.instants import singly

POLICY = sample(("exit_hold_seconds = 5", "exit_hold_seconds = 0"))
FRESH = prices({"BTC-PERP": 50000, "BTC-USD": 50000, "USDT-USD": 1, "ETH-PERP": 3000})


def make_processor() -> ShardProcessor:
    """An empty shard 0 of one."""
    return ShardProcessor(
        0,
        POLICY,
        ColumnarBook(POLICY),
        partition_of=account_partitioner(1),
        topics={topic: topic.value for topic in Topic},
        quarantine_topic="quarantine",
        source="/test",
    )


@pytest.fixture
def processor() -> ShardProcessor:
    return make_processor()


def record(offset: int, message: AccountInput) -> Record:
    return Record(offset, message.account.encode(), msgspec.json.encode(message))


def apply(processor: ShardProcessor, topic: Topic, *records: Record) -> Outcome:
    return processor.apply(topic, processor.decode(topic, records))


def judge_from(processor: ShardProcessor) -> Commit:
    return merge(list(chain.from_iterable(processor.start_judging(FRESH))))


def falling(processor: ShardProcessor, price: int, sequence: int) -> Commit:
    return merge(
        list(
            chain.from_iterable(
                processor.on_instants(singly([mark("BTC-PERP", price, sequence, at=sequence)]))
            )
        )
    )


def events_of(commit: Commit) -> list[RiskEvent]:
    return [msgspec.json.decode(entry.value, type=RiskEvent) for entry in commit.outbox]


def test_apply_when_an_id_comes_again_later_then_counted_and_not_applied(processor: ShardProcessor) -> None:
    once = fill("alice", "0.1", trade_id="t-1")
    first = apply(processor, Topic.FILLS, record(0, once), record(1, once))
    later = apply(processor, Topic.FILLS, record(2, fill("alice", "0.2")), record(3, once))
    assert (first.applied, first.duplicates, later.applied, later.duplicates) == (1, 1, 1, 1)
    state = decode(later.commit.accounts["alice"])
    assert str(state.positions["BTC-PERP"].quantity) == "0.3"


def test_apply_when_done_then_one_commit_carries_state_ids_and_watermark(processor: ShardProcessor) -> None:
    outcome = apply(
        processor, Topic.LEDGER, record(0, deposit("alice", entry_id="d-1")), record(1, deposit("bob"))
    )
    assert outcome.commit.advance == {Topic.LEDGER: (0, 2)}
    assert set(outcome.commit.accounts) == {"alice", "bob"}
    (applied,) = outcome.commit.ids[Topic.LEDGER, "alice"]
    assert (applied.generation, applied.place) == (1, 0)


def test_apply_when_a_record_comes_below_the_watermark_then_skipped(processor: ShardProcessor) -> None:
    message = deposit("alice")
    apply(processor, Topic.LEDGER, record(0, message))
    again = Record(0, b"alice", msgspec.json.encode(deposit("alice", entry_id="another")))
    assert not apply(processor, Topic.LEDGER, again).commit


def test_apply_when_a_record_is_no_input_then_quarantined_and_its_account_stopped(
    processor: ShardProcessor,
) -> None:
    outcome = apply(processor, Topic.FILLS, Record(7, b"alice", b"{"))
    (entry,) = outcome.commit.outbox
    said = dict(entry.headers)
    assert (entry.topic, entry.key, entry.value) == ("quarantine", b"alice", b"{")
    assert (said["offset"], said["reason"]) == (b"7", RejectionCode.MALFORMED.encode())
    state = decode(outcome.commit.accounts["alice"])
    assert state.fills.stop is not None
    assert outcome.quarantined == {RejectionCode.MALFORMED: 1}


def test_events_when_the_shard_is_taken_over_then_numbering_goes_on(processor: ShardProcessor) -> None:
    # 1 BTC long at 50,000 with 8,000: maintenance 2,500 at 50,000.
    inputs = (
        apply(processor, Topic.LEDGER, record(0, deposit("alice", "8000"))).commit,
        apply(processor, Topic.FILLS, record(0, fill("alice", "1"))).commit,
    )
    judge_from(processor)
    first = falling(processor, 45400, 2)  # (8,000 - 4,600) / 2,270 = 1.498: warning
    (opened,) = events_of(first)
    assert (opened.sequence, opened.band) == (1, Band.WARNING)

    successor = make_processor()
    risks = {name: msgspec.json.decode(risk, type=AccountRisk) for name, risk in first.risks.items()}
    assert risks["alice"].sequences == {Stream.MARGIN_EVENTS: 1}
    stored = [merge(inputs).accounts["alice"]]
    successor.load(stored, risks, {Topic.LEDGER: 1, Topic.FILLS: 1})
    commits = [judge_from(successor), falling(successor, 44000, 3)]
    said = [event for commit in commits for event in events_of(commit)]
    margin = [event for event in said if event.stream is Stream.MARGIN_EVENTS]
    assert [event.sequence for event in margin] == list(range(2, 2 + len(margin)))
    assert said[-1].band is not Band.WARNING


def test_adopt_when_both_streams_tell_of_one_pool_then_the_latest_event_counts(
    processor: ShardProcessor,
) -> None:
    apply(processor, Topic.LEDGER, record(0, deposit("alice", "8000")))
    apply(processor, Topic.FILLS, record(0, fill("alice", "1")))
    judge_from(processor)
    # (price - 42,000) / (price / 20): 1.12 is called, 0.91 liquidated, 1.21 no more but still called, 1.94 well.
    path = [44500, 44000, 44700, 46500]
    commits = [falling(processor, price, number) for number, price in enumerate(path, start=2)]
    told = [event for commit in commits for event in events_of(commit)]
    assert {event.stream for event in told} == set(Stream)
    completed, resolved = told[-2], told[-1]
    assert (completed.stream, completed.band) == (Stream.LIQUIDATIONS, Band.MARGIN_CALL)
    assert (resolved.stream, resolved.band) == (Stream.MARGIN_EVENTS, Band.HEALTHY)
    final = processor.book.risk("alice")
    assert not final.pools, "the story ends well"

    successor, newest = make_processor(), Newest()
    for stream in Stream:
        for event in told:
            if event.stream is stream:
                newest.add(event)
    assert successor.adopt(newest)
    assert successor.book.risk("alice") == final
    assert not successor.adopt(newest), "a second time changes nothing"


def warned_and_called(processor: ShardProcessor) -> list[RiskEvent]:
    """What is said of alice, who holds one contract, while its price falls twice."""
    apply(processor, Topic.LEDGER, record(0, deposit("alice", "8000")))
    apply(processor, Topic.FILLS, record(0, fill("alice", "1")))
    judge_from(processor)
    # (price - 42,000) / (price / 20): 1.4 is warned, 1.12 called
    commits = [falling(processor, price, number) for number, price in enumerate([45165, 44500], start=2)]
    return [event for commit in commits for event in events_of(commit)]


def test_adopt_when_an_older_event_was_published_again_then_the_newer_one_counts(
    processor: ShardProcessor,
) -> None:
    # a Redis restored from an older copy still has the first event in its outbox: it is published once more
    warned, called = warned_and_called(processor)
    assert (warned.band, called.band) == (Band.WARNING, Band.MARGIN_CALL)

    successor, newest = make_processor(), Newest()
    for event in (warned, called, warned):
        newest.add(event)
    assert successor.adopt(newest)
    assert successor.book.risk("alice") == processor.book.risk("alice")


def test_adopt_when_the_log_ends_with_an_old_event_and_a_new_one_of_the_other_stream_then_no_number_goes_back(
    processor: ShardProcessor,
) -> None:
    # rewound twice: the first event was published again by an older copy, the liquidation is not in the copy there is now
    warned, called = warned_and_called(processor)
    escalated, *liquidated = events_of(falling(processor, 44000, 4))
    assert {event.stream for event in liquidated} == {Stream.LIQUIDATIONS}

    successor, first, second = make_processor(), Newest(), Newest()
    for event in (warned, called):
        first.add(event)
    assert successor.adopt(first)
    for event in (warned, *liquidated):
        second.add(event)
    assert [events_of(commit) for commit in successor.adopt(second)] == [[escalated]], "lost, and said again"
    assert successor.book.risk("alice").sequences == {
        Stream.MARGIN_EVENTS: escalated.sequence,
        Stream.LIQUIDATIONS: liquidated[-1].sequence,
    }
    assert escalated.sequence > called.sequence > warned.sequence


def test_settle_when_the_deposit_comes_after_the_fill_it_paid_for_then_nobody_is_called(
    processor: ShardProcessor,
) -> None:
    judge_from(processor)
    fills = apply(processor, Topic.FILLS, record(0, fill("alice", "1")))
    assert not fills.commit.outbox
    assert not falling(processor, 49900, 2).outbox, "judged as it was: without the position"
    apply(processor, Topic.LEDGER, record(0, deposit("alice", "8000")))
    assert not merge(list(chain.from_iterable(processor.settle()))).outbox, "8,000 covers it"
    # and it is judged from here on: (8,000 - 4,600) / 2,270 = 1.498: warning
    (opened,) = events_of(falling(processor, 45400, 3))
    assert opened.band is Band.WARNING


def test_settle_when_a_fill_breaks_a_line_then_the_call_is_said(processor: ShardProcessor) -> None:
    judge_from(processor)
    apply(processor, Topic.LEDGER, record(0, deposit("alice", "3000")))
    apply(processor, Topic.FILLS, record(0, fill("alice", "1")))
    # 3,000 / (5 % of 50,000) = 1.2: warning
    assert [event.band for event in events_of(merge(list(chain.from_iterable(processor.settle()))))] == [
        Band.WARNING
    ]
