"""Open orders and what they come to: an update costs the same however many there are, and figures do not change by it."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.book.packed import Packer
from engine.inputs import MarginMode, OrderUpdate, Settlement, Topic
from engine.ledger.accounts import AccountState, Position, decode, encode
from engine.ledger.applying import apply
from engine.ledger.orders_apart import (
    INLINE_AGAIN,
    INLINE_MAX,
    encode_stored,
    is_apart,
    joined,
    order_changes,
)
from engine.ledger.resting_orders import RestingOrders, order_totals
from engine.margin.margin_model import explain_shared, shared_figures
from engine.policy import Policy
from engine.rejections import Rejection, RejectionCode
from tests.support.builders import prices, sample

D = Decimal
PRICES = prices(
    {"BTC-PERP": 50000, "ETH-PERP": 3000, "ADA-PERP": 2, "USD-PERP": 50000, "BTC-USD": 50000, "USDT-USD": 1}
)
POLICIES = {
    "plain": sample(),
    "in maintenance": sample(
        ("[prices]", "[pool]\norders_in_maintenance = true\norder_requirement = 3\n[prices]")
    ),
    "order loss": sample(("[prices]", "[margin.default]\norder_loss = true\n[prices]")),
    "at entry": sample(("[prices]", '[margin.default]\nnotional = "entry"\n[prices]')),
}
HELD = AccountState(
    "alice",
    {"USDT": D(9000), "BTC": D(1)},
    {"BTC-PERP": Position(D("-0.7"), D(-34000)), "ETH-PERP": Position(D(2), D(7000))},
)


def order(
    name: str, quantity: str = "1", symbol: str = "BTC-PERP", price: str = "50000", **fields: object
) -> OrderUpdate:
    signed = D(quantity)
    return OrderUpdate(
        account="alice",
        time_ns=1,
        update_id=f"u-{name}",
        order_id=name,
        symbol=symbol,
        side="buy" if signed >= 0 else "sell",
        quantity=abs(signed),
        price=D(price),
        **fields,
    )


def after(state: AccountState, policy: Policy, *updates: OrderUpdate | Settlement) -> AccountState:
    for offset, update in enumerate(updates):
        booked = apply(state, update, Topic.FILLS, offset, policy)
        assert isinstance(booked, AccountState), booked
        state = booked
    return state


def plainly(state: AccountState) -> AccountState:
    return msgspec.structs.replace(state, orders=dict(state.orders))


updates = st.builds(
    order,
    st.sampled_from([f"o-{number}" for number in range(12)]),
    st.sampled_from(["0", "1", "0.3", "-0.3", "-2", "0.000000000000000001"]),
    st.sampled_from(["BTC-PERP", "ETH-PERP", "ADA-PERP", "USD-PERP", "BTC-USDT"]),
    st.sampled_from(["1", "3000", "49000.5"]),
    reduce_only=st.booleans(),
    margin_mode=st.sampled_from(MarginMode),
    leg=st.sampled_from([None, None, None, "long", "short"]),
)


@given(st.lists(updates, max_size=25), st.sampled_from(sorted(POLICIES)))
def test_figures_when_from_totals_then_those_of_the_orders_one_by_one(
    made: list[OrderUpdate], name: str
) -> None:
    policy = POLICIES[name]
    state = after(HELD, policy, *made)
    walked = plainly(state)
    assert isinstance(state.orders, RestingOrders) or not made or not state.orders
    assert order_totals(state.orders) == order_totals(walked.orders)
    assert shared_figures(state, PRICES, policy) == shared_figures(walked, PRICES, policy)
    assert explain_shared(state, PRICES, policy) == explain_shared(walked, PRICES, policy)


@given(st.lists(updates, max_size=60))
def test_state_when_stored_and_read_in_any_way_then_it_is_the_same(made: list[OrderUpdate]) -> None:
    state = after(HELD, POLICIES["plain"], *made)
    assert decode(encode(state)) == state
    packer = Packer()
    assert packer.unpack(packer.pack(state)) == state
    assert encode(plainly(state)) == encode(state)


def crowded(count: int) -> AccountState:
    return after(HELD, POLICIES["plain"], *(order(f"o-{number}", "0.001") for number in range(count)))


def test_orders_when_few_then_stored_within_the_state_and_apart_when_many() -> None:
    inline, apart = crowded(INLINE_MAX), crowded(INLINE_MAX + 1)
    assert encode_stored(inline) == encode(inline)
    assert not is_apart(encode_stored(inline))
    assert is_apart(encode_stored(apart))
    assert b"o-7" not in encode_stored(apart)
    changes = order_changes(inline, apart, {f"o-{INLINE_MAX}"})
    assert changes is not None
    assert changes.cleared
    kept = {name.encode(): left for name, left in changes.left.items() if left is not None}
    assert decode(joined(encode_stored(apart), kept)) == apart


def test_orders_when_they_become_few_again_then_back_within_the_state() -> None:
    state = crowded(INLINE_MAX + 1)
    ended = [order(f"o-{number}", "0") for number in range(INLINE_MAX + 1 - INLINE_AGAIN)]
    almost = after(state, POLICIES["plain"], *ended[:-1])
    assert is_apart(encode_stored(almost))
    back = after(almost, POLICIES["plain"], ended[-1])
    assert not is_apart(encode_stored(back))
    changes = order_changes(almost, back, {ended[-1].order_id})
    assert changes is not None
    assert (changes.cleared, changes.left) == (True, {})


@pytest.mark.parametrize("count", [40, 5000])
def test_update_when_orders_are_many_then_what_is_stored_is_that_order_alone(count: int) -> None:
    before = crowded(count)
    now = after(before, POLICIES["plain"], order("o-3", "-2"), order("new", "1"), order("o-4", "0"))
    changes = order_changes(before, now, {"o-3", "new", "o-4"})
    assert changes is not None
    assert not changes.cleared
    assert {name: left is None for name, left in changes.left.items()} == {
        "o-3": False,
        "new": False,
        "o-4": True,
    }
    assert len(encode_stored(now)) < 700


def test_settlement_when_orders_are_apart_then_those_of_its_symbol_go() -> None:
    others = [order(f"e-{number}", symbol="ETH-PERP") for number in range(INLINE_MAX)]
    before = after(crowded(INLINE_MAX + 1), POLICIES["plain"], *others)
    settled = Settlement(account="alice", time_ns=1, settlement_id="s", symbol="BTC-PERP", price=D(50000))
    now = after(before, POLICIES["plain"], settled)
    changes = order_changes(before, now, None)
    assert changes is not None
    assert set(changes.left) == set(before.orders) - set(now.orders)
    assert set(changes.left.values()) == {None}


def test_order_when_beyond_the_bound_then_refused_and_an_open_one_may_still_change() -> None:
    policy = sample(("[prices]", "[inputs]\nopen_orders_max = 2\n[prices]"))
    full = after(HELD, policy, order("a"), order("b"))
    refused = apply(full, order("c"), Topic.FILLS, 9, policy)
    assert isinstance(refused, Rejection)
    assert refused.code is RejectionCode.TOO_MANY_ORDERS
    assert after(full, policy, order("a", "2"), order("b", "0"), order("c")).orders.keys() == {"a", "c"}


def test_name_when_it_looks_like_the_mark_of_orders_apart_then_it_is_no_mark() -> None:
    named = AccountState('x","orders_apart":true,"y":"', {"USDT": D(1)})
    assert not is_apart(encode_stored(named))
