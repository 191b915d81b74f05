"""Liquidation plans by hand: what is closed first, how much of it, at what limit, and when nothing helps."""

from decimal import Decimal

import msgspec
import pytest

from engine.ledger.accounts import AccountState, OpenOrder, Position
from engine.liquidation.plan import (
    CancelStep,
    NetStep,
    ReduceStep,
    RepayStep,
    TakeOverBalanceStep,
    TakeOverStep,
)
from engine.liquidation.planner import liquidation_plan
from engine.policy import PolicyError, parse
from tests.support.builders import account, position, prices, sample

D = Decimal
_replace = msgspec.structs.replace

FEES = "[liquidation]\nfee_rate = 0.001\nslippage_rate = 0.001\n"
AT = prices({"USDT-USD": 1, "BTC-USD": 30_000, "BTC-PERP": 100, "ETH-PERP": 10})
"""The sample's maintenance margin is 5 % of the notional, its exit line 1.02."""


def policy(rules="", *changes, lot="0.1", tick="0.5"):
    """The sample policy: closing costs 0.2 % of the value; BTC-PERP has lots and ticks."""
    listed = '[instruments.BTC-PERP]\nkind = "perpetual"\n'
    return sample(
        ("[assets.USD]\n", f"{FEES}{rules}\n[assets.USD]\n"),
        (listed, f"{listed}quantity_step = {lot}\nprice_step = {tick}\n"),
        *changes,
    )


POLICY = policy()


def plan_of(state, rules=POLICY, at=AT, pool="", **more):
    return liquidation_plan(state, pool, at, rules, **more)


def test_plan_when_one_long_then_as_many_lots_as_reach_the_exit_line_and_no_more():
    plan = plan_of(account({"USDT": 40}, {"BTC-PERP": (10, 100)}))
    # 40 - 0.2 q >= 1.02 * (50 - 5 q)  =>  q >= 11 / 4.9 = 2.2449, up to the lot: 2.3
    assert plan.steps == (
        ReduceStep(
            symbol="BTC-PERP",
            leg=None,
            side="sell",
            quantity=D("2.3"),
            # 40 + 10 * (p - 100) = 0.001 * 10 * p  =>  p = 960 / 9.99 = 96.096, up to the tick
            limit_price=D("96.5"),
            mark=D(100),
            # 0.002 * 2.3 * 100
            expected_cost=D("0.46"),
            # 0.05 * 2.3 * 100
            freed_margin=D("11.5"),
        ),
    )
    assert (plan.outcome, plan.exit_line) == ("exit", D("1.02"))
    assert plan.collateral_value_after == 40 - D("0.46")
    assert plan.requirement_after == 50 - D("11.5")
    assert (plan.expected_cost, plan.freed_margin, plan.expected_shortfall) == (D("0.46"), D("11.5"), 0)


def test_plan_when_one_short_then_it_is_bought_at_most_at_the_limit_rounded_down():
    (step,) = plan_of(account({"USDT": 40}, {"BTC-PERP": (-10, 100)})).steps
    # 40 + 10 * (100 - p) = 0.001 * 10 * p  =>  p = 1040 / 10.01 = 103.896
    assert (step.side, step.quantity, step.limit_price) == ("buy", D("2.3"), D("103.5"))


def test_plan_when_no_lot_is_known_then_the_eighteenth_digit_is_rounded_up():
    (step,) = plan_of(account({"USDT": 40}, {"BTC-PERP": (10, 100)}), policy(lot=0, tick=0)).steps
    # 11 / 4.9 = 2.244897959183673469387..
    assert step.quantity == D("2.244897959183673470")


def test_plan_when_the_position_is_no_multiple_of_its_lot_then_all_of_it_can_still_be_closed():
    # closing 1.25 costs 0.25 and leaves 0.05 without a requirement; 1.2 leaves 0.26 - 0.24 = 0.02 below 1.02 * 0.25
    (step,) = plan_of(account({"USDT": "0.26"}, {"BTC-PERP": ("1.25", 100)})).steps
    assert step.quantity == D("1.25")


