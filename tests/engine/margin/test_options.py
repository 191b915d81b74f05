"""Black-76, and options margined one by one or by their largest loss."""

import math
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.margin.options.black76 import PRICE_PLACES, OptionQuote, option_greeks, option_price, to_places
from engine.margin.options.short_options import (
    OptionHolding,
    largest_loss,
    net_calls,
    option_margin,
    payoff,
    short_option_margin,
)
from engine.policy.rules.portfolio_rules import OptionRules, Rates

D = Decimal
YEAR = D(365 * 86_400)
LAST_PLACE = D(1).scaleb(-PRICE_PLACES)

DERIBIT = OptionRules(
    initial_rate=D("0.15"),
    initial_floor_rate=D("0.1"),
    call_maintenance_rate=D("0.075"),
    put_maintenance_rate=D("0.075"),
    put_maintenance_value_rate=D("0.075"),
    put_initial_of_maintenance=D(1),
)


def quote(right="call", strike="100", forward="100", volatility="0.2", years="1", rate="0"):
    return OptionQuote(right, D(strike), D(forward), D(volatility), D(years) * YEAR, D(rate))


def holding(right, strike, quantity, value="0", expiry=""):
    return OptionHolding(right, D(strike), D(quantity), D(value), expiry)


def test_option_price_when_at_the_money_then_the_value_of_the_closed_form():
    # F * (N(0.1) - N(-0.1)) = 100 * erf(0.1 / sqrt 2)
    assert option_price(quote()) == to_places(100 * math.erf(0.1 / math.sqrt(2)))
    assert option_price(quote()) == D("7.9655674554")


def test_option_price_when_a_rate_is_given_then_discounted():
    # 7.96556745540579 * e^-0.05 = 7.57708209...
    assert option_price(quote(rate="0.05")) == to_places(7.965567455405804 * math.exp(-0.05))


@pytest.mark.parametrize(("years", "volatility"), [("0", "0.5"), ("-1", "0.5"), ("1", "0")])
def test_option_price_when_expired_or_without_volatility_then_intrinsic(years, volatility):
    assert option_price(quote("call", "90", "100", volatility, years)) == 10
    assert option_price(quote("put", "90", "100", volatility, years)) == 0
    assert option_price(quote("put", "110", "100", volatility, years)) == 10


def test_option_price_when_the_forward_is_nothing_then_a_put_is_worth_its_strike():
    assert option_price(quote("put", "90", "0")) == 90
    assert option_price(quote("call", "90", "0")) == 0


def test_option_price_when_deep_out_of_the_money_then_never_below_zero_and_the_other_side_intrinsic():
    far = {"strike": "100000", "forward": "100", "volatility": "0.5", "years": "0.01"}
    assert option_price(quote("call", **far)) == 0
    assert option_price(quote("put", **far)) == 99_900


prices = st.decimals(min_value=1, max_value=200_000, places=2)
quotes = st.builds(
    OptionQuote,
    st.just("call"),
    prices,
    prices,
    st.decimals(min_value=0, max_value=5, places=4),
    st.decimals(min_value=0, max_value=3 * YEAR, places=0),
    st.decimals(min_value="-0.2", max_value="0.5", places=3),
)


@given(quotes)
def test_option_price_when_call_and_put_are_compared_then_parity(call):
    put = OptionQuote("put", call.strike, call.forward, call.volatility, call.seconds_to_expiry, call.rate)
    discount = math.exp(-float(call.rate) * float(call.seconds_to_expiry / YEAR))
    # call - put = D * (F - K), to the digits that float64 has
    parity = D(discount) * (call.forward - call.strike)
    assert abs(option_price(call) - option_price(put) - parity) <= 4 * LAST_PLACE + abs(parity) * D("1e-14")


