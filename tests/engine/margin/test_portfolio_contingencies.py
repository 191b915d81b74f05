"""Contingencies by hand: basis, vega, futures, short options, liquidity."""

import math
from decimal import Decimal

import pytest

from engine.margin import exact_arithmetic
from engine.margin.options.black76 import OptionQuote, option_greeks
from engine.margin.portfolio import Exposure
from engine.margin.portfolio.contingencies import (
    basis_charge,
    basis_move,
    delta_one_charge,
    liquidity_charge,
    offsets,
    scaled_charge,
    settle_hedge_charges,
    short_option_charge,
    vega_charge,
)
from engine.margin.portfolio.oracles import confidence_charge
from engine.numbers import exact
from engine.policy.rules.portfolio_rules import (
    BasisRisk,
    ChargeTier,
    DeltaOneCharge,
    LiquidityCharge,
    OracleConfidence,
    Rates,
    SettleHedge,
    ShortOptionCharge,
    VegaRisk,
)

D = Decimal
DAY = D(86_400)
YEAR = 365 * DAY


@pytest.fixture(autouse=True)
def in_exact_context():
    with exact():
        yield


def future(quantity, expiry="", years="0", **others):
    return Exposure(
        symbol=f"F{expiry}", underlying="BTC", kind="linear", quantity=D(quantity), mark=D(100),
        expiry=expiry, seconds_to_expiry=D(years) * YEAR, **others,
    )  # fmt: skip


def option(quantity, strike="100", right="call", expiry="near", days="30", **others):
    return Exposure(
        symbol=f"O{strike}{right}", underlying="BTC", kind="option", quantity=D(quantity), right=right,
        strike=D(strike), volatility=D("0.5"), forward=D(100), index=D(100), expiry=expiry,
        seconds_to_expiry=D(days) * DAY, **others,
    )  # fmt: skip


def test_basis_when_each_group_counts_then_its_net_delta_times_its_move():
    rules = BasisRisk(move_min=D("0.01"), annualised_move=D("0.1"), compounding="linear")
    book = [future(3), future(-1), future(-2, "DEC", "0.5")]
    # perpetuals 200 * max(0, 1 %), DEC 200 * max(10 % * 0.5, 1 %)
    assert basis_charge(book, rules).maintenance == 2 + 10


def test_basis_when_only_offsets_count_then_by_the_time_between_the_groups():
    rules = BasisRisk(move_min=D("0.01"), annualised_move=D("0.1"), compounding="linear", netting="hedged")
    book = [future(3), future(-2, "JUN", "0.5"), future(-4, "DEC", "1")]
    # JUN offsets 200 of the perpetual at half a year, DEC the 100 that is left at a year
    assert basis_charge(book, rules).maintenance == 200 * D("0.05") + 100 * D("0.1")


def test_basis_when_spot_does_not_count_then_a_lone_perpetual_is_a_group_of_its_own():
    spot = Exposure(symbol="S", underlying="BTC", kind="spot", quantity=D(5), mark=D(100))
    each, alone = BasisRisk(move_min=D("0.01")), BasisRisk(move_min=D("0.01"), spot=False)
    assert basis_charge([spot, future(-5)], each).maintenance == 10
    assert basis_charge([spot, future(-5)], alone).maintenance == 5


def test_basis_move_when_compounded_then_exponential_and_never_below_the_least():
    rules = BasisRisk(move_min=D("0.01"), annualised_move=D("0.075"))
    assert basis_move(rules, YEAR) == pytest.approx(D(math.exp(0.075) - 1))
    assert basis_move(rules, DAY) == D("0.01")


def test_offsets_when_groups_alternate_then_the_nearest_open_ones_match_first():
    groups = [(D(0), D(5)), (D(10), D(3)), (D(30), D(-6)), (D(40), D(-4))]
    assert offsets(groups) == [(D(3), D(20)), (D(3), D(30)), (D(2), D(40))]
    assert offsets([(D(0), D(5)), (D(1), D(2))]) == []


def test_vega_when_expiries_offset_then_by_the_days_between_them():
    vega = {
        days: option_greeks(OptionQuote("call", D(100), D(100), D("0.5"), D(days) * DAY)).vega
        for days in (30, 90)
    }
    rules = VegaRisk(move_min=D("0.01"), move_per_day=D("0.001"))
    charge = vega_charge([option(1), option(-2, expiry="far", days="90")], rules)
    # the near vega is the smaller
    assert charge.maintenance == pytest.approx(min(vega[30], 2 * vega[90]) * (D("0.01") + 60 * D("0.001")))
    assert vega_charge([option(1), option(1, expiry="far", days="90")], rules).maintenance == 0


