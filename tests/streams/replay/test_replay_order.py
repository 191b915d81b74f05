"""The order of a replay's arrivals, and what the time of receipt means in it."""

import pytest

from engine.inputs import Mark, Topic
from engine.marks.plausible_times import NOT_RECEIVED_NS
from engine.policy import Policy
from streams.contract.codec import decode_account_input
from streams.contract.record import Decoded, Record
from streams.replay import runner
from streams.replay.arrivals import PRICES, Arrival, Dates, merged
from streams.replay.runner import Replay
from tests.support.builders import mark, sample, seconds
from tests.support.replay_files import SAMPLE_QUOTES, bought, deposited

POLICY: Policy = sample()


def deposit_at(time_s: int) -> Decoded:
    record = Record(0, b"alice", deposited("alice", 1, at=time_s))
    return Decoded(record, decode_account_input(Topic.LEDGER, record.key, record.value))


def test_dates_when_a_record_is_dated_before_the_one_in_front_then_it_keeps_its_place() -> None:
    dates = Dates()
    found = [dates.next(deposit_at(at), NOT_RECEIVED_NS) for at in (5, 3, 6)]
    assert found == [seconds(5), seconds(5), seconds(6)]


def test_dates_when_a_record_is_dated_far_ahead_then_it_counts_from_its_receipt() -> None:
    dates = Dates()
    # a date of the year 2255 must not push what follows behind everything else
    found = [
        dates.next(deposit_at(at), seconds(received)) for at, received in ((5, 6), (9_000_000_000, 7), (8, 9))
    ]
    assert found == [seconds(5), seconds(7), seconds(8)]


def test_dates_when_a_record_cannot_be_read_then_it_counts_as_dated_like_the_one_in_front() -> None:
    dates = Dates()
    broken = Decoded(Record(1, b"alice", b"{"), decode_account_input(Topic.LEDGER, b"alice", b"{"))
    assert [dates.next(it, NOT_RECEIVED_NS) for it in (deposit_at(5), broken)] == [seconds(5)] * 2


def test_merged_when_dated_alike_then_fills_ledger_prices_then_partition_then_offset() -> None:
    marks: tuple[Mark, ...] = ()
    places = [
        (1, PRICES, 0, 0),
        (2, "fills", 1, 7),
        (2, "ledger", 0, 3),
        (2, "ledger", 0, 4),
        (2, "ledger", 1, 0),
        (2, PRICES, 0, 1),
    ]
    streams = [
        [Arrival(*it, marks) for it in places if it[1:3] == partition]
        for partition in ((PRICES, 0), ("ledger", 1), ("ledger", 0), ("fills", 1))
    ]
    assert [it[:4] for it in merged(streams)] == places


def test_replay_when_marks_are_dated_ahead_of_their_receipt_then_refused_as_a_worker_refuses_them() -> None:
    replay = Replay(POLICY, say=lambda _: None, clock=lambda: 0)
    first = tuple(mark(symbol, price) for symbol, price in SAMPLE_QUOTES.items())
    # the policy tolerates 2 s
    ahead, tolerated = (mark("BTC-PERP", 50_000, at=at, sequence=at) for at in (14, 12))
    for offset, (marks, received) in enumerate((((first), 0), ((ahead,), 11), ((tolerated,), 11))):
        replay.take(Arrival(seconds(received), PRICES, 0, offset, marks, seconds(received)))
    replay.finish()
    assert replay.counts.marks_refused == {"future_dated": 1}
    assert replay.marks.prices.marks["BTC-PERP"] == tolerated


def test_replay_when_batches_are_cut_elsewhere_then_the_same_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def said(cut: int) -> list[bytes]:
        monkeypatch.setattr(runner, "BATCH_MARKS_MAX", cut)
        events: list[bytes] = []
        replay = Replay(POLICY, say=events.append, clock=lambda: 0)
        for arrival in inputs():
            replay.take(arrival)
        first = tuple(mark(symbol, price) for symbol, price in SAMPLE_QUOTES.items())
        replay.take(Arrival(0, PRICES, 0, 0, first))
        fall = [mark("BTC-PERP", 50_000 - 600 * i, sequence=1 + i) for i in range(1, 12)]
        for offset, each in enumerate(fall, 1):
            replay.take(Arrival(0, PRICES, 0, offset, (each,)))
        replay.finish()
        return events

    assert said(1) == said(4) == said(11) != []


def inputs() -> list[Arrival]:
    """1 BTC long from 50,000 with 8,000."""
    found = []
    for topic, data in ((Topic.LEDGER, deposited("alice", 8_000)), (Topic.FILLS, bought("alice", 1, 50_000))):
        decoded = Decoded(Record(0, b"alice", data), decode_account_input(topic, b"alice", data))
        found.append(Arrival(0, topic, 0, 0, decoded))
    return found
