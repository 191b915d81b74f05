"""A query of death: the engine fails on one account. It is stopped for good and visibly, whatever is restarted, and the shard goes on."""

from decimal import InvalidOperation

import msgspec
import pytest

from engine.book import columnar_book, reasons_queue
from engine.inputs import OrderUpdate, Topic
from engine.ledger.accounts import AccountState, decode
from engine.rejections import RejectionCode
from streams.contract.quarantine_record import STOPPED_TYPE
from streams.contract.record import Record
from streams.shards import input_batch, input_booking, input_ids
from tests.streams.shards.test_processor_breaker import Shard, parts_of
from tests.support.builders import mark, seconds
from tests.support.inputs import deposit, fill, resume
from tests.support.instants import singly

GUILTY = "guilty"
PLANTED = InvalidOperation("planted")
OTHERS = ["other-1", "other-2"]


def raising(sound, concerns, error=PLANTED):
    def faulty(first, *rest, **options):
        if concerns(first):
            raise error
        return sound(first, *rest, **options)

    return faulty


@pytest.fixture
def shard() -> Shard:
    """Three accounts with 1 BTC each at 50,000, and 8,000 to cover it."""
    made = Shard()
    made.send(Topic.LEDGER, *(deposit(name, "8000") for name in (GUILTY, *OTHERS)))
    made.send(Topic.FILLS, *(fill(name, "1") for name in (GUILTY, *OTHERS)))
    made.judge()
    return made


def durable(shard: Shard, account: str) -> AccountState:
    return decode(shard.durable.accounts[account])


def keep(shard: Shard, *commits):
    """Make these durable; returns the accounts that something is said of, by type of what is said."""
    shard.keep(*(msgspec.structs.replace(it, outbox=()) for it in commits))
    return [(entry.event_type, (entry.key or b"").decode()) for it in commits for entry in it.outbox]


def send(shard: Shard, *messages, topic=Topic.FILLS, asked=False):
    """`asked`: the store is asked for ids, and has none of them yet."""
    records = [
        Record(shard.offsets[topic] + number, it.account.encode(), msgspec.json.encode(it))
        for number, it in enumerate(messages)
    ]
    shard.offsets[topic] += len(records)
    decoded = shard.processor.decode(topic, records)
    if asked:
        shard.processor.ids_to_ask(topic, decoded)
    return shard.processor.apply(topic, decoded)


@pytest.mark.parametrize("where", ["apply", "decode_account_input"])
@pytest.mark.parametrize(
    "error", [InvalidOperation("planted"), OverflowError(), KeyError("x"), AssertionError()]
)
def test_input_when_applying_it_raises_then_quarantined_and_its_account_stopped_and_the_batch_goes_on(
    shard, monkeypatch, where, error
):
    concerns = {
        "apply": lambda state: state.account == GUILTY,
        "decode_account_input": lambda _: False,
    }[where]
    sound = getattr(input_booking, where)
    if where == "decode_account_input":

        def faulty(topic, key, *rest):
            if key == GUILTY.encode():
                raise error
            return sound(topic, key, *rest)
    else:
        faulty = raising(sound, concerns, error)
    with monkeypatch.context() as planted:
        planted.setattr(input_booking, where, faulty)
        outcome = send(shard, *(fill(name, "0.5") for name in (OTHERS[0], GUILTY, OTHERS[1])))
    assert (outcome.applied, outcome.quarantined) == (2, {RejectionCode.ENGINE_ERROR: 1})
    (entry,) = outcome.commit.outbox
    assert dict(entry.headers)["reason"] == b"engine_error"
    (told,) = shard.processor.errors
    assert (told.step, told.account, told.place, told.error) == ("apply", GUILTY, "fills/3/4", error)
    keep(shard, outcome.commit, *parts_of(shard.processor.settle()))
    stop = durable(shard, GUILTY).fills.stop
    assert (stop.code, stop.offset, stop.unjudged) == (RejectionCode.ENGINE_ERROR, 4, False)
    # it goes on being stopped, wherever the shard is
    shard.start()
    shard.judge()
    assert send(shard, fill(GUILTY)).quarantined == {RejectionCode.ACCOUNT_STOPPED: 1}
    assert send(shard, fill(OTHERS[0])).applied == 1