def test_delta_one_when_long_and_short_then_both_count_at_the_ruled_price():
    rate = Rates(maintenance=D("0.01"), initial=D("0.02"))
    book = [future(3, index=D(90)), future(-1, index=D(90)), option(5)]
    charge = delta_one_charge(book, DeltaOneCharge(rate=rate))
    assert (charge.maintenance, charge.initial) == (D("3.6"), D("7.2"))
    assert delta_one_charge(book, DeltaOneCharge(rate=rate, price="mark")).maintenance == 4


def test_short_options_when_netted_by_strike_then_calls_and_puts_alike():
    book = [
        option(-3, "100"), option(1, "100", "put"),  # 2 short
        option(-1, "120"), option(-2, "120", "put"),  # 3 short
        option(4, "130"), option(-1, "130", expiry="far"),  # 1 short in another expiry
    ]  # fmt: skip
    rate = Rates(maintenance=D("0.01"))
    assert short_option_charge(book, ShortOptionCharge(rate=rate)).maintenance == 6
    assert short_option_charge(book, ShortOptionCharge(rate=rate, netting="none")).maintenance == 7


@pytest.mark.parametrize(
    ("quantity", "charge"), [(10, 0), (30, 3000 * D("0.01")), (-200, 20_000 * D("0.05"))]
)
def test_liquidity_when_the_net_delta_grows_then_its_rate_does_up_to_the_largest(quantity, charge):
    rules = LiquidityCharge(threshold=D(1000), slope=D("0.000005"), rate_max=D("0.05"))
    assert liquidity_charge([future(quantity)], rules).maintenance == charge


def test_scaled_charge_when_within_the_first_tier_or_without_tiers_then_as_it_is():
    tiers = (ChargeTier(floor=D(0), multiplier=D(1)), ChargeTier(floor=D(10_000), multiplier=D(2)))
    assert scaled_charge(D(10_000), tiers, exact_arithmetic) == 10_000
    assert scaled_charge(D(30_000), tiers, exact_arithmetic) == 10_000 + 2 * 20_000
    assert scaled_charge(D(30_000), (), exact_arithmetic) == 30_000


def test_settle_hedges_when_listed_in_order_then_an_offset_is_charged_once():
    hedges = [SettleHedge(first=a, second=b, rate=D("0.1")) for a, b in (("USDT", "USDC"), ("USDT", "USD"))]
    book = [future(5, settle="USDT"), future(-3, settle="USDC"), future(-4, settle="USD")]
    charges = list(settle_hedge_charges(book, hedges))
    # 300 against USDC, the 200 that are left against USD
    assert [charge.maintenance for charge in charges] == [30, 20]


def test_settle_hedges_when_tiered_then_each_part_of_the_offset_at_its_own_rate():
    tiers = tuple(
        ChargeTier(floor=D(floor), multiplier=D(rate)) for floor, rate in ((0, 1), (200, 3), (250, 5))
    )
    hedge = SettleHedge(first="USDT", second="USDC", rate=D("0.01"), tiers=tiers)
    book = [future(-5, settle="USDT"), future(3, settle="USDC")]
    (charge,) = settle_hedge_charges(book, [hedge])
    # 1 % of 200, 3 % of 50, 5 % of the 50 that are left of 300
    assert (charge.maintenance, charge.initial) == (6, 6)
    (small,) = settle_hedge_charges([future(-1, settle="USDT"), future(3, settle="USDC")], [hedge])
    assert small.maintenance == 1


def test_confidence_when_futures_bind_options_then_their_doubt_spreads():
    book = [
        future(-1, confidence=D("0.3")),
        option(2, confidence=D("0.9")),
        option(-1, "120", confidence=D("0.8")),
    ]
    rate = Rates(initial=D(1))
    bound = OracleConfidence(threshold=D("0.5"), rate=rate)
    # (1 - 0.3) * (100 + 300)
    assert confidence_charge(book, bound).initial == 280
    free = OracleConfidence(threshold=D("0.5"), rate=rate, futures_bind_options=False)
    assert confidence_charge(book, free).initial == 70
    shorts = OracleConfidence(threshold=D("0.5"), rate=rate, options="short")
    assert confidence_charge(book, shorts).initial == 70 + 70
