"""Accounts that hold, or once held, what has left the policy: judged by the rest, and degraded only for what they hold."""

from collections.abc import Mapping
from decimal import Decimal

import pytest
from msgspec.structs import replace

from engine.ledger.accounts import FLAT, AccountState, IsolatedPosition, OpenOrder
from engine.margin.listed_part import listed_part, mentions_unlisted, unlisted_holding, unlisted_holdings
from engine.rejections import RejectionCode
from tests.engine.book.book_twins import Twins
from tests.support.builders import Number, account, position, sample

POLICY = sample()
QUOTES: Mapping[str, Number] = {"USDT-USD": 1, "BTC-USD": 50_000, "BTC-PERP": 50_000}
HELD = account({"USDT": 10_000}, {"BTC-PERP": (1, 50_000)})


def left(**fields: object) -> AccountState:
    """The account with more of something."""
    merged = {
        name: {**getattr(HELD, name), **more} if isinstance(more, Mapping) else more
        for name, more in fields.items()
    }
    return replace(HELD, **merged)


def margin(amount: str) -> dict[str, IsolatedPosition]:
    return {"GONE-PERP": IsolatedPosition(FLAT, Decimal(amount))}


ORDER = OpenOrder(symbol="GONE-PERP", quantity=Decimal(1), price=Decimal(1))


@pytest.mark.parametrize(
    "state",
    [
        left(leverage={"GONE-PERP": Decimal(5)}),
        left(orders={"o": ORDER}),
        left(collateral_off=("GONE",)),
        left(balances={"GONE": Decimal("1e-18")}),
        left(balances={"GONE": Decimal("-0.00000001")}),
        left(isolated=margin("0.00000001")),
    ],
)
def test_account_when_it_holds_no_more_than_dust_of_what_left_then_judged_as_if_it_had_none(
    state: AccountState,
) -> None:
    assert unlisted_holding(state, POLICY) is None
    part = listed_part(state, POLICY)
    assert replace(part, leverage={}) == HELD
    twins = Twins(POLICY, QUOTES)
    twins.put(state)
    twins.judge(state.account)
    twins.on_marks(twins.mark("BTC-PERP", Decimal(49_000)))
    assert not any(pool.degraded for pool in twins.plain.risk(state.account).pools.values())


@pytest.mark.parametrize(
    ("state", "symbols", "assets"),
    [
        (left(balances={"GONE": Decimal("0.000000011")}), set(), {"GONE"}),
        (left(balances={"GONE": Decimal(-1)}), set(), {"GONE"}),
        (left(isolated=margin("0.1")), {"GONE-PERP"}, set()),
        (left(positions={"GONE-PERP": position("0.000000001", 10)}), {"GONE-PERP"}, set()),
        (left(positions={"GONE-PERP": position(1, 10)}, balances={"A": Decimal(1)}), {"GONE-PERP"}, {"A"}),
    ],
)
def test_account_when_it_holds_what_left_then_judged_by_the_rest_and_degraded(
    state: AccountState, symbols: set[str], assets: set[str]
) -> None:
    assert unlisted_holdings(state, POLICY) == (symbols, assets)
    assert mentions_unlisted(state, POLICY)
    part = listed_part(state, POLICY)
    assert (part.balances, part.positions, part.isolated) == (HELD.balances, HELD.positions, HELD.isolated)
    assert part.fills.stop is not None
    assert part.fills.stop.code is RejectionCode.UNLISTED_HOLDING
    twins = Twins(POLICY, QUOTES)
    twins.put(state)
    twins.judge(state.account)
    assert any(pool.degraded for pool in twins.plain.risk(state.account).pools.values())