@given(quotes)
def test_option_price_when_repeated_then_equal_and_within_its_bounds(call):
    price = option_price(call)
    assert price == option_price(call)
    assert -price.as_tuple().exponent == PRICE_PLACES
    discount = D(math.exp(-float(call.rate) * float(call.seconds_to_expiry / YEAR)))
    assert 0 <= price <= discount * call.forward * D("1.000000000001") + LAST_PLACE


@pytest.mark.parametrize("right", ["call", "put"])
@pytest.mark.parametrize("strike", ["80", "100", "125"])
def test_option_greeks_when_compared_with_small_moves_then_the_slopes_of_the_price(right, strike):
    base = {"right": right, "strike": strike, "rate": "0.03"}
    greeks, step = option_greeks(quote(**base)), D("0.01")
    up, down = (option_price(quote(**base, forward=str(100 + s))) for s in (step, -step))
    mid = option_price(quote(**base))
    assert greeks.delta == pytest.approx((up - down) / (2 * step), abs=D("1e-6"))
    assert greeks.gamma == pytest.approx((up - 2 * mid + down) / step**2, abs=D("1e-4"))
    more, less = (option_price(quote(**base, volatility=v)) for v in ("0.2001", "0.1999"))
    assert greeks.vega == pytest.approx((more - less) / D("0.0002"), abs=D("1e-3"))
    # a hundredth of a day either way: the seconds left fall as time passes
    later, earlier = (
        option_price(msgspec.structs.replace(quote(**base), seconds_to_expiry=YEAR + s))
        for s in (D(-864), D(864))
    )
    assert greeks.theta == pytest.approx((later - earlier) / (D(2) * D("0.01")), abs=D("1e-5"))


def test_option_greeks_when_expired_then_those_of_the_intrinsic_value():
    assert option_greeks(quote("call", "90", years="0")).delta == 1
    assert option_greeks(quote("put", "110", years="0")).delta == -1
    assert option_greeks(quote("put", "90", years="0")).delta == 0
    assert option_greeks(quote("call", "90", years="0")).vega == 0


@pytest.mark.parametrize(
    ("right", "strike", "value", "initial", "maintenance"),
    [
        # max(15 % - 10 % out of the money, 10 %) of 100 * 2 + 2 * 3;  7.5 % of 100 * 2 + 2 * 3
        ("call", "110", "3", 2 * 10 + 6, 2 * D("7.5") + 6),
        # max(15 % - 2 %, 10 %)
        ("call", "102", "4", 2 * 13 + 8, 2 * D("7.5") + 8),
        # in the money: nothing is deducted
        ("call", "90", "12", 2 * 15 + 24, 2 * D("7.5") + 24),
        ("put", "97", "2", 2 * 12 + 4, 2 * D("7.5") + 4),
        # a put far in the money: 7.5 % of its value 2 * 250 exceeds that of the index, and IM is no less than MM
        ("put", "350", "250", D("37.5") + 500, D("37.5") + 500),
    ],
)
def test_short_option_margin_when_rates_are_deribits_then_its_published_formula(
    right, strike, value, initial, maintenance
):
    margin = short_option_margin(holding(right, strike, "-2", value), D(100), DERIBIT)
    assert (margin.initial_margin, margin.maintenance_margin) == (initial, maintenance)


def test_short_option_margin_when_long_then_nothing():
    assert short_option_margin(holding("call", "100", "5", "9"), D(100), DERIBIT).initial_margin == 0


def test_short_option_margin_when_a_fee_to_liquidate_counts_then_in_maintenance():
    rules = OptionRules(
        initial_rate=D("0.15"),
        initial_floor_rate=D("0.1"),
        call_maintenance_rate=D("0.03"),
        call_maintenance_value_rate=D("0.03"),
        liquidation_fee_rate=D("0.002"),
    )
    # max(3 % * 20250, 3 % * 290) + 290 + 0.2 % * 20250
    margin = short_option_margin(holding("call", "22000", "-1", "290"), D(20_250), rules)
    assert margin.maintenance_margin == D("607.5") + 290 + D("40.5")