def test_plan_when_no_price_uses_up_the_equity_then_no_limit():
    # 1001 against a requirement of 1000: all of the long can become worthless
    steep = policy("", ("maintenance_rate = 0.05\ninitial_rate = 0.1", "maintenance_rate = 1\ninitial_rate = 1"),
                   ("maintenance_rate = 0.1\ninitial_rate = 0.2", "maintenance_rate = 1\ninitial_rate = 1"),
                   ("maintenance_rate = 0.25\ninitial_rate = 0.5", "maintenance_rate = 1\ninitial_rate = 1"))  # fmt: skip
    (step,) = plan_of(account({"USDT": 1_001}, {"BTC-PERP": (10, 100)}), steep).steps
    assert step.limit_price is None


# --- who goes first


def test_plan_when_one_leg_is_dearer_to_close_then_the_other_goes_first_and_whole():
    # both free 5 %; BTC-PERP costs 0.2 %, ETH-PERP 0.1 % + 1 % of the value
    dearer = policy("[liquidation.slippage_rates]\nETH-PERP = 0.01", lot=1)
    plan = plan_of(account({"USDT": 20}, {"ETH-PERP": (50, 10), "BTC-PERP": (5, 100)}), dearer)
    first, second = plan.steps
    # gap 20 - 1.02 * 50 = -31; all BTC: 5 * (5.1 - 0.2) = 24.5; each ETH 0.51 - 0.11 = 0.4: 6.5 / 0.4 = 16.25
    assert (first.symbol, first.quantity) == ("BTC-PERP", 5)
    assert (second.symbol, second.quantity) == ("ETH-PERP", D("16.25"))


def test_plan_when_the_requirement_of_a_leg_is_higher_then_it_goes_first_at_equal_cost():
    # a notional of 1.5 million in the 10 % tier goes before one of 500,000 at 5 %
    state = account({"USD": 100_000}, {"ETH-PERP": (50_000, 10), "BTC-PERP": (15_000, 100)})
    (step,) = plan_of(state, policy(lot=1)).steps
    # gap 100000 - 1.02 * (100000 + 25000) = -27500; each BTC frees 10.2 - 0.2
    assert (step.symbol, step.quantity) == ("BTC-PERP", 2_750)


def test_plan_when_a_tier_edge_is_reached_then_the_other_leg_has_its_turn():
    # below its edge at a million BTC frees 5 % too, and ETH-PERP is made cheaper to close than it
    cheaper = policy("[liquidation.slippage_rates]\nETH-PERP = 0.0005", lot=1)
    state = account({"USD": 60_000}, {"ETH-PERP": (50_000, 10), "BTC-PERP": (15_000, 100)})
    first, second = plan_of(state, cheaper).steps
    # gap 60000 - 127500 = -67500; 5,000 BTC down to the edge: + 50000; each ETH 0.51 - 0.015 = 0.495: 17500 / 0.495
    assert (first.symbol, first.quantity) == ("BTC-PERP", 5_000)
    assert second.symbol == "ETH-PERP"
    assert D("35353.5353") < second.quantity < D("35353.5354")


def test_plan_when_legs_free_as_much_per_cost_then_the_larger_loss_goes_first():
    state = account({"USDT": 60}, {"BTC-PERP": (5, 100), "ETH-PERP": (50, "10.4")})
    # ETH has lost 20; gap 40 - 51
    (step,) = plan_of(state).steps
    assert step.symbol == "ETH-PERP"


# --- before and beside reductions


def test_plan_when_orders_are_open_then_all_that_could_add_risk_are_cancelled_first():
    orders = {
        "b": OpenOrder("BTC-PERP", D(1), D(90)),
        "a": OpenOrder("BTC-PERP", D(-1), D(110)),
        "reduces": OpenOrder("BTC-PERP", D(-1), D(110), reduce_only=True),
        "other pool": OpenOrder("ETH-PERP", D(1), D(9), isolated=True),
    }
    state = _replace(account({"USDT": 40}, {"BTC-PERP": (10, 100)}), orders=orders)
    steps = plan_of(state).steps
    assert steps[:2] == (CancelStep("a"), CancelStep("b"))
    assert [type(step) for step in steps[2:]] == [ReduceStep]


def test_plan_when_cancelling_is_enough_then_nothing_is_closed():
    counted = policy("", ("[assets.USD]\n", "[pool]\norders_in_maintenance = true\n[assets.USD]\n"))
    orders = {"o": OpenOrder("BTC-PERP", D(10), D(100))}
    # MM of 20 filled: 100; of the 10 held: 50, and 60 >= 51
    state = _replace(account({"USDT": 60}, {"BTC-PERP": (10, 100)}), orders=orders)
    plan = plan_of(state, counted)
    assert plan.steps == (CancelStep("o"),)
    assert (plan.freed_margin, plan.expected_cost) == (50, 0)


