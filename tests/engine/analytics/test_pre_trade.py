"""May this order open? The worked example, every reason, and what the answer counts."""

from decimal import Decimal

import msgspec
import pytest

from engine.analytics.pre_trade import OrderReason, may_open
from engine.ladder import Band, LadderState
from engine.ladder.controls import controls_of
from engine.ledger.accounts import Progress, Stop
from engine.margin.pool_names import CROSS
from engine.marks.doubts import Doubt
from engine.policy.rules.portfolio_rules import Grid, PortfolioRules, UnitRules
from engine.rejections import RejectionCode
from tests.support.builders import mark, prices
from tests.support.wide import holding, order, wide, with_pool

D = Decimal
POLICY = wide()
QUOTES = {
    "USDT-USD": 1,
    "BTC-USD": 10_000,
    "BTC-PERP": 10_000,
    "BTC-INV": 10_000,
    "ETH-PERP": 500,
    "BTC-50000-C": 100,
    "BTC-40000-P": 30_000,
}
AT = prices(QUOTES)


def ask(state, asked, at=AT, policy=POLICY, pools=None):
    return may_open(state, pools or {}, asked, at, policy)


def wallet(amount, positions=None, **fields):
    return holding(POLICY, {"USDT": amount}, positions, **fields)


LONG_BTC = order("BTC-PERP", 1, 10_000)  # IM 10,000 / 10 = 1,000
SHORT_ETH = order("ETH-PERP", -10, 500)  # IM 5,000 / 10 = 500


# worked example 2


def test_example_2_when_only_700_are_given_to_btc_then_its_isolated_order_is_refused():
    verdict = ask(wallet(700), msgspec.structs.replace(LONG_BTC, isolated=True))
    assert verdict.reason is OrderReason.INSUFFICIENT_MARGIN
    assert not verdict.allowed
    assert verdict.initial_margin == D(1_000)
    assert (verdict.available_margin, verdict.available_after) == (D(700), D(700) - 1_000)


def test_example_2_when_the_wallet_is_unified_then_both_open_one_after_the_other():
    first = ask(wallet(2_000), LONG_BTC)
    assert (first.reason, first.available_after) == (OrderReason.COVERED, D(2_000) - 1_000)
    second = ask(wallet(2_000, {"BTC-PERP": (1, 10_000)}), SHORT_ETH)
    assert (second.reason, second.initial_margin) == (OrderReason.COVERED, D(500))
    assert (second.available_margin, second.available_after) == (D(1_000), D(2_000) - 1_500)
    # and a third of the same size no more
    both = wallet(2_000, {"BTC-PERP": (1, 10_000), "ETH-PERP": (-10, 500)})
    assert ask(both, order("ETH-PERP", -11, 500)).reason is OrderReason.INSUFFICIENT_MARGIN
    assert ask(both, SHORT_ETH).available_after == 0  # exactly covered is covered
    assert ask(both, SHORT_ETH).allowed


# reasons


def test_reason_when_the_symbol_is_unlisted_then_unknown_instrument():
    assert ask(wallet(9_000), order("DOGE-PERP", 1, 1)).reason is OrderReason.UNKNOWN_INSTRUMENT


def test_reason_when_an_option_is_to_be_isolated_then_there_is_no_such_thing():
    asked = order("BTC-50000-C", 1, 100, isolated=True)
    assert ask(wallet(9_000), asked).reason is OrderReason.NO_ISOLATED_OPTIONS


@pytest.mark.parametrize("isolated", [False, True])
def test_reason_when_it_would_close_more_of_a_leg_than_there_is_then_its_fill_would_be_refused(isolated):
    held = wallet(
        90_000,
        {} if isolated else {"BTC-PERP|long": (1, 10_000)},
        isolated={"BTC-PERP|long": (1, 10_000, 1_000)} if isolated else {},
    )

    def reason(signed, leg, **fields):
        return ask(held, order("BTC-PERP", signed, 10_000, leg=leg, isolated=isolated, **fields)).reason

    assert reason(-1, "long") is OrderReason.REDUCES_RISK
    assert reason(-2, "long") is OrderReason.LEG_EXCEEDED
    assert reason(1, "short") is OrderReason.LEG_EXCEEDED
    # no more than is held is ever closed by it
    assert reason(-2, "long", reduce_only=True) is OrderReason.REDUCES_RISK
    assert reason(-2, "short") in {OrderReason.COVERED, OrderReason.REDUCES_RISK}


