"""Ids of applied inputs: looked up in the store for a batch alone, kept in memory only until the store has them."""

from decimal import Decimal

import msgspec
import pytest

from engine.book.columnar_book import ColumnarBook
from engine.inputs import AccountInput, Topic
from engine.ledger.accounts import AccountState, Progress
from engine.policy import Policy
from engine.rejections import RejectionCode
from streams.contract.commit import AppliedId, Commit, SoughtId, merge
from streams.contract.record import Record
from streams.kafka.clients import account_partitioner
from streams.shards.input_batch import Outcome
from streams.shards.processor import ShardProcessor
from tests.support.builders import sample, seconds
from tests.support.inputs import deposit, fill

POLICY = sample(("[prices]", "[inputs]\nremembered_ids_max = 4\nremember_ms = 60000\n[prices]"))
LEDGER, FILLS = Topic.LEDGER, Topic.FILLS
Place = tuple[str, str, int]


class Store:
    """What Redis would have of the ids, and what it was asked."""

    def __init__(self) -> None:
        self.ids: dict[Place, dict[bytes, bytes]] = {}
        self.asked: list[SoughtId] = []

    def commit(self, commit: Commit) -> None:
        for (topic, account), ids in commit.ids.items():
            for it in ids:
                self.ids.setdefault((topic, account, it.generation), {})[it.digest] = it.said
        for gone in commit.forgotten:
            self.ids.pop((gone.topic, gone.account, gone.generation), None)

    def answer(self, sought: list[SoughtId]) -> dict[SoughtId, bytes]:
        self.asked += sought
        found = {}
        for it in sought:
            said = self.ids.get((it.topic, it.account, it.generation), {}).get(it.digest)
            if said is not None:
                found[it] = said
        return found


class Shard:
    """A processor beside its store, as a shard has them."""

    def __init__(self, policy: Policy = POLICY, store: Store | None = None) -> None:
        self.store = store or Store()
        self.processor = ShardProcessor(
            0,
            policy,
            ColumnarBook(policy),
            partition_of=account_partitioner(1),
            topics={topic: topic.value for topic in Topic},
            quarantine_topic="quarantine",
            source="/test",
        )

    def take(self, *messages: AccountInput, topic: Topic = LEDGER, durable: bool = True) -> Outcome:
        """Apply a batch as a shard does, the store asked first."""
        start = self.processor.watermarks[topic]
        records = [
            Record(start + i, it.account.encode(), msgspec.json.encode(it)) for i, it in enumerate(messages)
        ]
        decoded = self.processor.decode(topic, records)
        sought = self.processor.ids_to_ask(topic, decoded)
        if sought:
            self.processor.take_ids(topic, self.store.answer(sought))
        outcome = self.processor.apply(topic, decoded)
        if durable:
            self.make_durable(outcome)
        return outcome

    def make_durable(self, *outcomes: Outcome) -> None:
        commit = merge([it.commit for it in outcomes])
        self.store.commit(commit)
        self.processor.on_committed(commit)

    def state(self, account: str = "alice") -> AccountState:
        state = self.processor.state(account)
        assert state is not None
        return state

    def stop(self, topic: Topic = LEDGER) -> RejectionCode | None:
        stop = self.state().progress(topic).stop
        return stop.code if stop else None


@pytest.fixture
def shard() -> Shard:
    return Shard()


def told(outcome: Outcome) -> tuple[int, int, int]:
    return outcome.applied, outcome.duplicates, sum(outcome.quarantined.values())


def at(second: float, name: str, **fields: object) -> AccountInput:
    return deposit("alice", entry_id=name, time_ns=seconds(str(second)) + 10**18, **fields)


def test_ids_when_the_store_has_them_then_none_are_kept_in_memory(shard: Shard) -> None:
    first, again = at(0, "d-1"), at(1, "d-2")
    shard.take(first)
    shard.take(again)
    assert len(shard.processor.inputs.ids) == 1, (
        "the newest batch: the store is asked before its commit is known"
    )
    assert told(shard.take(first, again)) == (0, 2, 0)
    assert len(shard.processor.inputs.ids) == 0


def test_duplicate_when_the_first_is_not_durable_yet_then_found(shard: Shard) -> None:
    first = at(0, "d-1")
    held = shard.take(first, durable=False)
    assert told(shard.take(first, durable=False)) == (0, 1, 0)
    shard.make_durable(held)


def test_duplicate_when_the_first_becomes_durable_after_the_store_was_asked_then_found(shard: Shard) -> None:
    first = at(0, "d-1")
    held = shard.take(first, durable=False)
    decoded = shard.processor.decode(LEDGER, [Record(1, b"alice", msgspec.json.encode(first))])
    answers = shard.store.answer(shard.processor.ids_to_ask(LEDGER, decoded))
    shard.make_durable(held)
    shard.processor.take_ids(LEDGER, answers)
    assert told(shard.processor.apply(LEDGER, decoded)) == (0, 1, 0)


