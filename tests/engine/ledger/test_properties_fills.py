"""Nothing is made or lost by booking: fills, their splits and settlements move value, only prices and fees change it."""

import itertools
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.inputs import OrderUpdate, Settlement, Topic
from engine.ledger.accounts import AccountState
from engine.margin.cross.cross_pool import cross_pool
from engine.numbers import ZERO, divide, exact
from engine.policy import Asset, Instrument, Policy, RiskTier
from engine.policy.reading.policy_checks import check
from engine.policy.rules.portfolio_rules import OptionRules
from engine.position_keys import LEG_SEPARATOR, symbol_of
from tests.engine.strategies import thorough
from tests.support.builders import applied, prices, trade

EXPIRY = datetime(2030, 6, 28, 8, tzinfo=UTC)
NEW = AccountState("alice", balances={"USDT": Decimal(1000), "BTC": Decimal("0.7")})
LAST_DIGIT = Decimal("1e-18")

PERP = Instrument(kind="perpetual", base="ADA", settle="USDT", multiplier=Decimal(10), tiers="only")
FUTURE = Instrument(kind="future", base="BTC", settle="USDT", expiry=EXPIRY, tiers="only")
COIN = Instrument(
    kind="perpetual", base="BTC", settle="BTC", payoff="inverse", multiplier=Decimal(100), tiers="only"
)
COIN_FUTURE = msgspec.structs.replace(COIN, kind="future", expiry=EXPIRY)
OPTION = Instrument(
    kind="option",
    base="BTC",
    settle="USDT",
    multiplier=Decimal("0.1"),
    expiry=EXPIRY,
    strike=Decimal(60_000),
    right="call",
)
SPOT = Instrument(kind="spot", base="BTC", settle="USDT", multiplier=Decimal("0.01"))
CONTRACTS = {"PERP": PERP, "FUTURE": FUTURE, "COIN": COIN, "COIN-FUTURE": COIN_FUTURE, "OPTION": OPTION}
LISTED = CONTRACTS | {"SPOT": SPOT}
EXPIRING = [symbol for symbol, it in CONTRACTS.items() if it.expiry]
EXACT = [symbol for symbol, it in LISTED.items() if not it.inverse]


def made() -> Policy:
    half = Decimal("0.5")
    policy = Policy(
        name="fills",
        account_currency="USDT",
        assets={"USDT": Asset(), "BTC": Asset(index="BTC-USDT")},
        instruments=LISTED,
        tiers={"only": (RiskTier(floor=ZERO, maintenance_rate=half, initial_rate=half),)},
        margin={},
        option_margin={"": OptionRules(initial_rate=half, initial_floor_rate=half)},
    )
    check(policy)
    return policy


POLICY = made()

amounts = st.decimals(min_value="0.000001", max_value=1_000_000, places=6)
sizes = st.one_of(
    st.integers(1, 9).map(Decimal), amounts, st.decimals(min_value="1e-18", max_value="1e-3", places=18)
)
signed_sizes = st.builds(lambda size, sign: size.copy_sign(sign), sizes, st.sampled_from([1, -1]))
fees = st.decimals(min_value=-5, max_value=5, places=4)


def filling(symbol, size, price, fee, hedged):
    """In hedge mode each side opens a leg of its own; what closes more of a leg than it holds is refused."""
    return trade(symbol, size, price, fee=fee, leg=("long" if size > 0 else "short") if hedged else None)


def fills(symbols):
    hedged = st.sampled_from([False, False, True])
    return st.builds(filling, st.sampled_from(sorted(symbols)), signed_sizes, amounts, fees, hedged)


marks = st.fixed_dictionaries(dict.fromkeys([*CONTRACTS, "BTC-USDT"], amounts))


def signed(fill):
    return fill.quantity if fill.side == "buy" else -fill.quantity


def holdings(state, at):
    """Per asset what is in the wallet and what the positions settled in it would add at these marks."""
    with exact():
        pool = cross_pool(state, prices(at), POLICY)
        return {asset.asset: asset.amount for asset in pool.assets if asset.amount}


def coin_value(contract, quantity, price):
    return divide(quantity * contract.multiplier, price)


class Book:
    """What the fills should have made, per asset, written down from the definition of each kind of instrument."""

    def __init__(self, at):
        self.at, self.worth, self.open = at, dict(NEW.balances), {}

    def add(self, asset, amount):
        self.worth[asset] = self.worth.get(asset, ZERO) + amount

    def fill(self, fill):
        contract, quantity = LISTED[fill.symbol], signed(fill)
        self.add(contract.settle, -fill.fee)
        size = quantity * contract.multiplier
        if contract.kind == "spot":
            # coins against cash
            self.add(contract.base, size)
            self.add(contract.settle, -size * fill.price)
        elif contract.inverse:
            # a flip closes first and then opens: two values, each rounded once
            key = fill.symbol, fill.leg
            held = self.open.get(key, ZERO)
            closing = -held if held * quantity < 0 and abs(quantity) > abs(held) else ZERO
            self.add(contract.settle, coin_value(contract, closing, fill.price))
            self.add(contract.settle, coin_value(contract, quantity - closing, fill.price))
            self.open[key] = held + quantity
        else:
            # bought at the price, worth the mark now
            self.add(contract.settle, size * (self.at[fill.symbol] - fill.price))

    def total(self):
        for (symbol, _), held in self.open.items():
            self.add(LISTED[symbol].settle, -coin_value(LISTED[symbol], held, self.at[symbol]))
        return {asset: amount for asset, amount in self.worth.items() if amount}