SPREADS = OptionRules(
    initial_rate=D("0.15"),
    initial_floor_rate=D("0.1"),
    call_maintenance_rate=D("0.075"),
    put_maintenance_rate=D("0.075"),
    spreads="max_loss",
    unpaired_calls=Rates(maintenance=D("1.1"), initial=D("1.2")),
)


def test_option_margin_when_a_spread_is_covered_then_its_largest_loss():
    legs = [holding("call", "100", "-1", "8"), holding("call", "105", "1", "6")]
    # own: 15 + 8 and 7.5 + 8; largest loss 105 - 100
    margin = option_margin(legs, D(100), {}, SPREADS)
    assert (margin.initial_margin, margin.maintenance_margin) == (5, 5)


def test_option_margin_when_calls_are_net_short_then_the_unpaired_ones_are_added():
    legs = [holding("call", "1", "-2", "2"), holding("call", "1.5", "1", "1")]
    # own: (15 % of 2 + 2) * 2 = 4.6; largest loss up to 1.5: 1.0, one unpaired call: 1.2 * 2 = 2.4
    margin = option_margin(legs, D(2), {"": D(2)}, SPREADS)
    assert margin.initial_margin == D("3.4")
    assert margin.maintenance_margin == 1 + D("1.1") * 2


def test_option_margin_when_unpaired_calls_have_no_rate_then_a_limitless_loss_is_never_the_better():
    rules = OptionRules(initial_rate=D("0.15"), initial_floor_rate=D("0.1"), spreads="max_loss")
    margin = option_margin([holding("call", "100", "-1", "8")], D(100), {}, rules)
    assert margin.initial_margin == 15 + 8


def test_option_margin_when_expiries_differ_then_they_do_not_offset():
    legs = [holding("call", "100", "-1", "8", "near"), holding("call", "105", "1", "6", "far")]
    # near: min(15 + 8, 1.2 * 50)
    assert option_margin(legs, D(100), {"near": D(50)}, SPREADS).initial_margin == 23


def test_option_margin_when_only_the_larger_side_counts_then_with_the_value_of_the_other():
    rules = OptionRules(
        initial_rate=D("0.15"), initial_floor_rate=D("0.1"), put_floor_on="strike", sides="larger"
    )
    legs = [holding("call", "435", "-100", "5.5"), holding("put", "435", "-100", "7.2")]
    # call (65.0025 - 1.65 + 5.5) * 100, put (65.0025 + 7.2) * 100: the put's, and the call's 550
    assert option_margin(legs, D("433.35"), {}, rules).initial_margin == D("7220.25") + 550


def test_largest_loss_when_between_strikes_then_found_at_a_strike_or_at_zero():
    condor = [
        holding("put", "1000", "1"),
        holding("put", "1025", "-1"),
        holding("call", "1150", "-1"),
        holding("call", "1175", "1"),
    ]
    assert largest_loss(condor) == 25
    assert payoff(condor, D(0)) == -25
    assert payoff(condor, D(1100)) == 0
    assert largest_loss([holding("put", "50", "-2")]) == 100


legs = st.lists(
    st.builds(
        OptionHolding,
        st.sampled_from(["call", "put"]),
        st.decimals(min_value=1, max_value=300, places=0),
        st.decimals(min_value=-20, max_value=20, places=1),
        st.decimals(min_value=0, max_value=90, places=2),
        st.sampled_from(["near", "far"]),
    ),
    max_size=6,
)


@given(legs, st.randoms())
def test_option_margin_when_the_legs_are_permuted_then_the_same(held, random):
    shuffled = list(held)
    random.shuffle(shuffled)
    assert option_margin(held, D(100), {}, SPREADS) == option_margin(shuffled, D(100), {}, SPREADS)


@given(legs, st.decimals(min_value=0, max_value=1000, places=1))
def test_largest_loss_when_the_loss_is_limited_then_no_price_loses_more(held, price):
    if net_calls(held) >= 0:
        assert -payoff(held, price) <= largest_loss(held)