@pytest.mark.parametrize("topic", ["fills", "ledger"])
def test_reason_when_the_account_is_stopped_then_nothing_may_open(topic):
    stop = Progress(stop=Stop(RejectionCode.SEQUENCE_GAP, 3))
    stopped = msgspec.structs.replace(wallet(9_000, {"BTC-PERP": (1, 10_000)}), **{topic: stop})
    assert ask(stopped, LONG_BTC).reason is OrderReason.ACCOUNT_STOPPED
    assert ask(stopped, order("BTC-PERP", -1, 10_000)).reason is OrderReason.ACCOUNT_STOPPED


@pytest.mark.parametrize("signed", [-1, -2])
def test_reason_when_the_order_closes_or_turns_the_position_at_the_same_size_then_it_reduces_risk(signed):
    # with nothing to spare: 500 of collateral against an IM of 1,000
    verdict = ask(wallet(500, {"BTC-PERP": (1, 10_000)}), order("BTC-PERP", signed, 10_000))
    assert (verdict.reason, verdict.initial_margin) == (OrderReason.REDUCES_RISK, 0)
    assert verdict.allowed
    assert (verdict.available_margin, verdict.available_after) == (0, D(500) - 1_000)


def test_reason_when_the_order_turns_the_position_into_a_larger_one_then_the_difference_is_required():
    verdict = ask(wallet(1_050, {"BTC-PERP": (1, 10_000)}), order("BTC-PERP", "-2.1", 10_000))
    assert (verdict.reason, verdict.initial_margin) == (OrderReason.INSUFFICIENT_MARGIN, D(1_100) - 1_000)


def test_reason_when_reduce_only_then_it_reduces_risk_whatever_is_missing():
    asked = order("BTC-PERP", -5, 10_000, reduce_only=True)
    verdict = ask(wallet(0, {"BTC-PERP": (1, 10_000)}), asked)
    assert (verdict.reason, verdict.initial_margin) == (OrderReason.REDUCES_RISK, 0)


@pytest.mark.parametrize(
    ("asked", "missing"),
    [
        (LONG_BTC, "BTC-PERP"),
        (LONG_BTC, "USDT-USD"),
        (order("BTC-INV", 10, 10_000), "BTC-USD"),
        (order("BTC-50000-C", -1, 100), "BTC-50000-C"),
        (order("BTC-50000-C", -1, 100), "BTC-USD"),
        (msgspec.structs.replace(LONG_BTC, isolated=True), "BTC-PERP"),
    ],
)
def test_reason_when_a_price_of_the_orders_own_market_is_stale_or_missing_then_degraded(asked, missing):
    rich = holding(POLICY, {"USD": 90_000})
    without = prices({symbol: price for symbol, price in QUOTES.items() if symbol != missing})
    for at in (without, prices(QUOTES, [missing])):
        assert ask(rich, asked, at).reason is OrderReason.DEGRADED
    assert ask(rich, asked).reason is OrderReason.COVERED


def test_reason_when_a_price_of_another_position_is_stale_then_degraded_but_a_close_may_pass():
    state = wallet(9_000, {"ETH-PERP": (-1, 500), "BTC-PERP": (1, 10_000)})
    at = prices(QUOTES, ["ETH-PERP"])
    assert ask(state, LONG_BTC, at).reason is OrderReason.DEGRADED
    assert ask(state, order("BTC-PERP", -1, 10_000), at).reason is OrderReason.REDUCES_RISK


# what counts


def test_orders_when_some_rest_already_then_they_count_first():
    resting = {"a": LONG_BTC}
    verdict = ask(wallet(1_400, orders=resting), SHORT_ETH)
    assert verdict.available_margin == D(1_400) - 1_000
    assert verdict.reason is OrderReason.INSUFFICIENT_MARGIN
    # the other side of the same market adds nothing: only one of the two can be worse
    assert (
        ask(wallet(1_000, orders=resting), order("BTC-PERP", -1, 10_000)).reason is OrderReason.REDUCES_RISK
    )


