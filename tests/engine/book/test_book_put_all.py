"""Accounts that change together, and what of a change the book need not look up again."""

import random
from decimal import Decimal

import numpy as np
import pytest
from msgspec.structs import replace

from engine.book.columns import PACKED_ROW, PACKED_TERM, ROW, TERM
from engine.book.watches import Watches
from engine.ledger.accounts import AccountState, OpenOrder
from engine.margin.margin_model import uses_portfolio
from tests.engine.book import box_policies as boxed
from tests.engine.book.book_twins import Twins, place
from tests.engine.book.box_policies import trader
from tests.engine.book.test_book_boxes import market, tick

D = Decimal


def changed(rng: random.Random, before: AccountState, other: AccountState) -> AccountState:
    """`before` with one thing of `other`, or one amount changed."""
    if rng.random() < 0.3 and before.balances:
        asset = rng.choice(sorted(before.balances))
        return replace(before, balances={**before.balances, asset: before.balances[asset] + 1})
    field = rng.choice(("balances", "positions", "isolated", "orders", "margin_model", "collateral_off"))
    return replace(before, **{field: getattr(other, field)})


@pytest.mark.parametrize("units", ["mark", "index"])
def test_books_when_accounts_change_together_then_they_decide_alike(units: str) -> None:
    rng, policy = random.Random(f"together {units}"), boxed.policy_of(units)
    twins = market(policy, rng)
    crowd = [f"account-{i:02}" for i in range(12)]
    twins.put_all(*(replace(trader(rng, policy), account=name) for name in crowd))
    for name in crowd:
        place(twins, name, rng.choice(("1.7", "1.3", "1.1")), D(0), relative=False)
    twins.judge(*crowd)
    for _ in range(60):
        names = rng.choices(crowd, k=4)  # one may change twice
        twins.put_all(*(changed(rng, twins.state(name), trader(rng, policy)) for name in names))
        twins.judge(*sorted(set(names)))
        move = D(rng.choice(("0.0001", "-0.0007", "0.004", "-0.03", "0.05")))
        twins.on_marks(*(tick(twins, rng.choice(sorted(boxed.START)), move, rng) for _ in range(3)))
    assert twins.judgements > 10
    twins.totals()


def test_watches_when_called_the_same_then_they_are() -> None:
    rng, same = random.Random(7), 0
    for units in boxed.UNITS:
        policy = boxed.policy_of(units)
        watches = Watches(policy, {symbol: i for i, symbol in enumerate(policy.price_symbols)})
        for _ in range(300):
            before = replace(trader(rng, policy), account="a")
            after = changed(rng, before, replace(trader(rng, policy), account="a"))
            if watches.same(before, after):
                assert watches.of(after) == watches.of(before)
                same += 1
    assert same > 100


def test_watches_when_only_the_margin_model_or_an_order_differs_then_not_called_the_same() -> None:
    policy = boxed.policy_of("mark")
    held = AccountState("a", {"USD": D(5)}, margin_model="cross")
    netted = replace(held, margin_model="portfolio")
    assert uses_portfolio(netted, policy)
    resting = replace(held, orders={"o": OpenOrder("BTC-PERP", D(1), D(100))})
    watches = Watches(policy, {symbol: i for i, symbol in enumerate(policy.price_symbols)})
    assert not watches.same(held, netted)
    assert not watches.same(held, resting)
    assert watches.same(held, replace(held, balances={"USD": D(6)}))


def test_book_when_an_order_brings_a_contract_then_its_marks_concern_the_account() -> None:
    rng, policy = random.Random(3), boxed.policy_of("mark")
    twins: Twins = market(policy, rng)
    twins.put(AccountState("a", {"USDT": D(5)}))
    twins.judge("a")
    watching = twins.fast._table.holders.columns[1]
    number = twins.fast._encoder.symbol_ids["BTC-PERP"]
    assert watching[number] == 0
    twins.put(replace(twins.state("a"), orders={"o": OpenOrder("BTC-PERP", D(1), D(100))}))
    assert watching[number] == 1


def test_packed_records_when_read_as_columns_then_every_field_is_in_its_place() -> None:
    (term,) = np.frombuffer(PACKED_TERM.pack(1.5, 2.5, 3, 4), TERM).tolist()
    assert dict(zip(TERM.names or (), term, strict=True)) == {
        "amount": 1.5,
        "entry": 2.5,
        "symbol": 3,
        "asset": 4,
    }
    (row,) = np.frombuffer(PACKED_ROW.pack(1.5, 2.5, 3, 65_535, 255), ROW).tolist()
    assert dict(zip(ROW.names or (), row, strict=True)) == {
        "low": 1.5,
        "high": 2.5,
        "terms": 3,
        "flags": 65_535,
        "band": 255,
    }