@thorough
@given(st.lists(fills(LISTED), max_size=12), marks)
def test_fills_of_every_kind_when_booked_then_value_changes_by_fees_and_price_moves_alone(done, at):
    state = applied(NEW, POLICY, Topic.FILLS, *done)
    with exact():
        book = Book(at)
        for fill in done:
            book.fill(fill)
        expected = book.total()
    assert holdings(state, at) == expected


def parts_of(fill, cuts):
    """The fill in as many parts, at the same price; the fee goes with the first."""
    edges = sorted({fill.quantity * cut / 1000 for cut in cuts} | {ZERO, fill.quantity})
    sizes = [high - low for low, high in itertools.pairwise(edges)]
    return [
        msgspec.structs.replace(fill, quantity=size, fee=ZERO if i else fill.fee, trade_id=f"part-{i}")
        for i, size in enumerate(sizes)
    ]


cuts = st.lists(st.integers(1, 999), min_size=1, max_size=4)
whole_sizes = st.decimals(min_value="0.001", max_value=1_000_000, places=3)


@thorough
@given(st.lists(fills(LISTED), max_size=4), fills(LISTED), whole_sizes, cuts, marks)
def test_fill_when_split_into_parts_at_one_price_then_value_is_the_same(before, fill, size, cut_at, at):
    fill = msgspec.structs.replace(fill, quantity=size)
    parts = parts_of(fill, cut_at)
    state = applied(NEW, POLICY, Topic.FILLS, *before)
    whole, split = applied(state, POLICY, Topic.FILLS, fill), applied(state, POLICY, Topic.FILLS, *parts)
    quantities = [{key: held.quantity for key, held in one.positions.items()} for one in (whole, split)]
    assert quantities[0] == quantities[1]
    one, other = holdings(whole, at), holdings(split, at)
    if fill.symbol in EXACT:
        assert one == other
    with exact():
        # each part, and a flip within it, rounds the value of an inverse contract once
        for asset in set(one) | set(other):
            assert abs(one.get(asset, ZERO) - other.get(asset, ZERO)) <= 2 * len(parts) * LAST_DIGIT


@thorough
@given(fills(EXACT), fills(EXACT), whole_sizes, cuts)
def test_fill_when_split_into_parts_that_only_open_then_the_state_is_the_same(first, fill, size, cut_at):
    fill = msgspec.structs.replace(fill, quantity=size, symbol=first.symbol, side=first.side, leg=first.leg)
    state = applied(NEW, POLICY, Topic.FILLS, first)
    whole = applied(state, POLICY, Topic.FILLS, fill)
    split = applied(state, POLICY, Topic.FILLS, *parts_of(fill, cut_at))
    assert (split.balances, split.positions) == (whole.balances, whole.positions)


def order(symbol, number):
    return OrderUpdate(
        account="alice",
        time_ns=0,
        update_id=f"u{number}",
        order_id=f"o{number}",
        symbol=symbol,
        side="buy",
        quantity=Decimal(1),
        price=Decimal(7),
    )


@thorough
@given(
    st.lists(fills(CONTRACTS), max_size=8),
    st.lists(st.sampled_from(sorted(LISTED)), max_size=4),
    st.sampled_from(EXPIRING),
    marks,
)
def test_settlement_when_booked_then_it_closes_all_of_its_symbol_at_its_value_and_nothing_else(
    done, ordered, symbol, at
):
    orders = [order(it, number) for number, it in enumerate(ordered)]
    state = applied(NEW, POLICY, Topic.FILLS, *done, *orders)
    settlement = Settlement(account="alice", time_ns=0, settlement_id="s", symbol=symbol, price=at[symbol])
    after = applied(state, POLICY, Topic.FILLS, settlement)

    def others(entries):
        return {key: one for key, one in entries.items() if symbol_of(key) != symbol}

    assert after.positions == others(state.positions)
    assert after.orders == {name: one for name, one in state.orders.items() if one.symbol != symbol}
    assert (after.leverage, after.isolated, after.ledger) == (state.leverage, state.isolated, state.ledger)
    # worth the same at the settlement price, now as cash
    assert holdings(after, at) == holdings(state, at)
    again = applied(after, POLICY, Topic.FILLS, settlement)
    assert (again.balances, again.positions, again.orders) == (after.balances, after.positions, after.orders)


@thorough
@given(st.lists(fills(CONTRACTS), min_size=1, max_size=6), marks)
def test_positions_when_closed_at_their_marks_then_the_wallet_holds_what_they_were_worth(done, at):
    state = applied(NEW, POLICY, Topic.FILLS, *done)
    assume(state.positions)
    closing = []
    for key, held in state.positions.items():
        symbol, _, leg = key.partition(LEG_SEPARATOR)
        closing.append(trade(symbol, -held.quantity, at[symbol], leg=leg or None))
    closed = applied(state, POLICY, Topic.FILLS, *closing)
    assert closed.positions == {}
    assert closed.balances == holdings(state, at)