def test_plan_when_legs_are_hedged_then_they_close_against_each_other_at_no_cost():
    legs = {"BTC-PERP|long": position(6, 100), "BTC-PERP|short": position(-4, 100)}
    # MM gross 5 % of 1000 = 50; of the 2 left 10
    plan = plan_of(AccountState("alice", {"USDT": D(20)}, legs))
    assert plan.steps == (NetStep("BTC-PERP", D(4), D(100)),)
    assert (plan.expected_cost, plan.freed_margin, plan.requirement_after) == (0, 40, 10)


def test_plan_when_netting_is_not_enough_then_what_is_left_of_the_larger_leg_is_reduced():
    legs = {"BTC-PERP|long": position(6, 100), "BTC-PERP|short": position(-4, 100)}
    net, step = plan_of(AccountState("alice", {"USDT": D(8)}, legs)).steps
    # 8 - 0.2 q >= 1.02 * (10 - 5 q)  =>  q >= 2.2 / 4.9 = 0.449
    assert isinstance(net, NetStep)
    assert (step.symbol, step.leg, step.side, step.quantity) == ("BTC-PERP", "long", "sell", D("0.5"))


def test_plan_when_a_debt_costs_more_collateral_than_its_conversion_then_it_is_repaid_first():
    repays = policy("conversion_fee_rate = 0.001")
    # C = 0.95 * 0.05 * 30000 - 1000 = 425; MM = 450; gap 425 - 459 = -34
    plan = plan_of(account({"USDT": -1_000, "BTC": "0.05"}, {"BTC-PERP": (90, 100)}), repays)
    (step,) = plan.steps
    # a coin sold is worth 0.95 as collateral and 0.999 as repayment: 34 / (0.049 * 30000) coins = 0.0231292517..
    assert isinstance(step, RepayStep)
    assert (step.sell_asset, step.repay_asset) == ("BTC", "USDT")
    assert step.sell_amount == D("0.02312926")
    assert step.repay_amount == D("0.02312926") * 30_000 * D("0.999")
    assert step.expected_cost == D("0.02312926") * 30
    assert (step.freed_margin, plan.requirement_after) == (0, 450)


def test_plan_when_conversion_is_dear_then_positions_go_first():
    # (5 % - 3 %) / 3 % per unit sold, 4.9 % / 0.2 % per unit of notional
    dear = policy("conversion_fee_rate = 0.03")
    (step,) = plan_of(account({"USDT": -1_000, "BTC": "0.05"}, {"BTC-PERP": (90, 100)}), dear).steps
    assert isinstance(step, ReduceStep)


def test_plan_when_the_policy_names_no_fee_then_converting_is_free_and_goes_first():
    (step,) = plan_of(account({"USDT": -1_000, "BTC": "0.05"}, {"BTC-PERP": (90, 100)})).steps
    # a coin sold is worth 0.95 as collateral and 1 as repayment: 34 / (0.05 * 30000) coins = 0.022666..
    assert (step.sell_amount, step.expected_cost) == (D("0.02266667"), 0)


def test_plan_when_the_index_of_a_coin_is_stale_then_it_is_sold_last_and_at_the_last_price():
    trusting = ("exit_band = 0.02", "exit_band = 0.02\nwithhold_liquidation_when_degraded = false")
    repays = policy("conversion_fee_rate = 0.001", trusting)
    at = _replace(AT, stale=frozenset({"BTC-USD"}))
    plan = plan_of(account({"USDT": -1_000, "BTC": "0.05"}, {"BTC-PERP": (90, 100)}), repays, at)
    # it counts nothing, so the position is closed first: 18 of cost, and 18 more of debt
    reduction, repayment = plan.steps
    assert (reduction.quantity, repayment.repay_asset) == (90, "USDT")
    # 1018 / (30000 * 0.999) coins, up to the lot
    assert (plan.outcome, repayment.sell_amount, repayment.round) == ("exit", D("0.03396731"), 2)


# --- how it is bounded


