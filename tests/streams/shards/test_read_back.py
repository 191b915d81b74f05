"""What a shard finds in its event topics when it takes over: its own words, what contradicts its outbox, and what is no event at all."""

from collections.abc import Sequence

import msgspec
import pytest

from engine.book.plain_book import PlainBook
from engine.events.effects import AccountRisk, EventType, RiskEvent, Stream
from engine.inputs import Topic
from engine.ladder import Band, LadderState
from engine.ledger.accounts import AccountState, encode
from streams.contract.cloudevents import outbox_entry
from streams.contract.commit import Lane, OutboxEntry
from streams.contract.record import Record
from streams.observe.metrics import Metrics
from streams.shards.processor import ShardProcessor
from streams.shards.read_back import QUARANTINED_MAX, ReadBack
from tests.streams.contract.test_cloudevents import EVENT
from tests.support.builders import sample

POLICY = sample()
SHARD = 3
STREAM = Stream.MARGIN_EVENTS


replace = msgspec.structs.replace


class Shard:
    """A processor and what it reads back."""

    def __init__(self, risk: AccountRisk | None = None) -> None:
        self.processor = ShardProcessor(
            SHARD,
            POLICY,
            PlainBook(POLICY),
            partition_of=lambda key: 5 if key == b"elsewhere" else SHARD,
            topics={topic: topic.value for topic in Topic},
            quarantine_topic="quarantine",
            source="/test",
        )
        known = {} if risk is None else {risk.account: risk}
        self.processor.load([encode(AccountState(account)) for account in known], known, {})
        self.metrics = Metrics()
        self.read_back = ReadBack(self.processor.identity, self.metrics)

    def adopt(self, *records: Record) -> list[AccountRisk]:
        self.read_back.take(STREAM, records)
        commits = self.processor.adopt(self.read_back.conclude())
        return [
            msgspec.json.decode(it, type=AccountRisk) for commit in commits for it in commit.risks.values()
        ]

    def foreign(self, reason: str) -> float:
        return self.metrics.quarantined_total.labels(STREAM.value, reason)._value.get()


def event(sequence: int, band: Band = Band.MARGIN_CALL, account: str = "alice") -> RiskEvent:
    return msgspec.structs.replace(
        EVENT,
        account=account,
        position=None,
        sequence=sequence,
        id=f"{account}/{STREAM}/{sequence}",
        time_ns=sequence,
        band=band,
        ladder=LadderState(band=band),
    )


def entry(said: RiskEvent) -> OutboxEntry:
    return outbox_entry(said, SHARD, "/test")


def record(said: RiskEvent, offset: int = 0, **changes: object) -> Record:
    sent = entry(said)
    return Record(offset, sent.key, sent.value, 0, sent.headers)._replace(**changes)


def inherits(shard: Shard, *said: RiskEvent) -> None:
    shard.read_back.inherit({Lane.LIQUIDATIONS: [], Lane.ORDINARY: [entry(it) for it in said]})


def test_conclude_when_the_outbox_was_published_with_the_same_words_then_it_is_published_again():
    shard = Shard(AccountRisk("alice", {"": LadderState(band=Band.MARGIN_CALL)}, {STREAM: 2}))
    inherits(shard, event(1), event(2))
    assert shard.adopt(record(event(1)), record(event(2))) == []
    assert shard.read_back.withdrawn() == {Lane.LIQUIDATIONS: [], Lane.ORDINARY: []}


def test_conclude_when_ids_of_the_outbox_have_another_meaning_then_they_are_withdrawn_and_what_was_said_counts():
    """Redis is a copy from before an earlier rewind: the ids that it was to publish were given away since."""
    told = AccountRisk("alice", {"": LadderState(band=Band.MARGIN_CALL)}, {STREAM: 4})
    shard = Shard(told)
    inherits(shard, event(2), event(3), event(4))
    published = [event(2), event(3, Band.WARNING), event(4, Band.HEALTHY)]
    (adopted,) = shard.adopt(*map(record, published))
    assert shard.read_back.withdrawn()[Lane.ORDINARY] == [1, 2]
    assert adopted.pools.get("", LadderState()).band is Band.HEALTHY
    assert adopted.sequences == {STREAM: 4}


def test_conclude_when_the_outbox_goes_on_behind_what_contradicts_it_then_its_rest_goes_too():
    """It goes on from what nobody has heard: a plan would name a verdict that has another meaning."""
    pools = {"": LadderState(band=Band.REDUCE_ONLY), "BTC": LadderState(band=Band.LIQUIDATION)}
    shard = Shard(AccountRisk("alice", pools, {STREAM: 5}))
    warned = LadderState(band=Band.WARNING)
    of_btc = msgspec.structs.replace(event(5, Band.LIQUIDATION), position="BTC", ladder_before=warned)
    bob = event(1, account="bob")
    inherits(shard, event(3), bob, event(4, Band.REDUCE_ONLY), of_btc)
    (adopted,) = shard.adopt(record(event(3, Band.WARNING)))
    assert shard.read_back.withdrawn()[Lane.ORDINARY] == [0, 2, 3]
    assert adopted.pools == {"": LadderState(band=Band.WARNING), "BTC": warned}, "as was said, and as it was"
    assert adopted.sequences == {STREAM: 3}