ROUND_ABOUT = {
    "what an id is known by": (input_ids, "id_digest", lambda message: message.account == GUILTY),
    "what an input said": (input_ids, "digest_of", lambda message: message.account == GUILTY),
    "how a state is stored": (
        input_batch,
        "encode_stored",
        lambda state: state.account == GUILTY and state.positions["BTC-PERP"].quantity > 1,
    ),
}


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("what", ROUND_ABOUT)
def test_input_when_what_goes_round_applying_it_raises_then_taken_back_and_its_account_stopped_and_applied_once_later(
    shard, monkeypatch, what, asked
):
    module, name, concerns = ROUND_ABOUT[what]
    first, second = fill(GUILTY, "0.5"), fill(GUILTY, "0.25")
    with monkeypatch.context() as planted:
        planted.setattr(module, name, raising(getattr(module, name), concerns))
        messages = (fill(OTHERS[0], "0.5"), first, second, fill(OTHERS[1], "0.5"))
        outcome = send(shard, *messages, asked=asked)
    assert outcome.applied == 2
    assert outcome.quarantined[RejectionCode.ENGINE_ERROR] >= 1
    assert [dict(it.headers)["offset"] for it in outcome.commit.outbox] == [b"4", b"5"]
    assert {it.account for it in shard.processor.errors} == {GUILTY}
    assert (Topic.FILLS, GUILTY) not in outcome.commit.ids
    shard.processor.errors.clear()
    keep(shard, outcome.commit, *parts_of(shard.processor.settle()))
    state = durable(shard, GUILTY)
    assert (state.fills.stop.code, state.fills.stop.offset) == (RejectionCode.ENGINE_ERROR, 4)
    assert state.positions["BTC-PERP"].quantity == 1
    assert durable(shard, OTHERS[1]).positions["BTC-PERP"].quantity == msgspec.json.decode(
        b'"1.5"', type=type(state.balances["USDT"])
    )
    # the engine is mended: what was set aside is sent again, more often than once
    outcome = send(shard, resume(GUILTY), first, second, first, second, asked=asked)
    assert (outcome.applied, outcome.duplicates, outcome.quarantined) == (3, 2, {})
    keep(shard, outcome.commit)
    assert shard.processor.state(GUILTY).positions["BTC-PERP"].quantity == msgspec.json.decode(
        b'"1.75"', type=type(state.balances["USDT"])
    )


def test_input_when_its_order_cannot_be_stored_then_its_account_is_stopped_as_it_was(shard, monkeypatch):
    order = OrderUpdate(
        account=GUILTY, time_ns=seconds(4), update_id="u", order_id="o", symbol="BTC-PERP", side="buy",
        quantity=1, price=1,
    )  # fmt: skip
    with monkeypatch.context() as planted:
        sound = input_batch.order_changes
        planted.setattr(input_batch, "order_changes", raising(sound, lambda state: state.account == GUILTY))
        outcome = send(shard, order, fill(OTHERS[0], "0.5"))
    assert (outcome.applied, outcome.quarantined) == (1, {RejectionCode.ENGINE_ERROR: 1})
    state = decode(outcome.commit.accounts[GUILTY])
    assert (state.fills.stop.code, state.orders) == (RejectionCode.ENGINE_ERROR, {})


def test_account_when_not_even_its_stop_can_be_stored_then_the_process_ends(shard, monkeypatch):
    sound = input_batch.encode_stored
    monkeypatch.setattr(input_batch, "encode_stored", raising(sound, lambda state: state.account == GUILTY))
    with pytest.raises(InvalidOperation, match="planted"):
        send(shard, fill(GUILTY, "0.5"))


def test_settle_when_judging_one_raises_then_it_is_stopped_and_said_so_and_the_others_are_judged(
    shard, monkeypatch
):
    monkeypatch.setattr(
        columnar_book, "judge", raising(columnar_book.judge, lambda state: state.account == GUILTY)
    )
    outcome = send(shard, *(fill(name, "3") for name in (GUILTY, *OTHERS)))
    # 4 BTC at 50,000: 8,000 against 10,000
    said = keep(shard, outcome.commit, *parts_of(shard.processor.settle()))
    assert said.count((STOPPED_TYPE, GUILTY)) == 1
    assert {key for _, key in said} == {GUILTY, *OTHERS}
    (told,) = shard.processor.errors
    assert (told.step, told.account, told.place) == ("judge", GUILTY, "fills/3 3, ledger/3 0")
    state = durable(shard, GUILTY)
    assert state.unjudged
    assert (state.fills.stop.offset, state.ledger.stop.offset) == (3, 0)
    assert state.positions["BTC-PERP"].quantity == 4
    assert shard.processor.state(GUILTY) == state