def test_plan_when_a_round_closes_a_quarter_then_the_rounds_count_up():
    slow = policy("share_per_round_max = 0.25", lot=1)
    # gap 15 - 1.02 * 50 = -36, each 4.9: 8 contracts, 2.5 a round, rounded up to the lot
    steps = plan_of(account({"USDT": 15}, {"BTC-PERP": (10, 100)}), slow).steps
    assert [(step.quantity, step.round) for step in steps] == [(3, 1), (3, 2), (2, 3)]


def test_plan_when_a_round_has_one_step_then_each_leg_has_its_own():
    slow = policy("steps_max = 1", lot=1)
    steps = plan_of(account({"USDT": 20}, {"ETH-PERP": (50, 10), "BTC-PERP": (5, 100)}), slow).steps
    assert [(step.symbol, step.round) for step in steps] == [("BTC-PERP", 1), ("ETH-PERP", 2)]


def test_plan_when_not_partial_then_every_position_is_closed_whole():
    whole = policy("partial = false")
    plan = plan_of(account({"USDT": 40}, {"ETH-PERP": (50, 10), "BTC-PERP": (5, 100)}), whole)
    assert [(step.symbol, step.quantity) for step in plan.steps] == [("BTC-PERP", 5), ("ETH-PERP", 50)]
    # 40 - 0.002 * 1000
    assert (plan.outcome, plan.equity_after, plan.requirement_after) == ("exit", 38, 0)


# --- when nothing helps


def test_plan_when_bankrupt_then_all_is_taken_over_at_prices_that_leave_nothing():
    state = account({"USDT": -30}, {"BTC-PERP": (10, 100), "ETH-PERP": (-50, 10)})
    plan = plan_of(state, policy(tick=0))
    # equity -30 on a notional of 1500: the long is sold 2 % above, the short bought 2 % below its mark
    assert plan.outcome == "takeover"
    assert plan.steps == (
        # what the fund loses: 2 % of the value above its worth, and 0.2 % to close it at market
        TakeOverStep("BTC-PERP", None, "sell", D(10), D(102), D(100), D(20 + 2)),
        TakeOverStep("ETH-PERP", None, "buy", D(50), D("9.8"), D(10), D(10 + 1)),
    )
    # closing at market costs 0.2 % of 1500 and leaves -30 - 3
    assert (plan.expected_cost, plan.expected_shortfall, plan.freed_margin) == (3, 33, 75)


def test_plan_when_equity_does_not_pay_for_closing_then_all_is_taken_over():
    plan = plan_of(account({"USDT": 1}, {"BTC-PERP": (10, 100)}))
    # 1 - 0.2 q covers no requirement that is left; at q = 10 it is -1
    step, balance = plan.steps
    # 1 + 10 * (p - 100) = 0: 99.9, up to the tick; what it is rounded by stays in the wallet, and the fund takes that
    assert (plan.outcome, step.price, plan.expected_shortfall) == ("takeover", 100, 2 - 1)
    assert balance == TakeOverBalanceStep("USDT", D(1), D(1), D(1), D(-1))
    assert step.expected_loss == 2


def test_plan_when_a_bankrupt_pool_holds_coins_and_owes_others_then_the_fund_takes_those_and_pays_these():
    plan = plan_of(
        account({"USDT": -1_600, "BTC": "0.05"}, {"BTC-PERP": (1, 100)}), policy("conversion_fee_rate = 0.01")
    )
    # 1500 - 1600: the long of 100 is sold at 200, which leaves 0.05 BTC and 1500 USDT of debt
    assert plan.steps == (
        TakeOverStep("BTC-PERP", None, "sell", D(1), D(200), D(100), D(100) + D("0.2")),
        TakeOverBalanceStep("BTC", D("0.05"), D(30_000), D(1_500), D(-1_500)),
        TakeOverBalanceStep("USDT", D(-1_500), D(1), D(-1_500), D(1_500) + 15),
    )
    # 0.2 to close, 15 for the coins, and the 100 that the pool lacks
    assert (plan.expected_cost, plan.expected_shortfall) == (D("15.2"), D("115.2"))


# --- other pools and contracts


def test_plan_when_isolated_then_that_position_alone_by_its_own_margin():
    state = account({"USDT": 9_000}, {"ETH-PERP": (500, 10)}, {"BTC-PERP": (10, 100, 40)})
    alone = plan_of(account({"USDT": 40}, {"BTC-PERP": (10, 100)}))
    assert plan_of(state, pool="BTC-PERP") == alone


