"""Options in scenarios: shocks by term, skew, discounts, forwards, settlement, and SPAN's scanning risk."""

import math
from decimal import Decimal

import pytest

from engine.margin import exact_arithmetic
from engine.margin.options.black76 import OptionQuote, option_price
from engine.margin.portfolio import Exposure, portfolio_margin
from engine.margin.portfolio.scenarios import UnitBook, scanning_risk, scenario_profit
from engine.margin.portfolio.shocks import expiry_discounts, skew_multiplier, volatility_shocks
from engine.numbers import exact
from engine.policy.rules.portfolio_rules import (
    DiscountStep,
    ExpiryDiscount,
    ForwardShock,
    Grid,
    PortfolioRules,
    RateShock,
    Scenario,
    SkewShock,
    SkewStep,
    UnitRules,
    VolatilityShock,
    VolatilityStep,
)
from tests.support.unit_margins import charge, worst, worst_loss

D = Decimal
DAY = D(86_400)
TERM = VolatilityShock(
    up=D("0.5"),
    down=D("0.25"),
    short_term_power=D("0.3"),
    long_term_power=D("0.13"),
    up_volatility_min=D("0.5"),
)


def option(quantity="-1", **changes):
    return Exposure(
        **(
            {
                "symbol": "BTC-C",
                "underlying": "BTC",
                "kind": "option",
                "quantity": D(quantity),
                "strike": D(110),
                "volatility": D("0.6"),
                "forward": D(100),
                "seconds_to_expiry": 30 * DAY,
            }
            | changes
        )
    )


def margin(exposures, **rules):
    return portfolio_margin(exposures, PortfolioRules(units={"default": UnitRules(**rules)})).units["BTC"]


def price(forward="100", volatility="0.6", days="30", rate="0", right="call", strike="110"):
    return option_price(OptionQuote(right, D(strike), D(forward), D(volatility), D(days) * DAY, D(rate)))


def test_scenario_when_the_price_moves_then_the_option_is_repriced_on_the_moved_forward():
    unit = margin([option("-2")], scenarios=(Scenario(price=D("0.1")),))
    assert worst_loss(unit) == 2 * (price("110") - price())


def test_scenario_when_volatility_moves_up_at_the_reference_term_then_by_the_plain_rate():
    unit = margin([option()], scenarios=(Scenario(volatility="up"),), volatility=TERM)
    assert worst_loss(unit) == price(volatility="0.9") - price()


def test_scenario_when_volatility_moves_down_then_longs_lose():
    unit = margin([option("1")], scenarios=(Scenario(volatility="down"),), volatility=TERM)
    assert worst_loss(unit) == price() - price(volatility="0.45")


def test_scenario_when_volatility_moves_up_from_little_then_to_the_least_evaluated():
    unit = margin([option(volatility=D("0.1"))], scenarios=(Scenario(volatility="up"),), volatility=TERM)
    assert worst_loss(unit) == price(volatility="0.5") - price(volatility="0.1")


@pytest.mark.parametrize(("days", "power"), [("7.5", "0.3"), ("30", "0.3"), ("120", "0.13"), ("0.5", "0.3")])
def test_volatility_shocks_when_the_term_differs_then_by_its_power(days, power):
    up, down = volatility_shocks(TERM, D(days) * DAY)
    # the floor is one day
    scale = (30 / max(float(days), 1)) ** float(power)
    assert up == pytest.approx(0.5 * scale)
    assert down == pytest.approx(0.25 * scale)


def test_volatility_shocks_when_a_table_is_given_then_the_step_of_the_term():
    steps = (
        VolatilityStep(days_floor=D(0), up=D("0.9"), down=D("0.5")),
        VolatilityStep(days_floor=D(7), up=D("0.4"), down=D("0.3")),
    )
    table = VolatilityShock(steps=steps)
    assert volatility_shocks(table, 7 * DAY - 1) == (0.9, 0.5)
    assert volatility_shocks(table, 7 * DAY) == (0.4, 0.3)


