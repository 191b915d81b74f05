"""What the properties and the second implementation found once, as the smallest account that shows it."""

from decimal import Decimal

import msgspec

from engine.ledger.accounts import AccountState, OpenOrder, Position
from engine.margin.cross.cross_pool import cross_figures
from engine.margin.position_margin import position_margin
from engine.numbers import exact
from engine.policy import MarginRules, OpenInterestScaling, SizeRates
from tests.support.builders import account, prices, sample

_replace = msgspec.structs.replace

INVERSE = sample(
    (
        '[instruments.ETH-PERP]\nkind = "perpetual"',
        '[instruments.ETH-PERP]\nkind = "perpetual"\npayoff = "inverse"',
    )
)
ENTRY = _replace(sample(), margin={"default": MarginRules(notional="entry", initial="tier")})


def test_cross_figures_when_inverse_dust_without_entry_value_never_had_a_mark_then_it_is_valued_at_one():
    # 1e-18 contracts / 60000 rounds to an entry value of 0, so no price can be had from it
    dust = Position(quantity=Decimal("1e-18"), entry_value=Decimal(0))
    state = AccountState("alice", positions={"ETH-PERP": dust})
    figures = cross_figures(state, prices({"USDT-USD": 1}), INVERSE)
    # 0 - 1e-18 / 1
    assert figures.equity == Decimal("-1e-18")
    assert figures.degraded


def test_cross_figures_when_orders_come_in_another_order_of_a_mapping_then_the_same_entry_value_remains():
    # long 5; sells of 5 at 100 and at 200: one closes the long, the other stays as the entry value
    resting = {
        "a": OpenOrder("BTC-PERP", Decimal(-5), Decimal(100)),
        "b": OpenOrder("BTC-PERP", Decimal(-5), Decimal(200)),
    }
    state = _replace(account({"USDT": 10_000}, {"BTC-PERP": (5, 10)}), orders=resting)
    other = _replace(state, orders=dict(reversed(resting.items())))
    at = prices({"BTC-PERP": 150, "USDT-USD": 1})
    figures = cross_figures(state, at, ENTRY)
    assert figures == cross_figures(other, at, ENTRY)
    # "a" fills first and closes the long, 5 * 200 stays: 0.1 * 1000
    assert figures.initial_margin == 100


def test_initial_margin_when_the_market_is_crowded_then_a_rate_above_one_is_not_lowered():
    crowded = OpenInterestScaling(lower_cap=Decimal(10), upper_cap=Decimal(20))
    rates = SizeRates(
        initial_base_rate=Decimal("0.5"), maintenance_base_rate=Decimal("0.1"), slope_per_unit=Decimal(1)
    )
    policy = _replace(sample(), margin={"default": MarginRules(initial="size")})
    contract = _replace(policy.instruments["BTC-PERP"], open_interest=crowded, size_rates=rates)
    policy = _replace(policy, instruments={"BTC-PERP": contract})
    held = Position(quantity=Decimal(2), entry_value=Decimal(200))
    with exact():
        margin = position_margin("BTC-PERP", held, Decimal(100), Decimal(10), policy, Decimal(1000))
    # (0.5 + 1 * 2) * 200; scaled towards 1 it would be negative
    assert margin.initial_margin == 500