def test_leverage_when_the_account_chose_one_then_it_sets_the_requirement():
    state = wallet(2_500, leverage={"BTC-PERP": D(4)})
    assert ask(state, LONG_BTC).initial_margin == D(10_000) / 4
    assert ask(state, LONG_BTC).allowed


def test_order_loss_when_the_policy_reserves_it_then_a_price_worse_than_the_mark_costs_more():
    policy = wide(("[margin.option]", "[margin.default]\norder_loss = true\n\n[margin.option]"))
    # IM at the mark 1,000; buying at 10,300 shows a loss of 300 at once
    assert ask(wallet(2_000), order("BTC-PERP", 1, 10_300), policy=policy).initial_margin == D(1_300)
    assert ask(wallet(2_000), order("BTC-PERP", 1, 9_700), policy=policy).initial_margin == D(1_000)
    # where nothing is reserved for that while the order rests, it is missing once it has filled
    assert ask(wallet(2_000), order("BTC-PERP", 1, 10_300)).initial_margin == D(1_000) + 300


def test_order_requirement_when_ruled_then_an_order_costs_it_beside_its_margin():
    policy = with_pool(POLICY, order_requirement=D(5))
    assert ask(wallet(2_000), LONG_BTC, policy=policy).initial_margin == D(1_000) + 5


def test_spot_when_coins_are_bought_then_their_haircut_is_required():
    # 1 BTC at 10,000: USDT - 10,000, collateral + 0.95 * 10,000
    verdict = ask(wallet(20_000), order("BTC-USDT", 1, 10_000))
    assert (verdict.reason, verdict.initial_margin) == (OrderReason.COVERED, D("0.05") * 10_000)
    # selling coins at their index turns 9,500 of collateral into 10,000
    coins = holding(POLICY, {"BTC": 1})
    assert ask(coins, order("BTC-USDT", -1, 10_000)).reason is OrderReason.REDUCES_RISK


def test_spot_when_it_names_isolated_then_it_is_paid_from_the_wallet_all_the_same():
    asked = order("BTC-USDT", 1, 10_000)
    assert ask(wallet(20_000), msgspec.structs.replace(asked, isolated=True)) == ask(wallet(20_000), asked)


def test_spot_when_it_names_reduce_only_then_it_is_paid_all_the_same():
    held = wallet(1_000)
    plain, named = (ask(held, order("BTC-USDT", 5, 10_000, reduce_only=it)) for it in (False, True))
    assert named == plain
    assert ask(held, order("BTC-USDT", 5, 10_000, leg="short")) == plain
    assert named.reason is OrderReason.INSUFFICIENT_MARGIN
    assert ask(
        held, order("BTC-USDT", 5, 10_000, reduce_only=True), pools=standing(Band.REDUCE_ONLY)
    ).reason is (OrderReason.REDUCE_ONLY)


def test_option_when_bought_then_its_premium_is_required_and_sold_its_margin_less_the_premium():
    # the call's value is no collateral, so 3 * 100 are gone
    bought = ask(wallet(1_000), order("BTC-50000-C", 3, 100))
    assert (bought.reason, bought.initial_margin) == (OrderReason.COVERED, D(300))
    # 40,000 out of the money: 10 % of 10,000 + 100, less 100 received
    sold = ask(wallet(1_000), order("BTC-50000-C", -1, 100))
    assert (sold.reason, sold.initial_margin) == (OrderReason.COVERED, D(1_000) + 100 - 100)
    assert ask(wallet(999), order("BTC-50000-C", -1, 100)).reason is OrderReason.INSUFFICIENT_MARGIN


# isolated orders


def test_isolated_when_the_position_is_open_then_only_what_the_order_adds_is_taken():
    state = holding(POLICY, {"USDT": 1_000}, isolated={"BTC-PERP": (1, 10_000, 1_000)})
    verdict = ask(state, msgspec.structs.replace(LONG_BTC, isolated=True))
    assert (verdict.reason, verdict.initial_margin) == (OrderReason.COVERED, D(2_000) - 1_000)
    assert (verdict.available_margin, verdict.available_after) == (D(1_000), 0)