def test_volatility_when_points_are_added_then_never_below_zero():
    points = VolatilityShock(mode="absolute", up=D("0.2"), down=D("0.8"))
    unit = margin([option("1")], scenarios=(Scenario(volatility="down"),), volatility=points)
    # without volatility the option is worth nothing
    assert worst_loss(unit) == price()
    risen = margin([option()], scenarios=(Scenario(volatility="up"),), volatility=points)
    assert worst_loss(risen) == price(volatility="0.8") - price()


def test_scenario_when_time_passes_then_longs_lose_their_decay():
    unit = margin([option("1")], scenarios=(Scenario(days=D(1), group="decay"),))
    assert worst(unit, "decay").loss == price() - price(days="29")


def test_scenario_when_the_settlement_average_is_under_way_then_only_the_rest_of_it_moves():
    late = option(seconds_to_expiry=D(450), strike=D(100))
    unit = margin([late], scenarios=(Scenario(price=D("0.2")),), settlement_seconds=D(1800))
    days = str(D(450) / DAY)
    # a quarter of 30 minutes is left: the forward moves by 5 %
    assert worst_loss(unit) == price("105", days=days, strike="100") - price(days=days, strike="100")


def test_scenario_when_shocks_are_on_the_index_then_the_forward_moves_as_far():
    unit = margin([option(index=D(90))], scenarios=(Scenario(price=D("0.1")),), shock_on="index")
    assert worst_loss(unit) == price("109") - price()


def test_scenario_when_options_and_futures_hedge_then_they_net_in_each():
    future = Exposure(symbol="BTC-F", underlying="BTC", kind="linear", quantity=D(1), mark=D(100))
    unit = margin([option(), future], grid=Grid(prices=(D("-0.1"), D("0.1")), volatilities=("none",)))
    assert list(unit.profits) == [
        -10 + price() - price("90"),
        10 + price() - price("110"),
    ]


SKEW = SkewShock(linear_cap=D("0.15"), absolute_cap=D("0.1"), width_min=D("0.2"))


def test_skew_multiplier_when_inside_the_width_then_in_proportion_and_outside_capped():
    inside = option(strike=D(100 * math.exp(0.1)))
    assert skew_multiplier(SKEW, inside, 100.0, linear=True) == pytest.approx(1 + 0.15 / 2)
    below = option(strike=D(100 * math.exp(-0.1)))
    assert skew_multiplier(SKEW, below, 100.0, linear=True) == pytest.approx(1 - 0.15 / 2)
    assert skew_multiplier(SKEW, below, 100.0, linear=False) == pytest.approx(1 + 0.1 / 2)
    assert skew_multiplier(SKEW, option(strike=D(500)), 100.0, linear=True) == pytest.approx(1.15)
    assert skew_multiplier(SKEW, option(strike=D(1)), 100.0, linear=True) == pytest.approx(0.85)


def test_skew_multiplier_when_the_term_sets_cap_and_width_then_by_the_root_of_the_years():
    term = SkewShock(
        linear_cap=D("0.15"),
        absolute_cap=D("0.15"),
        linear_cap_slope=D("-0.05"),
        width_min=D("0.01"),
        width_scale=D(4),
        width_volatility=D("0.6"),
        width_volatility_slope=D("-0.1"),
    )
    # a quarter of a year: cap 0.15 - 0.05 * 0.5, width 0.5 * 4 * (0.6 - 0.1 * 0.5)
    quarter = option(strike=D(100 * math.exp(0.11)), seconds_to_expiry=365 * DAY / 4)
    assert skew_multiplier(term, quarter, 100.0, linear=True) == pytest.approx(1 + 0.11 * 0.125 / 1.1)


def test_skew_multiplier_when_a_table_is_given_then_the_step_of_the_term():
    steps = (SkewStep(days_floor=D(0), linear_cap=D("0.3"), absolute_cap=D("0.2"), width=D("0.1")),)
    table = SkewShock(linear_cap=D(0), absolute_cap=D(0), width_min=D(1), steps=steps)
    assert skew_multiplier(table, option(strike=D(500)), 100.0, linear=False) == pytest.approx(1.2)


def test_scenario_when_the_skew_moves_then_every_expiry_loses_whatever_its_sign():
    book = [option("1", expiry="near"), option("-1", expiry="far", seconds_to_expiry=90 * DAY)]
    scenario = (Scenario(skew="linear", group="skew"),)
    near = worst_loss(margin(book[:1], scenarios=scenario, skew=SKEW))
    far = worst_loss(margin(book[1:], scenarios=scenario, skew=SKEW))
    assert near > 0
    assert worst_loss(margin(book, scenarios=scenario, skew=SKEW)) == near + far


