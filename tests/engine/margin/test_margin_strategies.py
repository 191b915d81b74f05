"""Every strategy of `MarginRules` by hand, linear and inverse, long and short."""

from decimal import Decimal

import pytest

from engine.ladder import Band, band_at
from engine.margin.cross.cross_pool import cross_figures
from engine.margin.isolated_pool import isolated_figures
from engine.margin.position_margin import position_margin
from engine.numbers import exact
from engine.policy import OpenInterestScaling, SizeRates
from tests.support.builders import mark as quoted
from tests.support.builders import prices
from tests.support.wide import holding, opened, order, wide, with_margin, with_pool

D = Decimal
POLICY = wide()
LINEAR, INVERSE = "BTC-PERP", "BTC-INV"


def margin(policy, quantity, mark, entry=None, symbol=LINEAR, leverage=10, interest=None):
    with exact():
        held = opened(policy, symbol, quantity, entry or mark)
        return position_margin(symbol, held, D(mark), D(leverage), policy, interest)


# tiers of "major": 5 % / 10 % below 1,000,000; 10 % / 20 % below 5,000,000, deduction 50,000


@pytest.mark.parametrize(
    ("initial", "leverage", "expected"),
    [
        ("leverage_or_tier", 4, D(2_000_000) / 4),
        ("leverage_or_tier", 10, D("0.2") * 2_000_000),
        ("leverage", 4, D(2_000_000) / 4),
        ("leverage", 10, D(2_000_000) / 10),
        ("tier", 4, D("0.2") * 2_000_000),
        ("tier_over_leverage", 4, D("0.2") * 2_000_000 / 4),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_initial_when_by_each_strategy_then_its_formula(initial, leverage, expected, sign):
    assert (
        margin(with_margin(POLICY, initial=initial), sign * 40, 50_000, leverage=leverage).initial_margin
        == expected
    )


@pytest.mark.parametrize(
    ("rules", "leverage", "expected"),
    [
        ({"maintenance": "tier"}, 10, D("0.1") * 2_000_000 - 50_000),
        ({"maintenance": "tier_over_leverage"}, 4, D("0.1") * 2_000_000 / 4),
        ({"maintenance": "fraction_of_initial"}, 4, D("0.5") * D("0.2") * 2_000_000),
        # at the tier's rate, whatever leverage the account chose
        ({"maintenance": "fraction_of_initial"}, 2, D("0.5") * D("0.2") * 2_000_000),
        ({"maintenance": "fraction_of_initial", "maintenance_fraction": D("0.8")}, 4, D("0.16") * 2_000_000),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_maintenance_when_by_each_strategy_then_its_formula(rules, leverage, expected, sign):
    assert (
        margin(with_margin(POLICY, **rules), sign * 40, 50_000, leverage=leverage).maintenance_margin
        == expected
    )


def test_tiering_when_flat_then_the_tiers_rate_holds_for_all_of_it_and_jumps_at_the_edge():
    flat = with_margin(POLICY, tiering="flat")
    assert margin(flat, 19, 50_000).maintenance_margin == D("0.05") * 950_000
    assert margin(flat, 20, 50_000).maintenance_margin == D("0.1") * 1_000_000
    assert margin(with_margin(POLICY), 20, 50_000).maintenance_margin == D("0.05") * 1_000_000


def test_notional_when_of_the_entry_then_the_mark_moves_the_profit_and_not_the_margin():
    policy = with_margin(POLICY, notional="entry")
    for mark in (40_000, 60_000):
        held = margin(policy, -10, mark, entry=50_000)
        assert held.notional == D(10) * 50_000
        assert held.maintenance_margin == D("0.05") * 500_000
        assert held.initial_margin == D(500_000) / 10
        assert held.unrealised_pnl == -10 * (D(mark) - 50_000)


@pytest.mark.parametrize(
    ("closing_fee", "symbol", "sign", "fee"),
    [
        ("none", LINEAR, 1, D(0)),
        ("none", INVERSE, -1, D(0)),
        ("notional", LINEAR, 1, D("0.001") * 500_000),
        ("notional", LINEAR, -1, D("0.001") * 500_000),
        ("notional", INVERSE, 1, D("0.001") * 2),
        ("notional", INVERSE, -1, D("0.001") * 2),
        # the price that consumes N / 10: 10 % below for a long, above for a short
        ("bankruptcy", LINEAR, 1, D("0.001") * (500_000 - 50_000)),
        ("bankruptcy", LINEAR, -1, D("0.001") * (500_000 + 50_000)),
        # in coin a long is bankrupt where its value has grown by its margin
        ("bankruptcy", INVERSE, 1, D("0.001") * (D(2) + D("0.2"))),
        ("bankruptcy", INVERSE, -1, D("0.001") * (D(2) - D("0.2"))),
    ],
)
def test_closing_fee_when_counted_then_in_both_margins_or_only_in_maintenance(closing_fee, symbol, sign, fee):
    quantity = sign * (10 if symbol == LINEAR else 1_000)
    without = margin(with_margin(POLICY, symbol), quantity, 50_000, symbol=symbol)
    for in_initial in (True, False):
        policy = with_margin(
            POLICY,
            symbol,
            closing_fee=closing_fee,
            closing_fee_in_initial=in_initial,
            taker_fee_rate=D("0.001"),
        )
        charged = margin(policy, quantity, 50_000, symbol=symbol)
        assert charged.closing_fee == fee
        assert charged.maintenance_margin == without.maintenance_margin + fee
        assert charged.initial_margin == without.initial_margin + (fee if in_initial else 0)


def test_closing_fee_when_of_bankruptcy_then_the_fee_of_the_trade_at_that_very_price():
    policy = with_margin(POLICY, closing_fee="bankruptcy", taker_fee_rate=D("0.001"))
    # long 10 at 50,000, leverage 10: the margin is consumed at 45,000
    assert margin(policy, 10, 50_000).closing_fee == D("0.001") * 10 * 45_000
    # inverse short, 100,000 USD at 50,000: 0.2 BTC are consumed where 100,000 / p = 1.8
    inverse = with_margin(POLICY, INVERSE, closing_fee="bankruptcy", taker_fee_rate=D("0.001"))
    assert margin(inverse, -1_000, 50_000, symbol=INVERSE).closing_fee == D("0.001") * (D(2) - D("0.2"))


SIZED = SizeRates(initial_base_rate=D("0.02"), maintenance_base_rate=D("0.01"), slope_per_unit=D("0.00005"))


@pytest.mark.parametrize("sign", [1, -1])
def test_size_rates_when_the_position_grows_then_one_rate_holds_for_all_of_it(sign):
    policy = with_margin(POLICY, instrument={"size_rates": SIZED}, initial="size", maintenance="size")
    held = margin(policy, sign * 200, 50_000)
    # 200 BTC: 2 % + 200 * 0.005 % = 3 % and 1 % + 1 % = 2 %, of 10,000,000
    assert (held.initial_rate, held.maintenance_rate) == (D("0.03"), D("0.02"))
    assert held.initial_margin == D("0.03") * 10_000_000
    assert held.maintenance_margin == D("0.02") * 10_000_000


def test_size_rates_when_inverse_then_the_size_is_the_coins_it_is_worth():
    policy = with_margin(POLICY, INVERSE, {"size_rates": SIZED}, initial="size", maintenance="size")
    # 100,000 contracts of 100 USD at 50,000 are 200 BTC
    held = margin(policy, 100_000, 50_000, symbol=INVERSE)
    assert held.initial_margin == D("0.03") * 200
    assert held.maintenance_margin == D("0.02") * 200


SCALING = OpenInterestScaling(lower_cap=D(1_000_000), upper_cap=D(5_000_000), rate_step=D("0.01"))


@pytest.mark.parametrize(
    ("interest", "rate"),
    [
        (None, D("0.1")),
        (D(20), D("0.1")),  # 1,000,000: the lower cap
        (D(40), D("0.1") + D("0.9") / 4),  # a quarter of the way: 0.325, truncated below
        (D(100), D(1)),
        (D(1_000), D(1)),
    ],
)
def test_open_interest_when_between_the_caps_then_the_initial_rate_rises_to_one_and_is_truncated(
    interest, rate
):
    policy = with_margin(POLICY, instrument={"open_interest": SCALING})
    held = margin(policy, 2, 50_000, interest=interest)
    assert held.initial_rate == (D("0.32") if rate == D("0.325") else rate)
    assert held.initial_margin == held.initial_rate * 100_000
    assert held.maintenance_margin == D("0.05") * 100_000  # never scaled


TWO = {"positions": {LINEAR: (2, 50_000)}}
LEGS = {"positions": {f"{LINEAR}|long": (3, 50_000), f"{LINEAR}|short": (-1, 50_000)}}


@pytest.mark.parametrize(("held", "figures"), [
    (TWO, cross_figures),
    (LEGS, cross_figures),
    ({"orders": {"o": order(LINEAR, 2, 50_000)}}, cross_figures),
    ({"isolated": {LINEAR: (2, 50_000, 50_000)}}, lambda *asked: isolated_figures(asked[0], LINEAR, *asked[1:])),
])  # fmt: skip
def test_open_interest_when_the_mark_says_it_then_positions_legs_orders_and_isolated_ones_scale_with_it(
    held, figures
):
    policy = with_margin(POLICY, instrument={"open_interest": SCALING}, hedge_legs="net")
    state = holding(policy, {"USDT": 50_000}, **held)
    said, unsaid, other = (
        figures(
            state, prices({"USDT-USD": 1, LINEAR: quoted(LINEAR, 50_000, **facts), "ETH-PERP": it}), policy
        )
        for facts, it in (
            ({"open_interest": 40}, 100),
            ({}, 100),
            ({}, quoted("ETH-PERP", 100, open_interest=40)),
        )
    )
    # 40 * 50,000 lies a quarter of the way between the caps: 0.325, truncated; two contracts, or what two legs leave
    assert said.initial_margin == D("0.32") * 100_000
    assert unsaid.initial_margin == other.initial_margin == D("0.1") * 100_000
    assert said.maintenance_margin == unsaid.maintenance_margin


@pytest.mark.parametrize(
    ("step", "notional"), [(D(1_000), D(123_000)), (D("0.01"), D("123456.78")), (D(0), D("123456.789"))]
)
def test_notional_step_when_set_then_the_notional_is_truncated(step, notional):
    held = margin(with_margin(POLICY, notional_step=step), 1, "123456.789")
    assert held.notional == notional
    assert held.maintenance_margin == D("0.05") * notional


@pytest.mark.parametrize(
    ("rounding", "maintenance", "initial"),
    [
        # 5 % and 10 % of 123,450: 6,172.5 and 12,345
        ("exact", D("6172.5"), D(12_345)),
        ("up", D(6_180), D(12_350)),
        ("down", D(6_170), D(12_340)),
        ("half_even", D(6_170), D(12_340)),  # 1,234.5 steps: the even neighbour
    ],
)
def test_margin_rounding_when_set_then_both_margins_are_multiples_of_the_step(rounding, maintenance, initial):
    step = D(0) if rounding == "exact" else D(10)
    held = margin(with_margin(POLICY, margin_rounding=rounding, margin_step=step), 1, 123_450)
    assert (held.maintenance_margin, held.initial_margin) == (maintenance, initial)


def test_margin_rounding_when_a_fraction_of_initial_is_required_then_the_rounded_initial_is_taken():
    policy = with_margin(
        POLICY, initial="tier", maintenance="fraction_of_initial", margin_rounding="up", margin_step=D(10)
    )
    held = margin(policy, 1, "123411")
    assert held.initial_margin == D(12_350)  # 12,341.1
    assert held.maintenance_margin == D(6_180)  # half of 12,350 is 6,175


def test_profit_weight_when_below_one_then_profits_count_in_part_and_losses_whole():
    policy = with_margin(POLICY, profit_weight=D("0.4"))
    for entry, counted in ((49_000, D("0.4") * 1_000), (51_000, D(-1_000))):
        state = holding(policy, {"USDT": 9_000}, {LINEAR: (1, entry)})
        figures = cross_figures(state, prices({"USDT-USD": 1, LINEAR: 50_000}), policy)
        assert figures.collateral_value == D(9_000) + counted
        assert figures.equity == D(9_000) + 50_000 - entry


@pytest.mark.parametrize(
    ("weight", "share", "counted"),
    [
        ("1", None, 1_000),
        ("1", "1", 1_000),
        ("1", "0.3", 300),
        ("1", "0", 0),
        # the smaller one counts, not both
        ("0.4", "0.3", 300),
        ("0.4", "0.5", 400),
    ],
)
def test_realisable_profit_when_the_losing_side_can_pay_a_share_then_no_more_of_a_profit_counts(
    weight, share, counted
):
    policy = with_margin(POLICY, profit_weight=D(weight), realisable_profit=True)
    said = {} if share is None else {"realisable_share": D(share)}
    at = prices({"USDT-USD": 1, LINEAR: quoted(LINEAR, 50_000, **said)})
    for entry, expected in ((49_000, counted), (51_000, -1_000)):
        figures = cross_figures(holding(policy, {"USDT": 9_000}, {LINEAR: (1, entry)}), at, policy)
        assert (figures.collateral_value, figures.equity) == (9_000 + expected, 9_000 + 50_000 - entry)
        # an isolated position has its profit for itself
        alone = holding(policy, isolated={LINEAR: (1, entry, 5_500)})
        assert isolated_figures(alone, LINEAR, at, policy).collateral_value == 5_500 + 50_000 - entry
    # and nobody is asked where the policy does not ask
    whole = cross_figures(holding(POLICY, {"USDT": 9_000}, {LINEAR: (1, 49_000)}), at, POLICY)
    assert whole.collateral_value == 10_000


# liquidation fee: N 100,000, MM 5,000, fee 1,000


FEE = with_pool(POLICY, liquidation_fee_rate=D("0.01"))


def with_fee(collateral, policy=FEE):
    state = holding(policy, {"USDT": collateral}, {LINEAR: (2, 50_000)})
    return cross_figures(state, prices({"USDT-USD": 1, LINEAR: 50_000}), policy)


def test_liquidation_fee_when_counted_then_it_is_in_the_ratios_denominator_and_not_in_the_maintenance_margin():
    figures = with_fee(12_000)
    assert figures.liquidation_fee == D("0.01") * 100_000
    assert figures.maintenance_margin == D("0.05") * 100_000
    assert figures.ratio == D(12_000) / (5_000 + 1_000)
    assert with_fee(12_000, POLICY).ratio == D(12_000) / 5_000
    assert figures.initial_margin == D("0.1") * 100_000


@pytest.mark.parametrize(
    ("collateral", "band"),
    [
        (9_000, Band.HEALTHY),  # 1.5 * 6,000
        (8_999, Band.WARNING),
        (7_199, Band.MARGIN_CALL),  # below 1.2 * 6,000
        (6_299, Band.REDUCE_ONLY),  # below 1.05 * 6,000
        (6_000, Band.REDUCE_ONLY),
        (5_999, Band.LIQUIDATION),  # above the maintenance margin alone
    ],
)
def test_band_when_the_fee_is_counted_then_every_line_is_of_margin_and_fee(collateral, band):
    assert band_at(with_fee(collateral), FEE.ladder) is band


def test_shortfall_when_the_fee_is_counted_then_it_includes_it():
    assert with_fee(5_000).shortfall(D("1.2")) == D("1.2") * 6_000 - 5_000


def test_liquidation_fee_when_isolated_then_of_the_position_too():
    state = holding(FEE, isolated={LINEAR: (2, 50_000, 5_500)})
    alone = isolated_figures(state, LINEAR, prices({"USDT-USD": "0.5", LINEAR: 50_000}), FEE)
    assert alone.requirement == (D("0.05") * 100_000 + D("0.01") * 100_000) * D("0.5")
    assert band_at(alone, FEE.ladder) is Band.LIQUIDATION


def test_liquidation_fee_when_the_contract_is_inverse_then_the_coins_convert_at_the_index():
    state = holding(FEE, {"BTC": 1}, {INVERSE: (1_000, 50_000)})
    figures = cross_figures(state, prices({"BTC-USD": 60_000, INVERSE: 50_000}), FEE)
    assert figures.liquidation_fee == D("0.01") * 2 * 60_000
