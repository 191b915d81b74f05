"""An operator's commands to a shard: what becomes of them, that each acts once, and that none can move money."""

from collections.abc import Iterator
from itertools import chain
from typing import Any, get_args

import msgspec
import pytest

from engine.book.columnar_book import ColumnarBook
from engine.inputs import Resume, Topic
from engine.rejections import RejectionCode
from streams.contract.commit import Commit, OutboxEntry
from streams.contract.operator_command import (
    AccountsResume,
    BreakerRelease,
    BreakerVoid,
    CommandRefusal,
    NamedStop,
    OperatorCommand,
    OperatorOutcome,
    decode_operator_record,
)
from streams.contract.record import Record
from streams.shards.processor import ShardProcessor
from tests.support.builders import prices, sample
from tests.support.inputs import deposit, fill

POLICY = sample()
MARKS = prices(
    {"BTC-PERP": 50000, "BTC-USD": 50000, "USDT-USD": 1, "ETH-PERP": 3000, "ADA-PERP": 1, "USD-PERP": 1}
)
SAID = {"who": "desk", "why": "booked by hand", "time_ns": 5}


class Shard:
    """Shard 3, in which `stopped` missed a fill; `held` and it have money and a position."""

    def __init__(self) -> None:
        self.processor = ShardProcessor(
            3,
            POLICY,
            ColumnarBook(POLICY),
            partition_of=lambda key: 4 if key == b"elsewhere" else 3,
            topics={Topic.FILLS: "fills-of-here", Topic.LEDGER: "ledger-of-here"},
            quarantine_topic="quarantine",
            source="/test",
            operator_topic="operator-of-here",
        )
        self.take(Topic.LEDGER, deposit("held", "9000"), deposit("stopped", "9000"))
        self.take(Topic.FILLS, fill("held", "1", account_seq=1), fill("stopped", "1", account_seq=1))
        self.take(Topic.FILLS, fill("stopped", "1", account_seq=3))
        list(self.processor.start_judging(MARKS))

    def take(self, topic: Topic, *messages: Any) -> Commit:
        start = self.processor.watermarks[topic]
        records = [
            Record(
                start + number, it.account.encode(), it if isinstance(it, bytes) else msgspec.json.encode(it)
            )
            for number, it in enumerate(messages)
        ]
        return self.processor.apply(topic, self.processor.decode(topic, records)).commit

    def operate(self, command: OperatorCommand, *, told: bool = False) -> list[OutboxEntry]:
        commits = chain.from_iterable(self.processor.operate(command, told=told))
        return list(chain.from_iterable(it.outbox for it in commits))

    def money(self) -> dict[str, Any]:
        states = {name: self.processor.state(name) for name in ("held", "stopped")}
        return {name: (it.balances, it.positions, it.isolated) for name, it in states.items()}


def resume(*stops: NamedStop, **fields: Any) -> AccountsResume:
    return AccountsResume(**{"id": "op-1", **SAID, **fields}, stops=stops)


def outcome_of(entry: OutboxEntry) -> OperatorOutcome:
    assert (entry.topic, entry.partition) == ("operator-of-here", 0)
    said = decode_operator_record(entry.value)
    assert isinstance(said, OperatorOutcome)
    return said


STOP = NamedStop("stopped", Topic.FILLS, 2)


def test_resume_when_the_account_is_stopped_so_then_written_among_its_inputs_and_put_on_record_in_one_commit():
    shard = Shard()
    (commit,) = chain.from_iterable(shard.processor.operate(resume(STOP, next_account_seq=3)))
    written, said = commit.outbox
    assert (written.topic, written.partition, written.key) == ("fills-of-here", 3, b"stopped")
    entry = msgspec.json.decode(written.value, type=Resume)
    assert (entry.entry_id, entry.stop_offset, entry.next_account_seq) == ("op-1", 2, 3)
    assert entry.reason == "booked by hand (by desk)"
    told = outcome_of(said)
    assert (told.command_id, told.shard, told.outcome, told.detail) == (
        "op-1",
        3,
        "applied",
        "1 of 1 stops lifted",
    )
    # nothing has changed before the record has come back in its place
    assert shard.processor.state("stopped").fills.stop.code is RejectionCode.SEQUENCE_GAP
    shard.take(Topic.FILLS, entry, fill("stopped", "2", account_seq=3))
    assert shard.processor.state("stopped").positions["BTC-PERP"].quantity == 3


