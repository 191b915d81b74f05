"""Portfolio margin by hand: worked examples, factors, minimum charges, credits, and lines that sum up."""

from decimal import Decimal

import msgspec
import pytest

from engine.margin.portfolio import Exposure, portfolio_margin
from engine.policy.rules.portfolio_rules import (
    BasisRisk,
    ChargeTier,
    Correlation,
    DeltaOneCharge,
    Grid,
    MinimumCharge,
    OptionRules,
    OracleConfidence,
    PortfolioRules,
    Rates,
    Scenario,
    SettleHedge,
    StablecoinPeg,
    UnitRules,
)
from tests.support.unit_margins import worst

D = Decimal
FLAT_VOLATILITY = ("none",)


def grid(*prices):
    return Grid(prices=tuple(map(D, prices)), volatilities=FLAT_VOLATILITY)


def unit(**rules):
    return UnitRules(**({"grid": grid("-0.12", "-0.06", "0", "0.06", "0.12")} | rules))


def rules(units=None, **others):
    return PortfolioRules(units=units or {"default": unit()}, **others)


def held(kind, quantity, mark, underlying="BTC", **others):
    return Exposure(
        symbol=f"{underlying}-{kind}",
        underlying=underlying,
        kind=kind,
        quantity=D(quantity),
        mark=D(mark),
        **others,
    )


def test_pair_when_it_is_short_one_and_long_the_other_then_it_requires_less_than_its_legs():
    # worked example 5: short 10 ETH at 3000, long 100 SOL at 150
    short, long = held("linear", -10, 3000, "ETH"), held("linear", 100, 150, "SOL")
    both = rules(
        {"ETH": unit(), "SOL": unit(grid=grid("-0.2", "-0.1", "0", "0.1", "0.2"))},
        correlations=(Correlation(first="ETH", second="SOL", rate=D("0.8"), cap=D("0.5")),),
    )
    # ETH 12 % of 30000, SOL 20 % of 15000
    assert portfolio_margin([short], both).maintenance_margin == 3600
    assert portfolio_margin([long], both).maintenance_margin == 3000
    # moved together: -3600 + 3000 at the top, so 6000 is offset; 80 % of it, at most half of the smaller 3000
    margin = portfolio_margin([short, long], both)
    assert margin.credits[0].maintenance == 1500
    assert margin.maintenance_margin == 3600 + 3000 - 1500


def test_pair_when_both_are_long_then_no_credit():
    both = rules(correlations=(Correlation(first="ETH", second="SOL", rate=D(1), cap=D(1)),))
    margin = portfolio_margin([held("linear", 10, 3000, "ETH"), held("linear", 100, 150, "SOL")], both)
    assert margin.maintenance_margin == 3600 + 1800


def test_hedge_when_spot_is_long_and_a_perpetual_short_then_only_the_basis_remains():
    # worked example 6: long 2 BTC spot, short 2 BTC perpetual
    basis = unit(basis=BasisRisk(move_min=D("0.005"), netting="hedged"))
    margin = portfolio_margin(
        [held("spot", 2, 60_000), held("linear", -2, 60_000)], rules({"default": basis})
    )
    assert margin.units["BTC"].price_risk.maintenance == 0
    # 0.5 % of the 120000 that offset each other
    assert margin.maintenance_margin == 600


def test_hedge_when_spot_may_not_offset_then_the_perpetual_is_margined_alone():
    spot = held("spot", 2, 60_000, offsets_risk=False)
    margin = portfolio_margin([spot, held("linear", -2, 60_000)], rules())
    assert margin.maintenance_margin == D("0.12") * 120_000
    assert margin.value == 120_000


def test_scenarios_when_shocks_are_on_the_index_then_the_basis_to_the_mark_does_not_count():
    long = held("linear", 3, 101, index=D(100))
    assert portfolio_margin([long], rules({"default": unit(shock_on="index")})).maintenance_margin == 36
    assert portfolio_margin([long], rules({"default": unit(shock_on="mark")})).maintenance_margin == D(
        "36.36"
    )


