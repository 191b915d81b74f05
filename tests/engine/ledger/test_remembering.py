"""What of an account's ids is remembered, by number of ids and by event time; and what a digest tells apart."""

from decimal import Decimal
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.inputs import AccountInput, Deposit, Fill, OrderUpdate, Resume, Topic
from engine.ledger.accounts import AccountState, Progress, Remembered, decode, encode
from engine.ledger.applying import apply
from engine.ledger.remembering import digest_of, generations, id_digest
from engine.policy.rules.policy_switches import IdScope
from engine.rejections import Rejection, RejectionCode
from tests.support.builders import sample

MINUTE = 60 * 10**9
POLICY = sample(("[prices]", "[inputs]\nremembered_ids_max = 8\nremember_ms = 60000\n[prices]"))
NEW = AccountState("alice")
D = Decimal


def deposit(time_ns: int, **fields: object) -> Deposit:
    return Deposit(
        account="alice", entry_id=f"d-{time_ns}", time_ns=time_ns, asset="USDT", amount=D(1), **fields
    )


def taken(state: AccountState, *times_ns: int, **fields: object) -> AccountState:
    for time_ns in times_ns:
        after = apply(state, deposit(time_ns, **fields), Topic.LEDGER, 0, POLICY)
        assert isinstance(after, AccountState), after
        state = after
    return state


@given(st.lists(st.integers(0, 5 * MINUTE), max_size=60))
def test_generations_when_times_come_in_any_order_then_bounded_and_the_rest_is_refused(
    times: list[int],
) -> None:
    state, known = NEW, dict[int, list[int]]()
    for offset, time_ns in enumerate(times):
        after = apply(state, deposit(time_ns), Topic.LEDGER, offset, POLICY)
        if isinstance(after, Rejection):
            assert after.code is RejectionCode.TOO_LATE
            forgotten = [it for ids in known.values() for it in ids]
            assert forgotten, "nothing is refused before anything was forgotten"
            continue
        kept = after.ledger.remembered
        assert kept is not None
        known.setdefault(kept.generation, []).append(time_ns)
        held = {it.number: it.ids for it in generations(after.ledger)}
        assert held == {number: len(known[number]) for number in held}
        assert sum(held.values()) <= 8
        gone = [it for number, ids in known.items() if number not in held for it in ids]
        # every id that is not held any more is at or below the time from which nothing is told apart
        assert max(gone, default=-1) == kept.forgotten_ns
        state = after


def test_input_when_dated_far_ahead_then_it_blocks_nothing_before_its_time() -> None:
    state = taken(NEW, 0, 60 * MINUTE, *(number * MINUTE for number in range(1, 4)))
    kept = state.ledger.remembered
    assert kept is not None
    assert kept.forgotten_ns < MINUTE


def test_numbered_when_new_then_nothing_is_remembered_but_its_time_and_digest() -> None:
    state = taken(NEW, 5, account_seq=1)
    assert generations(state.ledger) == ()
    assert state.ledger.newest_digest == digest_of(deposit(5, account_seq=1)).hex()
    assert decode(encode(state)) == state


def test_old_edition_when_its_state_is_read_then_its_list_is_generation_zero() -> None:
    old = AccountState("alice", ledger=Progress(offset=7))
    assert [it.number for it in generations(old.ledger)] == [0]
    first = taken(old, 1)
    assert [it.number for it in generations(first.ledger)] == [1, 0]
    assert [it.number for it in generations(taken(first, 2, MINUTE + 2).ledger)] == [2, 1]
    assert generations(taken(old, 1, account_seq=4).ledger) == ()


def test_resume_when_older_than_what_is_forgotten_then_it_still_holds() -> None:
    state = taken(NEW, MINUTE, account_seq=1)
    resumed = apply(
        state, Resume(account="alice", entry_id="r", time_ns=0, reason="x"), Topic.LEDGER, 3, POLICY
    )
    assert isinstance(resumed, AccountState)
    assert resumed.ledger.remembered == Remembered(1, 1, 0, 0, forgotten_ns=MINUTE)


_SAID: dict[str, object] = {
    "time_ns": 7,
    "side": "buy",
    "margin_mode": "isolated",
    "leg": "long",
    "margin_model": "cross",
    "collateral_off": ["BTC"],
    "reduce_only": True,
    "account_seq": 3,
    "next_account_seq": 4,
    "stop_offset": 5,
    **dict.fromkeys(("quantity", "price", "fee", "margin_transfer", "amount", "leverage"), "2"),
}

FILL = Fill(
    account="alice", time_ns=7, trade_id="t", symbol="BTC-PERP", side="buy", quantity=D(1), price=D(50000)
)


@pytest.mark.parametrize(
    "same",
    [
        {"quantity": D("1.000")},
        {"price": D("5E+4")},
        {"fee": D("0E-18")},
        {"fee": D("-0")},
        {"account_seq": 9},
    ],
)
def test_digest_when_the_same_is_said_otherwise_then_equal(same: dict[str, object]) -> None:
    assert digest_of(msgspec.structs.replace(FILL, **same)) == digest_of(FILL)


@pytest.mark.parametrize(
    "field", [it.name for it in msgspec.structs.fields(Fill) if it.name != "account_seq"]
)
def test_digest_when_any_field_differs_then_differs(field: str) -> None:
    other = {
        "account": "bob",
        "time_ns": 8,
        "trade_id": "u",
        "symbol": "ETH-PERP",
        "side": "sell",
        "fee_asset": "BTC",
        "margin_mode": "isolated",
        "leg": "long",
        "liquidation_id": "alice/cross/1",
    }
    changed = msgspec.structs.replace(FILL, **{field: other.get(field, D("3.5"))})
    assert digest_of(changed) != digest_of(FILL)


_KINDS = get_args(AccountInput)


def _made(kind: type[msgspec.Struct], two: str = "2") -> AccountInput:
    said = {it.name: _SAID.get(it.name, "x") for it in msgspec.structs.fields(kind)}
    told = {name: two if value == "2" else value for name, value in said.items()}
    made: AccountInput = msgspec.convert({**told, "type": kind.__struct_config__.tag}, kind)
    return made


def test_digest_when_of_any_kind_of_input_then_it_is_of_what_was_said() -> None:
    of_kinds = [digest_of(_made(kind)) for kind in _KINDS]
    assert of_kinds == [digest_of(_made(kind, "2.00")) for kind in _KINDS]
    assert len(set(of_kinds)) == len(_KINDS)


def test_digest_when_asked_again_in_another_edition_then_as_it_was() -> None:
    # ids and digests outlive a release: this text must not change
    assert digest_of(FILL).hex() == "0371b8b8134c8950"
    assert id_digest(FILL, IdScope.ACCOUNT).hex() == "4ca8c5b6a4b6da17"


def test_id_when_of_another_kind_or_symbol_then_the_scope_says_whether_it_is_another() -> None:
    update = OrderUpdate(
        account="alice",
        time_ns=7,
        update_id="t",
        order_id="o",
        symbol="BTC-PERP",
        side="buy",
        quantity=D(1),
        price=D(1),
    )
    of_eth = msgspec.structs.replace(FILL, symbol="ETH-PERP")
    assert id_digest(update, IdScope.ACCOUNT) != id_digest(FILL, IdScope.ACCOUNT)
    assert id_digest(of_eth, IdScope.ACCOUNT) == id_digest(FILL, IdScope.ACCOUNT)
    assert id_digest(of_eth, IdScope.ACCOUNT_AND_SYMBOL) != id_digest(FILL, IdScope.ACCOUNT_AND_SYMBOL)