def test_resume_when_it_comes_again_or_a_crash_has_it_written_twice_then_it_lifts_no_later_stop():
    shard = Shard()
    written, _ = shard.operate(resume(STOP, next_account_seq=3))
    again, _ = shard.operate(resume(STOP, next_account_seq=3))
    assert again == written
    other, _ = shard.operate(resume(STOP, id="op-2"))
    first, second = (msgspec.json.decode(it.value, type=Resume) for it in (written, other))
    shard.take(Topic.FILLS, first, fill("stopped", "1", account_seq=5), first, second)
    assert shard.processor.state("stopped").fills.stop.offset == 4
    (said,) = shard.operate(resume(STOP))
    assert outcome_of(said).code is CommandRefusal.NOT_STOPPED_SO
    assert shard.operate(resume(STOP), told=True) == []


@pytest.mark.parametrize(
    "stop",
    [
        NamedStop("stopped", Topic.FILLS, 1),
        NamedStop("stopped", Topic.LEDGER, 2),
        NamedStop("held", Topic.FILLS, 2),
        NamedStop("nobody", Topic.FILLS, 2),
    ],
)
def test_resume_when_nobody_is_stopped_so_then_refused_with_a_code_and_nothing_written(stop):
    (said,) = Shard().operate(resume(stop))
    told = outcome_of(said)
    assert (told.outcome, told.code, told.detail) == ("refused", "not_stopped_so", "0 of 1 stops lifted")


def test_resume_when_some_are_of_another_shard_then_each_shard_says_what_became_of_its_own():
    shard = Shard()
    elsewhere = NamedStop("elsewhere", Topic.FILLS, 2)
    *written, said = shard.operate(resume(elsewhere, STOP))
    assert ([it.key for it in written], outcome_of(said).detail) == ([b"stopped"], "1 of 1 stops lifted")
    assert shard.operate(resume(elsewhere)) == []
    assert shard.operate(resume(STOP, shard=2)) == []


def test_resume_when_kafka_does_not_let_the_worker_write_then_refused_with_a_code():
    shard = Shard()
    written, _ = shard.operate(resume(STOP))
    (said,) = shard.processor.operator_records.not_resumed(written, PermissionError("no")).outbox
    told = outcome_of(said)
    assert (told.command_id, told.outcome, told.code) == ("op-1", "refused", "not_allowed")
    assert told.detail.startswith("fills-of-here: ")


@pytest.mark.parametrize("kind", [BreakerRelease, BreakerVoid])
def test_breaker_when_nothing_is_held_then_refused_with_a_code_once(kind):
    shard = Shard()
    (said,) = shard.operate(kind(id="op-2", **SAID))
    assert (outcome_of(said).outcome, outcome_of(said).code) == ("refused", "nothing_held")
    assert shard.operate(kind(id="op-2", **SAID), told=True) == []
    assert shard.operate(kind(id="op-3", shard=1, **SAID)) == []


COMMANDS = (
    BreakerRelease(id="a", **SAID),
    BreakerVoid(id="b", **SAID),
    resume(STOP, next_account_seq=3),
    resume(STOP),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda it: str(type(it).__struct_config__.tag))
def test_command_when_given_and_all_that_it_has_written_is_taken_then_no_balance_or_position_changes(command):
    shard = Shard()
    before = shard.money()
    for entry in shard.operate(command):
        if entry.topic == "fills-of-here":
            shard.take(Topic.FILLS, msgspec.json.decode(entry.value, type=Resume))
    assert shard.money() == before


def test_commands_when_all_are_listed_then_these_were_tried_and_no_field_holds_an_amount():
    assert {type(it) for it in COMMANDS} == set(get_args(OperatorCommand))
    for kind in get_args(OperatorCommand):
        assert not set(_types(msgspec.inspect.type_info(kind))) & {
            "DecimalType",
            "FloatType",
            "AnyType",
        }
        extra = msgspec.to_builtins(next(it for it in COMMANDS if type(it) is kind)) | {"amount": "5"}
        refused = decode_operator_record(msgspec.json.encode(extra))
        assert refused.code is RejectionCode.WRONG_SHAPE


def test_command_when_it_names_too_many_stops_or_none_then_it_is_none():
    for count in (0, 101):
        stops = tuple(NamedStop(f"a-{n}", Topic.FILLS, n) for n in range(count))
        refused = decode_operator_record(msgspec.json.encode(resume(*stops)))
        assert refused.code is RejectionCode.WRONG_SHAPE


def _types(node: Any) -> Iterator[str]:
    if isinstance(node, msgspec.inspect.Type | msgspec.inspect.Field):
        yield type(node).__name__
        for name in node.__struct_fields__:
            if name not in {"default", "default_factory"}:
                yield from _types(getattr(node, name))
    elif isinstance(node, tuple | list):
        for part in node:
            yield from _types(part)