def test_scenarios_when_settled_in_coin_then_a_loss_converts_at_the_moved_or_the_current_price():
    # 12000 USD at 60000: 0.2 coins
    inverse = held("inverse", 12_000, 60_000, conversion=D(60_000))
    shock = grid("-0.2", "0.25")
    moved = portfolio_margin([inverse], rules({"default": unit(grid=shock)}))
    # 0.2 coins lose 20 % of their value
    assert moved.maintenance_margin == 2400
    current = portfolio_margin([inverse], rules({"default": unit(grid=shock, inverse_conversion="current")}))
    # 12000 * (1/60000 - 1/48000) coins at 60000
    assert current.maintenance_margin == 3000


def test_scenarios_when_a_tail_is_weighted_and_dampened_then_it_counts_less():
    tail = (Scenario(price=D("-0.6"), weight=D("0.5"), dampener=D(100)),)
    margin = portfolio_margin([held("linear", 1, 10_000)], rules({"default": unit(scenarios=tail)}))
    # 0.5 * 6000 - 100 against 12 %
    assert worst(margin.units["BTC"], "tail").loss == 2900
    assert worst(margin.units["BTC"], "grid").loss == 1200
    assert margin.maintenance_margin == 2900


def test_scenarios_when_the_dampener_exceeds_the_loss_then_no_gain_appears():
    tail = (Scenario(price=D("-0.6"), dampener=D(10_000)),)
    margin = portfolio_margin([held("linear", 1, 10_000)], rules({"default": unit(scenarios=tail)}))
    assert worst(margin.units["BTC"], "tail").profit == 0


def test_unit_when_the_minimum_charge_is_larger_then_it_counts_scaled_by_its_tiers():
    minimum = MinimumCharge(
        delta_one_rate=D("0.2"),
        tiers=(
            ChargeTier(floor=D(0), multiplier=D(1)),
            ChargeTier(floor=D(1000), multiplier=D(2)),
            ChargeTier(floor=D(3000), multiplier=D(4)),
        ),
    )
    margin = portfolio_margin([held("linear", -2, 10_000)], rules({"default": unit(minimum=minimum)}))
    # 20 % of 20000: 1000 * 1 + 2000 * 2 + 1000 * 4, against 12 % of 20000
    assert margin.units["BTC"].minimum == 9000
    assert margin.maintenance_margin == 9000
    together = portfolio_margin(
        [held("linear", -2, 10_000)], rules({"default": unit(minimum=minimum, total="sum")})
    )
    assert together.maintenance_margin == 2400 + 9000


def test_account_when_initial_is_a_multiple_then_of_the_same_requirement():
    margin = portfolio_margin([held("linear", 1, 1000)], rules(initial_factor=D("1.3")))
    assert (margin.maintenance_margin, margin.initial_margin) == (120, 156)
    # Deribit states it the other way round: MM is 80 % of IM
    other = portfolio_margin([held("linear", 1, 1000)], rules(maintenance_factor=D("0.8")))
    assert (other.maintenance_margin, other.initial_margin) == (96, 120)


def test_account_when_initial_has_rates_of_its_own_then_they_count():
    own = unit(
        loss_factor=Rates(maintenance=D("0.8"), initial=D(1)),
        delta_one=DeltaOneCharge(rate=Rates(maintenance=D("0.015"), initial=D("0.02"))),
    )
    margin = portfolio_margin([held("linear", 1, 1000)], rules({"default": own}))
    assert (margin.maintenance_margin, margin.initial_margin) == (96 + 15, 120 + 20)


def test_account_when_the_stablecoin_leaves_its_peg_then_initial_margin_rises():
    peg = StablecoinPeg(threshold=D("0.98"), rate=Rates(initial=D(2)))
    margin = portfolio_margin([held("linear", 1, 1000)], rules(peg=peg), D("0.93"))
    # loss factor 1 + 2 * 0.05
    assert (margin.maintenance_margin, margin.initial_margin) == (120, 132)
    on_shorts = portfolio_margin(
        [held("linear", 1, 1000)], rules(peg=msgspec.structs.replace(peg, on="shorts")), D("0.93")
    )
    assert on_shorts.initial_margin == 120 + D("0.1") * 1000