def test_restart_when_an_account_was_not_judged_then_it_is_stopped_still_and_needs_both_words(
    shard, monkeypatch
):
    with monkeypatch.context() as planted:
        planted.setattr(
            columnar_book, "judge", raising(columnar_book.judge, lambda state: state.account == GUILTY)
        )
        fall = singly([mark("BTC-PERP", 42_000, 2)])
        keep(shard, *parts_of(shard.processor.on_instants(fall)))
        shard.start()
        keep(shard, *parts_of(shard.processor.start_judging(_at(42_000))))
        assert shard.processor.errors == []  # nobody asked
    assert send(shard, fill(GUILTY)).quarantined == {RejectionCode.ACCOUNT_STOPPED: 1}
    for topic in Topic:
        outcome = send(shard, resume(GUILTY), topic=topic)
        said = keep(shard, outcome.commit, *parts_of(shard.processor.settle()))
    assert not shard.processor.state(GUILTY).stopped
    assert GUILTY in {key for _, key in said}


def test_stop_when_an_input_came_while_it_was_judged_then_what_is_durable_has_both(shard, monkeypatch):
    with monkeypatch.context() as planted:
        planted.setattr(
            columnar_book, "judge", raising(columnar_book.judge, lambda state: state.account == GUILTY)
        )
        outcome = send(shard, fill(GUILTY, "0.25"))
        parts = list(parts_of(shard.processor.on_instants(singly([mark("BTC-PERP", 42_000, 2)]))))
    keep(shard, outcome.commit, *parts)
    state = durable(shard, GUILTY)
    assert state.unjudged
    assert state.positions["BTC-PERP"].quantity == msgspec.json.decode(
        b'"1.25"', type=type(state.balances["USDT"])
    )
    assert shard.processor.state(GUILTY) == state


def test_reasons_when_a_plan_raises_then_its_account_is_stopped(shard, monkeypatch):
    # with three of them the breaker would hold the plans
    shard.send(Topic.LEDGER, deposit(OTHERS[1], "80000"))
    keep(shard, *parts_of(shard.processor.on_instants(singly([mark("BTC-PERP", 43_000, 2)]))))
    with monkeypatch.context() as planted:
        planted.setattr(
            reasons_queue, "reasons", raising(reasons_queue.reasons, lambda state: state.account == GUILTY)
        )
        said = keep(shard, *shard.processor.all_reasons())
    assert (STOPPED_TYPE, GUILTY) in said
    assert {key for kind, key in said if kind == "liquidation.requested"} == {OTHERS[0]}
    assert durable(shard, GUILTY).unjudged


def _at(price):
    from tests.streams.shards.test_processor_breaker import FRESH  # noqa: PLC0415

    moved = mark("BTC-PERP", price, 3)
    return msgspec.structs.replace(FRESH, marks={**FRESH.marks, "BTC-PERP": moved})


def test_record_when_under_another_accounts_key_then_who_is_known_of_both_is_stopped_and_nobody_is_made(
    shard,
):
    known, strange = OTHERS[0], "strange"
    for key, named, stopped_now in (
        (strange, "stranger", set()),
        (strange, known, {known}),
        (OTHERS[1], strange, {OTHERS[1]}),
    ):
        value = msgspec.json.encode(fill(named))
        offset = shard.offsets[Topic.FILLS]
        shard.offsets[Topic.FILLS] += 1
        records = [Record(offset, key.encode(), value)]
        outcome = shard.processor.apply(Topic.FILLS, shard.processor.decode(Topic.FILLS, records))
        assert outcome.quarantined == {RejectionCode.KEY_MISMATCH: 1}
        assert set(outcome.commit.accounts) == stopped_now
    assert shard.processor.state(strange) is None


def test_record_when_it_cannot_be_read_and_its_key_is_new_here_then_the_account_is_stopped_before_it_begins(
    shard,
):
    records = [Record(shard.offsets[Topic.FILLS], b"new", b"{")]
    outcome = shard.processor.apply(Topic.FILLS, shard.processor.decode(Topic.FILLS, records))
    assert decode(outcome.commit.accounts["new"]).stopped