@pytest.mark.parametrize("set_back", [True, False])
def test_conclude_when_a_clock_was_set_back_between_both_topics_then_their_numbers_tell_which_event_is_newer(
    *, set_back: bool
):
    """The pool left liquidation for a warning, and then was well; an hour before it had, by the clock of then."""
    completed = replace(
        event(2, Band.WARNING),
        type=EventType.LIQUIDATION_COMPLETED,
        id="alice/liquidations/2",
        other_sequence=3,
        time_ns=10_000 if set_back else 1,
    )
    resolved = replace(
        event(4, Band.HEALTHY), type=EventType.WARNING_RESOLVED, ladder=LadderState(), other_sequence=2
    )
    shard = Shard()
    for stream, said in ((STREAM, resolved), (Stream.LIQUIDATIONS, completed)):
        shard.read_back.take(stream, [record(said)])
    (adopted,) = shard.adopt()
    assert adopted.pools == {}
    assert adopted.sequences == {STREAM: 4, Stream.LIQUIDATIONS: 2}


GOOD = record(event(7))
STRANGE: Sequence[tuple[str, Record]] = [
    ("malformed", Record(1, b"alice", b"", 0, GOOD.headers)),
    ("malformed", Record(1, b"alice", None, 0, GOOD.headers)),
    ("malformed", Record(1, b"alice", b"hello", 0, GOOD.headers)),
    ("malformed", Record(1, None, b'{"strange":' + b'{"x":' * 100_000)),
    ("malformed", Record(1, None, GOOD.value[:-5], 0, GOOD.headers)),
    ("wrong_shape", Record(1, b"alice", b"{}")),
    ("wrong_shape", Record(1, b"alice", b"[1]")),
    ("wrong_shape", Record(1, b"alice", b'{"type": "margin.call.opened"}')),
    ("wrong_shape", Record(1, b"alice", b'{"type": "of.a.newer.edition"}')),
    (
        "wrong_shape",
        Record(1, b"alice", b'{"id":"x","account":"alice","sequence":99,"type":"of.a.newer.edition"}'),
    ),
    ("wrong_shape", record(event(9), 1, headers=())),
    ("wrong_shape", record(event(9), 1, headers=(("ce_id", None),))),
    ("wrong_shape", record(event(9), 1, headers=(("ce_id", b"\xff"), ("x", b"")))),
    ("key_mismatch", record(event(9), 1, key=None)),
    ("key_mismatch", record(event(9), 1, key=b"bob")),
    ("wrong_partition", record(event(9, account="elsewhere"), 1)),
]


@pytest.mark.parametrize(("reason", "strange"), STRANGE)
def test_take_when_a_record_is_no_event_of_ours_then_passed_over_counted_and_kept(
    reason: str, strange: Record
):
    shard = Shard()
    (adopted,) = shard.adopt(record(event(1)), strange, record(event(2, Band.WARNING), offset=2))
    assert adopted.sequences == {STREAM: 2}
    assert shard.foreign(reason) == 1
    (kept,) = shard.read_back.quarantined
    headers = dict(kept.headers)
    assert (kept.topic, headers["ce_id"], headers["reason"]) == (
        "quarantine",
        b"margin-events/3/1",
        reason.encode(),
    )
    assert kept.value == (strange.value or b"")


def test_take_when_an_event_is_of_a_newer_edition_then_its_number_is_taken():
    """Its id has a meaning, which must not be given to another event."""
    value = (
        b'{"id":"alice/margin-events/3","account":"alice","sequence":3,"type":"of.a.newer.edition","news":{}}'
    )
    newer = Record(2, b"alice", value, 0, (("ce_id", b"alice/margin-events/3"),))
    shard = Shard()
    (adopted,) = shard.adopt(record(event(2)), newer)
    assert adopted.sequences == {STREAM: 3}
    assert adopted.pools == {"": LadderState(band=Band.MARGIN_CALL)}
    assert shard.read_back.quarantined == []


def test_take_when_a_topic_is_flooded_then_so_many_are_kept_and_all_are_counted():
    shard = Shard()
    shard.adopt(*(Record(offset, b"x", b"{}") for offset in range(3 * QUARANTINED_MAX)))
    assert len(shard.read_back.quarantined) == QUARANTINED_MAX
    assert shard.foreign("wrong_shape") == 3 * QUARANTINED_MAX