def test_expiry_discounts_when_rates_are_high_then_the_short_one_never_exceeds_the_undiscounted_value():
    rules = ExpiryDiscount(
        long_factor=D("0.95"),
        long_rate_addition=D("0.08"),
        short_factor=D("1.04"),
        short_rate_multiplier=D("0.5"),
        short_rate_addition=D("0.08"),
    )
    long, short = expiry_discounts(rules, 365 * DAY, D("0.1"))
    assert long == pytest.approx(D(0.95 * math.exp(-0.18)))
    # 1.04 * e^0.13 is more than e^0.1
    assert short == pytest.approx(D(math.exp(0.1)))


def test_scenario_when_an_expiry_is_discounted_then_by_the_sign_of_its_value():
    factors = ExpiryDiscount(
        long_factor=D(1),
        short_factor=D(1),
        steps=(DiscountStep(days_floor=D(0), long=D("0.9"), short=D("1.1")),),
    )
    still = {"scenarios": (Scenario(),), "expiry_discount": factors}
    assert worst_loss(margin([option("1")], **still)) == D("0.1") * price()
    assert worst_loss(margin([option("-1")], **still)) == D("0.1") * price()


def test_forward_loss_when_expiries_move_alone_then_their_worst_moves_add_up():
    shock = ForwardShock(prices=(D("0.05"), D("-0.05")), factor_base=D("0.5"), factor_per_year=D(2))
    book = [
        option("-1", expiry="near"),
        option("1", expiry="far", seconds_to_expiry=365 * DAY, right="put"),
    ]
    near = (price("105") - price()) * D("0.5")
    # a long put loses when its forward rises, times 0.5 + 2 * 1 year
    far = price(days="365", right="put") - price("105", days="365", right="put")
    unit = margin(book, forward=shock)
    assert unit.forward_loss == pytest.approx(near + (price("105") - price()) * 2 * 30 / 365 + far * D("2.5"))
    assert worst_loss(unit) == unit.forward_loss


def test_interest_when_rates_move_then_the_worse_way_counts():
    unit = margin([option("1", rate=D("0.1"))], interest=RateShock(shift=D("0.05")))
    assert charge(unit, "interest").maintenance == price(rate="0.1") - price(rate="0.15")


def test_rate_when_below_the_least_then_the_least_counts():
    unit = margin([option("-1", rate=D("-0.5"))], scenarios=(Scenario(price=D("0.1")),), rate_min=D(0))
    assert worst_loss(unit) == price("110") - price()


def test_scanning_risk_when_nothing_loses_then_none():
    assert scanning_risk([D(40), D(-70), D(-5)]) == 70
    assert scanning_risk([D(3)]) == 0


@pytest.mark.parametrize("conversion", ["moved", "current"])
def test_scenarios_when_alike_to_a_unit_without_options_then_each_has_the_profit_of_its_own_rules(conversion):
    rules = UnitRules(
        grid=Grid(prices=(D("-0.15"), D(0), D("0.15"))),
        scenarios=(
            Scenario(price=D("-0.15")),
            Scenario(price=D("-0.15"), weight=D("0.3")),
            Scenario(price=D("-0.15"), dampener=D(4)),
            Scenario(price=D("-0.15"), volatility="up", skew="linear", days=D(2)),
        ),
        inverse_conversion=conversion,
    )
    held = [
        Exposure(symbol="BTC", underlying="BTC", kind="spot", quantity=D(3), mark=D(100)),
        Exposure(symbol="BTC-COIN", underlying="BTC", kind="inverse", quantity=D(-70), mark=D(101)),
    ]
    with exact():
        found = UnitBook(held, rules).profits()
        linear, inverse = (UnitBook([one], UnitRules(grid=Grid(prices=(D(1),)))).profits() for one in held)
        each = [
            scenario_profit(it, linear[0], inverse[0], [], rules, exact_arithmetic)
            for it in rules.all_scenarios
        ]
    assert found == each
    assert len(set(each)) == 5