def test_duplicate_when_another_owner_took_over_then_found(shard: Shard) -> None:
    first = at(0, "d-1")
    outcome = shard.take(first)
    after = Shard(store=shard.store)
    after.processor.load(outcome.commit.accounts.values(), {}, {LEDGER: 1})
    assert told(after.take(first, at(1, "d-2"))) == (1, 1, 0)


def test_batch_when_the_account_is_new_then_the_store_is_not_asked(shard: Shard) -> None:
    shard.take(at(0, "d-1"), at(1, "d-2"))
    assert shard.store.asked == []


def test_batch_when_ids_are_many_then_asked_only_for_its_own(shard: Shard) -> None:
    for number in range(20):
        shard.take(at(number, f"d-{number}"))
    shard.store.asked.clear()
    shard.take(at(20, "d-20"))
    assert {it.text for it in shard.store.asked} == {"d-20"}
    assert len(shard.store.asked) <= 2, "two generations"


@pytest.mark.parametrize(
    "other",
    [
        {"amount": "999"},
        {"asset": "USD"},
        {"liquidation_id": "alice/cross/1"},
    ],
)
def test_id_when_known_with_other_content_then_quarantined_and_the_account_stopped(
    shard: Shard, other: dict[str, str]
) -> None:
    shard.take(at(0, "d-1"))
    outcome = shard.take(at(0, "d-1", **other))
    assert outcome.quarantined == {RejectionCode.ID_CONTRADICTION: 1}
    assert shard.stop() is RejectionCode.ID_CONTRADICTION
    (entry,) = outcome.commit.outbox
    assert dict(entry.headers)["reason"] == b"id_contradiction"
    assert shard.state().balances == {"USDT": 1000}, "the first stands"
    assert told(shard.take(at(1, "d-2"))) == (0, 0, 1), "nothing after the hole"


def test_id_when_its_two_inputs_come_in_one_batch_then_a_contradiction_too(shard: Shard) -> None:
    assert told(shard.take(at(0, "d-1"), at(0, "d-1", amount="999"))) == (1, 0, 1)
    assert shard.stop() is RejectionCode.ID_CONTRADICTION


def test_id_when_sent_again_in_another_writing_then_a_duplicate(shard: Shard) -> None:
    shard.take(fill("alice", "1", price="50000", fee=Decimal(0), trade_id="t", time_ns=10**18), topic=FILLS)
    written = (
        b'{"price":"5.0000E+4", "fee":"0E-20", "type":"fill","quantity":"1.00000","leg":null,"side":"buy",'
        b'"trade_id":"t","symbol":"BTC-PERP","margin_mode":"cross","time_ns":1000000000000000000,"account":"alice"}'
    )
    decoded = shard.processor.decode(FILLS, [Record(1, b"alice", written)])
    shard.processor.take_ids(FILLS, shard.store.answer(shard.processor.ids_to_ask(FILLS, decoded)))
    assert told(shard.processor.apply(FILLS, decoded)) == (0, 1, 0)


def halves(symbol: str = "BTC-PERP") -> list[AccountInput]:
    """A trade with itself: one id, both sides."""
    bought = fill("alice", "1", trade_id="7", time_ns=10**18)
    return [bought, fill("alice", "-1", symbol=symbol, trade_id="7", time_ns=10**18)]


def test_trade_id_when_of_both_sides_of_a_trade_then_contradiction_in_either_scope(shard: Shard) -> None:
    assert told(shard.take(*halves(), topic=FILLS)) == (1, 0, 1)


@pytest.mark.parametrize(("scope", "applied"), [("account", 1), ("account+symbol", 2)])
def test_trade_ids_when_counted_per_symbol_then_two_where_the_policy_says_so(
    scope: str, applied: int
) -> None:
    shard = Shard(sample(("[prices]", f'[inputs]\nid_scope = "{scope}"\n[prices]')))
    assert told(shard.take(*halves("ETH-PERP"), topic=FILLS)) == (applied, 0, 2 - applied)


def test_input_when_older_than_what_is_forgotten_then_refused_as_too_late(shard: Shard) -> None:
    for number in range(7):
        shard.take(at(number, f"d-{number}"))
    # halves of two: d-6 is alone in the newest, d-4 and d-5 are before it, d-3 is the newest that is forgotten
    assert told(shard.take(at(4, "d-4"))) == (0, 1, 0)
    assert told(shard.take(at(3.5, "late"))) == (1, 0, 0)
    assert told(shard.take(at(3, "d-3"))) == (0, 0, 1)
    assert shard.stop() is RejectionCode.TOO_LATE


def test_ids_when_forgotten_then_the_store_has_none_of_them(shard: Shard) -> None:
    for number in range(50):
        shard.take(at(number, f"d-{number}"))
        assert sum(map(len, shard.store.ids.values())) <= 4