def test_isolated_when_it_closes_then_it_requires_nothing_and_frees_nothing_before_it_has_filled():
    state = holding(POLICY, {}, isolated={"BTC-PERP": (1, 10_000, 1_000)})
    verdict = ask(state, order("BTC-PERP", "-0.4", 10_000, isolated=True))
    assert (verdict.reason, verdict.initial_margin) == (OrderReason.REDUCES_RISK, 0)


def test_isolated_when_others_rest_then_each_reserves_its_margin():
    rest = {"first": order("BTC-PERP", 6, 10_000, isolated=True)}  # 60,000 / 10
    second = order("ETH-PERP", -120, 500, isolated=True)  # 60,000 / 10
    assert ask(wallet(9_900), rest["first"]).available_after == D(9_900) - 6_000
    verdict = ask(wallet(9_900, orders=rest), second)
    assert (verdict.reason, verdict.available_after) == (OrderReason.INSUFFICIENT_MARGIN, D(3_900) - 6_000)
    # on the other side of the same position no more is reserved than the worse side needs
    assert ask(wallet(9_900, orders=rest), order("BTC-PERP", -6, 10_000, isolated=True)).initial_margin == 0


def test_isolated_when_its_price_is_far_worse_than_the_mark_then_the_loss_is_required_too():
    verdict = ask(wallet(5_000), order("BTC-PERP", 1, 15_000, isolated=True))
    # IM 1,000 at the mark, and 5,000 lost once it has filled
    assert (verdict.reason, verdict.initial_margin) == (OrderReason.INSUFFICIENT_MARGIN, D(1_000) + 5_000)


def test_isolated_when_it_turns_the_position_far_below_the_mark_then_what_it_realises_is_lost_too():
    state = holding(POLICY, {"USDT": 9_000}, isolated={"BTC-PERP": (1, 10_000, 1_000)})
    verdict = ask(state, order("BTC-PERP", -2, 5_000, isolated=True))
    # the long loses 5,000, the short of 1 that is left is 5,000 under water and requires the same 1,000 as the long did
    assert (verdict.reason, verdict.initial_margin) == (OrderReason.INSUFFICIENT_MARGIN, D(5_000) + 5_000)


# resting and filled


def test_order_when_filling_it_would_ruin_the_account_then_it_is_refused():
    verdict = ask(wallet(10_000), order("BTC-PERP", 1, 20_000))
    # IM 1,000 at the mark, and 20,000 - 10,000 lost once it has filled
    assert (verdict.reason, verdict.initial_margin) == (OrderReason.INSUFFICIENT_MARGIN, D(1_000) + 10_000)
    assert verdict.available_after == D(10_000) - 11_000


def test_order_when_another_that_is_worse_than_the_mark_has_not_filled_yet_then_judged_with_both_filled():
    one = order("BTC-PERP", 1, 15_000)
    # IM 1,000 and 5,000 lost, of each
    alone = ask(wallet(11_000), one)
    assert (alone.reason, alone.available_after) == (OrderReason.COVERED, D(11_000) - 6_000)
    both = ask(wallet(11_000, orders={"a": one}), one)
    assert (both.reason, both.available_after) == (OrderReason.INSUFFICIENT_MARGIN, D(11_000) - 12_000)
    assert (both.available_margin, both.initial_margin) == (D(11_000) - 6_000, D(6_000))
    # a sell far below the mark loses as well, and another market pays for it out of the same pool
    sell = ask(wallet(11_000, orders={"a": one}), order("ETH-PERP", -20, 200))
    assert sell.available_after == D(11_000) - 6_000 - 6_000 - 1_000


def test_order_when_losing_ones_rest_then_what_closes_reduces_risk_all_the_same():
    held = wallet(2_000, {"ETH-PERP": (-1, 500)}, orders={"a": order("BTC-PERP", 1, 15_000)})
    assert ask(held, order("ETH-PERP", 1, 500)).reason is OrderReason.REDUCES_RISK
    assert ask(held, order("ETH-PERP", "0.5", 500, reduce_only=True)).initial_margin == 0


