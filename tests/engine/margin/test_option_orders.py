"""Open orders in options, by hand: what filling the worse side would cost.

Wide policy: a short call or put requires 15 % of the index less the distance out of the money (at least 10 %) and its
value; maintenance 7.5 % and its value. A long one was paid for.
"""

from decimal import Decimal

import msgspec

from engine.margin.cross.cross_lines import explain_cross
from engine.margin.cross.cross_pool import cross_figures
from tests.engine.margin.test_orders import holding, resting
from tests.support.builders import account, prices
from tests.support.wide import wide, with_pool

D = Decimal
POLICY = wide()
COLLATERAL = with_pool(POLICY, option_value="collateral")
AT = prices(
    {"USDT-USD": 1, "BTC-USD": 50_000, "BTC-50000-C": 3_000, "BTC-60000-C": 1_000, "BTC-COIN-C": "0.06"}
)
RICH = account({"USDT": 100_000})


def figures(state, policy=POLICY, at=AT):
    return cross_figures(state, at, policy)


def options(quantity):
    """Calls in the pool; their entry price never matters."""
    return account({"USDT": 100_000}, {"BTC-50000-C": (quantity, 1)})


def test_buy_when_it_rests_then_its_premium_is_required():
    bid = holding(RICH, resting(("BTC-50000-C", 2, 2_500)))
    assert figures(bid).initial_margin == 2 * 2_500
    assert figures(bid).maintenance_margin == 0


def test_buy_when_option_values_are_collateral_then_only_what_is_paid_beyond_the_value():
    dear = holding(RICH, resting(("BTC-50000-C", 2, 3_500)))
    assert figures(dear, COLLATERAL).initial_margin == 2 * (3_500 - 3_000)
    cheap = holding(RICH, resting(("BTC-50000-C", 2, 2_500)))
    assert figures(cheap, COLLATERAL).initial_margin == 0


def test_sell_when_it_opens_then_the_short_requires_and_its_premium_pays():
    ask = holding(RICH, resting(("BTC-50000-C", -2, 3_100)))
    # 15 % of 50,000 and the value for 2, less 2 * 3,100 received
    assert figures(ask).initial_margin == D("0.15") * 50_000 * 2 + 2 * 3_000 - 2 * 3_100


def test_sell_when_it_closes_what_is_owned_then_nothing_is_required():
    state = options(2)
    assert figures(holding(state, resting(("BTC-50000-C", -2, 3_000)))) == figures(state)


def test_orders_when_on_both_sides_then_the_worse_one_requires():
    orders = resting(("BTC-50000-C", 4, 3_000), ("BTC-50000-C", -1, 3_000))
    # buys pay 12,000; the sell requires 15 % of 50,000 and 3,000 less 3,000
    assert figures(holding(RICH, orders)).initial_margin == max(4 * 3_000, D("0.15") * 50_000)


def test_buy_when_it_closes_a_short_then_what_it_frees_pays_first():
    state = options(-2)
    short = D("0.15") * 50_000 * 2 + 2 * 3_000
    assert figures(state).initial_margin == short
    # 2 * 12,000 is dearer than what closing frees
    assert figures(holding(state, resting(("BTC-50000-C", 2, 12_000)))).initial_margin == 2 * 12_000
    assert figures(holding(state, resting(("BTC-50000-C", 2, 9_000)))).initial_margin == short


def test_orders_when_they_count_in_maintenance_then_at_maintenance_rates():
    policy = with_pool(POLICY, orders_in_maintenance=True)
    ask = holding(RICH, resting(("BTC-50000-C", -2, 3_000)))
    assert figures(ask, policy).maintenance_margin == D("0.075") * 50_000 * 2


def test_orders_when_the_option_settles_in_coin_then_the_premium_converts_at_its_index():
    bid = holding(RICH, resting(("BTC-COIN-C", 2, "0.05")))
    assert figures(bid).initial_margin == 2 * D("0.05") * 50_000


def test_orders_when_the_option_never_had_a_mark_then_the_order_price_stands_in():
    quiet = prices({"USDT-USD": 1, "BTC-USD": 50_000})
    ask = holding(RICH, resting(("BTC-60000-C", -1, 900)))
    # 15 % of 50,000 less 10,000 is below the floor of 10 %; the value of 900 is what was received
    assert figures(ask, at=quiet).initial_margin == D("0.1") * 50_000


def test_orders_when_of_another_underlying_or_settle_asset_then_the_groups_stay_apart():
    # a coin-settled call does not cover a short of the other settle asset
    state = msgspec.structs.replace(options(-1), balances={"USDT": D(100_000), "BTC": D(1)})
    alone = figures(state).initial_margin
    bid = holding(state, resting(("BTC-COIN-C", 1, "0.06")))
    assert figures(bid).initial_margin == alone + D("0.06") * 50_000


def test_explain_when_option_orders_rest_then_lines_sum_to_the_figures():
    state = holding(options(-1), resting(("BTC-50000-C", 2, 3_000), ("BTC-60000-C", -1, 900)))
    explained = explain_cross(state, AT, POLICY)
    assert explained.total("initial_margin") == explained.figures.initial_margin
    assert explained.total("collateral_value") == explained.figures.collateral_value