def test_ids_when_time_goes_on_then_forgotten_though_they_are_few(shard: Shard) -> None:
    shard.take(at(0, "d-0"))
    shard.take(at(61, "d-61"))
    assert told(shard.take(at(0, "d-0"))) == (0, 1, 0), "a minute at least"
    shard.take(at(122, "d-122"))
    assert told(shard.take(at(0, "d-0"))) == (0, 0, 1)
    assert sum(map(len, shard.store.ids.values())) == 2


def test_numbered_when_it_begins_then_what_was_remembered_is_dropped_and_stays_safe(shard: Shard) -> None:
    shard.take(at(0, "d-0"), at(1, "d-1"))
    shard.take(at(2, "d-2", account_seq=1))
    assert shard.store.ids == {}
    assert told(shard.take(at(2, "d-2", account_seq=1))) == (0, 1, 0)
    shard.store.asked.clear()
    shard.take(at(3, "d-3", account_seq=2))
    assert (shard.store.asked, shard.store.ids, len(shard.processor.inputs.ids)) == ([], {}, 0)
    assert told(shard.take(at(1, "d-1"))) == (0, 0, 1), "no id is known any more: not applied twice"


def test_numbered_when_an_input_that_had_no_number_is_sent_again_with_its_first_then_a_duplicate(
    shard: Shard,
) -> None:
    shard.take(at(0, "d-0"))
    assert told(shard.take(at(0, "d-0", account_seq=1), at(1, "d-1", account_seq=2))) == (1, 1, 0)


def test_numbered_when_it_ends_then_ids_are_remembered_and_older_ones_refused(shard: Shard) -> None:
    shard.take(at(0, "d-0", account_seq=1), at(1, "d-1", account_seq=2))
    assert told(shard.take(at(2, "d-2"), at(2, "d-2"))) == (1, 1, 0)
    assert told(shard.take(at(2, "d-2", amount="5"))) == (0, 0, 1)
    other = Shard()
    other.take(at(0, "d-0", account_seq=1), at(1, "d-1", account_seq=2))
    assert told(other.take(at(1, "d-1"))) == (0, 0, 1)
    assert other.stop() is RejectionCode.TOO_LATE


def test_number_when_the_newest_comes_with_other_content_then_contradiction(shard: Shard) -> None:
    shard.take(at(0, "d-0", account_seq=1), at(1, "d-1", account_seq=2))
    assert told(shard.take(at(1, "d-1", account_seq=2, amount="1000.0"))) == (0, 1, 0)
    outcome = shard.take(at(1, "d-1", account_seq=2, amount="999"))
    assert outcome.quarantined == {RejectionCode.ID_CONTRADICTION: 1}
    assert shard.stop() is RejectionCode.ID_CONTRADICTION


def test_number_when_contradicted_within_a_gap_then_closing_the_gap_does_not_end_the_stop(
    shard: Shard,
) -> None:
    shard.take(at(0, "d-0", account_seq=1), at(2, "d-2", account_seq=3))
    shard.take(at(0, "d-0", account_seq=1, amount="999"))
    shard.take(at(1, "d-1", account_seq=2), at(2, "d-2", account_seq=3))
    assert shard.stop() is RejectionCode.ID_CONTRADICTION


def test_old_list_when_it_has_the_id_then_a_duplicate_until_it_ages_out() -> None:
    state = AccountState("alice", {"USDT": Decimal(1)}, ledger=Progress(offset=9))
    shard = Shard()
    shard.processor.load([msgspec.json.encode(state)], {}, {LEDGER: 10})
    old = at(0, "d-old")
    decoded = shard.processor.decode(LEDGER, [Record(10, b"alice", msgspec.json.encode(old))])
    (asked,) = shard.processor.ids_to_ask(LEDGER, decoded)
    assert (asked.generation, asked.text) == (0, "d-old")
    shard.processor.take_ids(LEDGER, {asked: b""})
    assert told(shard.processor.apply(LEDGER, decoded)) == (0, 1, 0)
    gone = [it for n in range(6) for it in shard.take(at(n + 1, f"d-{n}")).commit.forgotten]
    assert [(it.generation, it.account) for it in gone] == [(0, "alice"), (1, "alice")]


def test_replay_when_nothing_is_stored_then_memory_is_bounded_and_says_the_same(shard: Shard) -> None:
    alone = Shard()
    for number in range(40):
        message = at(number // 2, f"d-{number // 2}")
        record = Record(number, b"alice", msgspec.json.encode(message))
        of_replay = alone.processor.apply(LEDGER, alone.processor.decode(LEDGER, [record]))
        assert told(of_replay) == told(shard.take(message))
        assert len(alone.processor.inputs.ids) <= 4
    assert alone.state() == shard.state()


def test_ids_when_of_different_kinds_then_they_never_meet(shard: Shard) -> None:
    (applied,) = shard.take(at(0, "7")).commit.ids[LEDGER, "alice"]
    (trade,) = shard.take(fill("alice", trade_id="7"), topic=FILLS).commit.ids[FILLS, "alice"]
    assert isinstance(applied, AppliedId)
    assert applied.digest != trade.digest