def test_order_when_losing_ones_of_both_sides_rest_then_the_worse_of_either_and_of_both():
    resting = {"a": order("BTC-PERP", 1, 15_000), "b": order("BTC-PERP", -1, 9_000)}
    # both: 5,000 + 1,000 lost and nothing left to require;  the buy alone: 5,000 lost and 1,000 required
    assert ask(wallet(9_000, orders=resting), SHORT_ETH).available_margin == D(9_000) - 6_000
    dearer = {**resting, "b": order("BTC-PERP", -1, 7_000)}
    assert ask(wallet(9_000, orders=dearer), SHORT_ETH).available_margin == D(9_000) - 8_000


def test_isolated_when_another_that_is_worse_than_the_mark_has_not_filled_yet_then_its_loss_is_handed_over_too():
    first = order("BTC-PERP", 1, 15_000, isolated=True)
    verdict = ask(wallet(8_000, orders={"a": first}), order("ETH-PERP", -60, 500, isolated=True))
    # 6,000 for the first once it has filled, 3,000 for the second
    assert (verdict.available_margin, verdict.available_after) == (D(2_000), D(-1_000))
    assert verdict.reason is OrderReason.INSUFFICIENT_MARGIN


# controls


def standing(band, **fields):
    state = LadderState(band, **fields)
    return {CROSS: msgspec.structs.replace(state, controls=controls_of(state, stopped=False))}


@pytest.mark.parametrize(
    ("band", "reason"),
    [
        (Band.WARNING, OrderReason.COVERED),
        (Band.MARGIN_CALL, OrderReason.COVERED),
        (Band.REDUCE_ONLY, OrderReason.REDUCE_ONLY),
        (Band.LIQUIDATION, OrderReason.LOCKED),
        (Band.BANKRUPT, OrderReason.LOCKED),
    ],
)
def test_controls_when_the_figures_are_well_then_the_band_forbids_all_the_same(band, reason):
    # 9,000 cover every margin: the band is kept by an unmet call, or on its way out
    held = wallet(9_000, {"BTC-PERP": (1, 10_000)})
    assert ask(held, SHORT_ETH, pools=standing(band)).reason is reason


def test_controls_when_the_pool_may_only_reduce_then_what_closes_may_open():
    held = wallet(9_000, {"BTC-PERP": (1, 10_000)})
    pools = standing(Band.REDUCE_ONLY)
    assert ask(held, order("BTC-PERP", -1, 10_000), pools=pools).reason is OrderReason.REDUCES_RISK
    assert ask(held, order("BTC-PERP", -2, 10_000), pools=pools).reason is OrderReason.REDUCE_ONLY
    assert ask(held, order("BTC-PERP", -2, 10_000, reduce_only=True), pools=pools).allowed
    assert not ask(held, order("BTC-PERP", -1, 10_000), pools=standing(Band.LIQUIDATION)).allowed
    # one that rests already closes all there is, and the next would turn the position
    resting = wallet(9_000, {"BTC-PERP": (1, 10_000)}, orders={"a": order("BTC-PERP", -1, 11_000)})
    assert ask(resting, order("BTC-PERP", -1, 10_000), pools=pools).reason is OrderReason.REDUCE_ONLY
    assert ask(resting, order("BTC-PERP", -1, 10_000, reduce_only=True), pools=pools).allowed
    # coins sold to pay a debt
    owing = holding(POLICY, {"BTC": 1, "USDT": -1_000})
    assert ask(owing, order("BTC-USDT", "-0.1", 10_000), pools=pools).allowed
    assert not ask(owing, order("BTC-USDT", "0.1", 10_000), pools=pools).allowed


def test_controls_when_another_isolated_pool_may_only_reduce_then_orders_of_its_own_alone_are_refused():
    pools = {"ETH-PERP": standing(Band.REDUCE_ONLY)[CROSS]}
    held = wallet(9_000, isolated={"ETH-PERP": (1, 500, 10)})
    assert ask(held, LONG_BTC, pools=pools).allowed
    asked = order("ETH-PERP", 1, 500, isolated=True)
    assert ask(held, asked, pools=pools).reason is OrderReason.REDUCE_ONLY


def test_isolated_when_on_one_leg_then_the_other_leg_does_not_help():
    state = holding(POLICY, {"USDT": 900}, isolated={"BTC-PERP|short": (-1, 10_000, 1_000)})
    verdict = ask(state, order("BTC-PERP", 1, 10_000, isolated=True, leg="long"))
    assert (verdict.reason, verdict.initial_margin) == (OrderReason.INSUFFICIENT_MARGIN, D(1_000))