def test_account_when_an_oracle_is_doubtful_then_initial_margin_rises_below_the_threshold():
    doubt = unit(confidence=OracleConfidence(threshold=D("0.5"), rate=Rates(initial=D(1))))
    sure = held("linear", 1, 1000, confidence=D("0.5"))
    doubtful = held("linear", 1, 1000, confidence=D("0.9"), index_confidence=D("0.4"))
    assert portfolio_margin([sure], rules({"default": doubt})).initial_margin == 120
    assert portfolio_margin([doubtful], rules({"default": doubt})).initial_margin == 120 + D("0.6") * 1000


def test_account_when_stablecoins_offset_each_other_then_the_peg_between_them_is_charged():
    hedges = (SettleHedge(first="USDT", second="USDC", rate=D("0.01")),)
    long, short = held("linear", 3, 1000, settle="USDT"), held("linear", -2, 1000, settle="USDC")
    margin = portfolio_margin([long, short], rules({"default": unit(settle_hedges=hedges)}))
    # 12 % of 1000 net, 1 % of the 2000 that offset each other
    assert margin.maintenance_margin == 120 + 20


def test_account_when_options_are_margined_one_by_one_then_beside_the_scenarios():
    table = OptionRules(initial_rate=D("0.15"), initial_floor_rate=D("0.1"), call_maintenance_rate=D("0.075"))
    option = held("option", -1, 8, strike=D(110), index=D(100), forward=D(100), seconds_to_expiry=D(86_400))
    margin = portfolio_margin([option], rules({"default": unit(options=table)}))
    # 7.5 % of 100 + 8, less the 8 that equity already counts as owed
    assert (margin.value, margin.maintenance_margin, margin.initial_margin) == (-8, D("7.5"), 10)
    assert margin.value - margin.maintenance_margin == D("-15.5")


def test_account_when_cash_is_held_then_it_only_counts_as_value():
    margin = portfolio_margin([held("cash", -500, 1, conversion=D("0.99"))], rules())
    assert (margin.value, margin.maintenance_margin, margin.lines[0].value) == (-495, 0, 0)


def test_account_when_an_underlying_has_no_rules_then_refused():
    with pytest.raises(KeyError):
        portfolio_margin([held("linear", 1, 1, "DOGE")], rules({"BTC": unit()}))


def test_credits_when_a_unit_pairs_twice_then_its_risk_is_used_up_once():
    pairs = tuple(Correlation(first="BTC", second=other, rate=D(1), cap=D(1)) for other in ("ETH", "SOL"))
    book = [held("linear", 1, 1000), held("linear", -1, 1000, "ETH"), held("linear", -1, 1000, "SOL")]
    margin = portfolio_margin(book, rules(correlations=pairs))
    # BTC/ETH offset 240 but each has 120: both are used up, nothing is left for BTC/SOL
    assert [one.maintenance for one in margin.credits] == [120, 0]
    assert margin.maintenance_margin == 3 * 120 - 120


def test_lines_when_summed_then_both_margins_to_the_last_digit():
    full = unit(
        basis=BasisRisk(move_min=D("0.002")),
        minimum=MinimumCharge(delta_one_rate=D("0.3")),
        delta_one=DeltaOneCharge(rate=Rates(maintenance=D("0.01"), initial=D("0.03"))),
    )
    margin = portfolio_margin(
        [held("linear", 1, "999.1"), held("linear", -2, 333, "ETH"), held("spot", 3, "0.7", "ETH")],
        rules(
            {"default": full},
            correlations=(Correlation(first="BTC", second="ETH", rate=D("0.3"), cap=D("0.5")),),
            initial_factor=D("1.3"),
        ),
    )
    for figure in ("maintenance_margin", "initial_margin"):
        assert sum(line.value for line in margin.lines if line.figure == figure) == getattr(margin, figure)
    assert {line.item for line in margin.lines} >= {
        "BTC price_risk",
        "BTC minimum_charge",
        "BTC/ETH correlation",
    }