def test_plan_when_an_isolated_position_was_closed_with_a_debt_then_the_debt_is_the_shortfall():
    state = account({"USDT": 9_000}, isolated={"BTC-PERP": (1, 100, -7)})
    closed = _replace(state.isolated["BTC-PERP"], position=Position(D(0), D(0)))
    plan = plan_of(_replace(state, isolated={"BTC-PERP": closed}), pool="BTC-PERP")
    assert (plan.outcome, plan.expected_shortfall) == ("takeover", 7)
    assert plan.steps == (TakeOverBalanceStep("USDT", D(-7), D(1), D(-7), D(7)),)


def test_plan_when_inverse_then_values_are_in_coin():
    inverse = policy(
        "",
        ('[instruments.USD-PERP]\nkind = "perpetual"\nbase = "BTC"\nsettle = "USD"',
         '[instruments.USD-PERP]\nkind = "perpetual"\nbase = "BTC"\nsettle = "BTC"\npayoff = "inverse"\nquantity_step = 1'),
        ("{ floor = 0, ratio = 0.95 }", "{ floor = 0, ratio = 1 }"),
        lot=1,
    )  # fmt: skip
    # 3,000 contracts of 1 USD at 30,000: 0.1 BTC; MM 0.005 BTC
    state = AccountState("alice", {"BTC": D("0.004")}, {"USD-PERP": Position(D(3_000), D("0.1"))})
    at = prices({"USDT-USD": 1, "BTC-USD": 30_000, "USD-PERP": 30_000})
    (step,) = plan_of(state, inverse, at).steps
    # in USD: 120 - 0.002 q >= 1.02 * (150 - 0.05 q)  =>  q >= 33 / 0.049 = 673.5
    assert (step.side, step.quantity) == ("sell", 674)
    # 0.004 + 0.1 - 3000 / p = 0.001 * 3000 / p  =>  p = 3003 / 0.104
    assert D("28875") <= step.limit_price < D("28875.0001")


FUTURE = """
[instruments.{name}]
kind = "future"
base = "BTC"
settle = "USD"
expiry = 2030-01-01T00:00:00Z
tiers = "major"
quantity_step = 0.01
"""


def test_plan_when_positions_hedge_each_other_in_a_net_pool_then_the_same_share_of_each(default_text):
    text = default_text + FUTURE.format(name="LONG") + FUTURE.format(name="SHORT")
    policy = parse(text.replace("[liquidation]", "[liquidation]\nslippage_rates = { LONG = 0, SHORT = 0 }"))
    policy = _replace(policy, liquidation=_replace(policy.liquidation, fee_rate=D(0)))
    state = _replace(
        account({"USD": 200}, {"LONG": (2, 60_000), "SHORT": (-2, 60_000)}), margin_model="portfolio"
    )
    at = prices({"USDT-USD": 1, "BTC-USD": 60_000, "LONG": 60_000, "SHORT": 60_000})
    plan = plan_of(state, policy, at)
    # the minimum charge of 0.001 * 240,000 is all that the hedged pair requires: 240, and 200 is missing 44.8 to 1.02 of it.
    # Closing either side alone would open a price risk; 3 / 16 of both, 0.375 up to the lot, leave 0.81 * 240 = 194.4
    assert [(step.symbol, step.quantity) for step in plan.steps] == [
        ("LONG", D("0.38")),
        ("SHORT", D("0.38")),
    ]
    assert plan.requirement_after == D("194.4")
    assert plan.steps[0].freed_margin < 0 < plan.steps[1].freed_margin


# --- policy


@pytest.mark.parametrize(
    ("rule", "key"),
    [
        ("fee_rate = 1", "liquidation.fee_rate"),
        ("slippage_rate = -0.1", "liquidation.slippage_rate"),
        ("conversion_fee_rate = 1", "liquidation.conversion_fee_rate"),
        ("steps_max = 0", "liquidation.steps_max"),
        ("share_per_round_max = 0", "liquidation.share_per_round_max"),
        ("share_per_round_max = 1.1", "liquidation.share_per_round_max"),
        ("[liquidation.slippage_rates]\nNOPE = 0.1", "liquidation.slippage_rates.NOPE"),
    ],
)
def test_policy_when_a_liquidation_rule_is_impossible_then_refused_by_its_key(rule, key):
    with pytest.raises(PolicyError, match=rf"^line \d+: {key}:"):
        sample(("[assets.USD]\n", f"[liquidation]\n{rule}\n[assets.USD]\n"))