def test_isolated_when_the_contract_is_inverse_then_in_coin_at_its_index():
    # 100 contracts of 100 USD at 10,000 are 1 BTC; a tenth of it; the coin counts 95 %
    coins = holding(POLICY, {"BTC": 1})
    verdict = ask(coins, order("BTC-INV", 100, 10_000, isolated=True))
    assert verdict.initial_margin == D("0.1") * 10_000
    assert verdict.available_after == D("0.95") * 10_000 - 1_000


# portfolio margin


def test_portfolio_when_the_order_hedges_then_it_reduces_risk_and_otherwise_its_shock_is_required():
    rules = PortfolioRules(
        units={"default": UnitRules(grid=Grid(prices=(D("-0.2"), D("0.2")), volatilities=("none",)))}
    )
    policy = msgspec.structs.replace(with_pool(POLICY, model="portfolio"), portfolio=rules)
    coins = holding(policy, {"BTC": 1})
    # of 9,500 the coin requires nothing while it secures nothing, and 2,000 beside a position
    hedge = ask(coins, order("BTC-INV", -100, 10_000), policy=policy)
    assert (hedge.reason, hedge.initial_margin) == (OrderReason.REDUCES_RISK, 0)
    more = ask(coins, order("BTC-INV", 300, 10_000), policy=policy)
    assert (more.reason, more.initial_margin) == (OrderReason.COVERED, D("0.2") * 40_000)
    most = ask(coins, order("BTC-INV", 400, 10_000), policy=policy)
    assert (most.reason, most.available_after) == (OrderReason.INSUFFICIENT_MARGIN, D(9_500) - 10_000)
    # an option without volatility cannot be simulated
    sold = order("BTC-50000-C", -1, 100)
    assert ask(coins, sold, policy=policy).reason is OrderReason.DEGRADED
    known = prices({**QUOTES, "BTC-50000-C": mark("BTC-50000-C", 100, volatility=0)})
    assert ask(coins, sold, known, policy).reason is not OrderReason.DEGRADED


def test_doubt_when_the_index_of_collateral_is_doubted_then_it_opens_less_and_nobody_is_called():
    doubted = msgspec.structs.replace(AT, aged={"BTC-USD": Doubt(D("0.2"), worthless=False)})
    saved = holding(POLICY, {"BTC": "0.12"})
    certain, careful = ask(saved, LONG_BTC), ask(saved, LONG_BTC, doubted)
    # 1,000 is covered by nearly 1,200, but not by 80 % of it
    assert (certain.reason, careful.reason) == (OrderReason.COVERED, OrderReason.INSUFFICIENT_MARGIN)
    assert careful.available_margin == certain.available_margin * D("0.8")
    # what is owed is dearer
    owed = holding(POLICY, {"USDT": 20_000, "BTC": -1})
    assert ask(owed, LONG_BTC, doubted).available_margin < ask(owed, LONG_BTC).available_margin - 1_999


def test_doubt_when_a_loss_that_is_not_realised_makes_a_debt_then_at_the_high_end():
    doubted = msgspec.structs.replace(AT, sourced={"USDT-USD": Doubt(D("0.1"), worthless=False)})
    # 20,000 USD worth of coins at 95 %; a loss of 5,000 USDT counts 5,500 at 1.1
    state = holding(POLICY, {"BTC": 2}, {"BTC-PERP": (1, 15_000)})
    margin = D("0.1") * 10_000
    assert ask(state, SHORT_ETH).available_margin == 19_000 - 5_000 - margin
    assert ask(state, SHORT_ETH, doubted).available_margin == 19_000 - (5_000 + margin) * D("1.1")


def test_doubt_when_the_order_itself_makes_the_debt_then_at_the_high_end():
    doubted = msgspec.structs.replace(AT, sourced={"USDT-USD": Doubt(D("0.1"), worthless=False)})
    verdict = ask(wallet(1_000), order("BTC-USDT", 1, 10_000), doubted)
    # 9,500 of the coin; 9,000 are owed, at 1.1
    assert verdict.available_after == D(9_500) - 9_900
    assert (verdict.reason, verdict.available_margin) == (OrderReason.INSUFFICIENT_MARGIN, D(900))
