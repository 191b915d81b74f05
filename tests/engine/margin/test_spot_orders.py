"""Open orders in spot pairs, reserved or counted as filled, by hand.

Sample policy: BTC counts 95 % up to 100 coins, owing it costs 105 %; USDT counts in full.
"""

from decimal import Decimal

import pytest

from engine.inputs import Mark
from engine.margin.cross.cross_lines import explain_cross
from engine.margin.cross.cross_pool import cross_figures
from engine.marks.mark_book import Prices
from tests.engine.margin.test_orders import holding, resting
from tests.support.builders import account, prices, sample

D = Decimal
AT = prices({"USDT-USD": 1, "BTC-USD": 30_000})
FILLED = ("[prices]", '[pool]\nspot_orders = "filled"\nliabilities = "requirement"\n\n[prices]')


def figures(state, policy=None, at=AT):
    return cross_figures(state, at, policy or sample())


# reserved: what the worse side would take away


def test_reserved_when_a_buy_would_turn_cash_into_coins_then_their_haircut_is_required():
    state = holding(account({"USDT": 50_000}), resting(("BTC-USDT", 1, 30_000)))
    # 30,000 USDT become 1 BTC: 95 % of 30,000
    assert figures(state).initial_margin == 30_000 - D("0.95") * 30_000
    assert figures(state).collateral_value == 50_000


def test_reserved_when_the_buy_is_dearer_than_the_index_then_the_difference_too():
    state = holding(account({"USDT": 50_000}), resting(("BTC-USDT", 1, 33_000)))
    assert figures(state).initial_margin == 33_000 - D("0.95") * 30_000


def test_reserved_when_a_sell_of_owned_coins_frees_collateral_then_nothing_is_required():
    state = holding(account({"BTC": 2}), resting(("BTC-USDT", -2, 30_000)))
    assert figures(state).initial_margin == 0


def test_reserved_when_a_sell_goes_short_then_the_liability_is_required():
    state = holding(account({"BTC": 1, "USDT": 50_000}), resting(("BTC-USDT", -3, 30_000)))
    # 1 BTC at 95 % becomes 2 BTC owed at 105 %, for 90,000 USDT
    assert figures(state).initial_margin == D("0.95") * 30_000 + D("1.05") * 60_000 - 90_000


def test_reserved_when_both_sides_rest_then_only_the_worse_one_counts():
    orders = resting(("BTC-USDT", 1, 30_000), ("BTC-USDT", -3, 30_000))
    state = holding(account({"BTC": 1, "USDT": 50_000}), orders)
    buys = 30_000 - D("0.95") * 30_000
    sells = D("0.95") * 30_000 + D("1.05") * 60_000 - 90_000
    assert sells == buys  # either is 1,500
    assert figures(state).initial_margin == sells


def test_reserved_when_the_fill_would_borrow_then_the_borrow_margin_is_required_too():
    policy = sample(
        (
            'index = "USDT-USD"',
            'index = "USDT-USD"\nborrow_tiers = [{ floor = 0, initial_rate = 0.2, maintenance_rate = 0.04 }]',
        ),
        ("[prices]", "[pool]\norders_in_maintenance = true\n\n[prices]"),
    )
    state = holding(account({"USDT": 10_000, "BTC": 1}), resting(("BTC-USDT", 1, 30_000)))
    haircut = 30_000 - D("0.95") * 30_000
    # 20,000 USDT would be owed
    assert figures(state, policy).initial_margin == haircut + D("0.2") * 20_000
    assert figures(state, policy).maintenance_margin == haircut + D("0.04") * 20_000


def test_reserved_when_reduce_only_then_not_counted():
    state = holding(account({"USDT": 50_000}), resting(("BTC-USDT", 1, 33_000), reduce_only=True))
    assert figures(state).initial_margin == 0


# filled: as if the worse side had happened at the price of the base asset


def test_filled_when_a_buy_rests_then_its_coins_are_collateral_and_its_cost_a_requirement():
    state = holding(account({"USDT": 10_000}), resting(("BTC-USDT", 5, 1)))
    filled = figures(state, sample(FILLED))
    # at the index, whatever price it rests at
    assert filled.collateral_value == 10_000 + D("0.95") * 5 * 30_000
    assert filled.initial_margin == 5 * 30_000
    assert filled.maintenance_margin == 5 * 30_000
    assert filled.equity == 10_000


def test_filled_when_a_sell_goes_short_then_its_proceeds_are_collateral_and_the_coins_a_requirement():
    state = holding(account({"USDT": 10_000, "BTC": 1}), resting(("BTC-USDT", -5, 90_000)))
    filled = figures(state, sample(FILLED))
    assert filled.collateral_value == 10_000 + 5 * 30_000
    assert filled.maintenance_margin == D("1.05") * 4 * 30_000


def test_filled_when_both_sides_rest_then_the_one_that_leaves_less():
    orders = resting(("BTC-USDT", 2, 1), ("BTC-USDT", -2, 1))
    long = figures(holding(account({"BTC": 1}), orders), sample(FILLED))
    # buys leave 0.95 * 90,000 - 60,000 = 25,500;  sells leave 60,000 - 1.05 * 30,000 = 28,500
    assert long.collateral_value - long.maintenance_margin == D("0.95") * 90_000 - 60_000
    short = figures(holding(account({"BTC": -1}), orders), sample(FILLED))
    # sells leave 60,000 - 1.05 * 90,000 = -34,500;  buys leave 0.95 * 30,000 - 60,000 = -31,500
    assert short.collateral_value - short.maintenance_margin == 60_000 - D("1.05") * 90_000


def test_filled_when_buys_only_pay_off_a_liability_then_the_pool_stays_as_it_is():
    state = account({"BTC": -2, "USDT": 90_000})
    orders = resting(("BTC-USDT", 1, 30_000))
    assert figures(holding(state, orders), sample(FILLED)) == figures(state, sample(FILLED))


def test_filled_when_liabilities_lower_collateral_then_so_does_what_is_paid():
    policy = sample(("[prices]", '[pool]\nspot_orders = "filled"\n\n[prices]'))
    state = holding(account({"USDT": 10_000}), resting(("BTC-USDT", 5, 1)))
    assert figures(state, policy).collateral_value == 10_000 + D("0.95") * 150_000 - 150_000
    assert figures(state, policy).maintenance_margin == 0


def test_filled_when_prices_are_conservative_then_assets_count_low_and_what_is_paid_high():
    policy = sample((FILLED[0], FILLED[1].replace("[pool]", "[pool]\nconservative_price = true")))
    btc = Mark(symbol="BTC-USD", price=D(30_000), sequence=1, time_ns=0, average_price=D(28_000))
    at = Prices({**AT.marks, "BTC-USD": btc}, frozenset())
    state = holding(account({"USDT": 10_000}), resting(("BTC-USDT", 5, 1)))
    assert figures(state, policy, at).collateral_value == 10_000 + D("0.95") * 5 * 28_000
    assert figures(state, policy, at).maintenance_margin == 5 * 30_000


def test_filled_when_the_base_is_stale_then_what_is_bought_counts_nothing_and_the_pool_is_degraded():
    state = holding(account({"USDT": 10_000}), resting(("BTC-USDT", 5, 1)))
    stale = figures(state, sample(FILLED), prices({"USDT-USD": 1, "BTC-USD": 30_000}, stale=["BTC-USD"]))
    assert stale.collateral_value == 10_000
    assert stale.maintenance_margin == 5 * 30_000
    assert stale.degraded


@pytest.mark.parametrize("quantity", [5, -5])
def test_explain_when_orders_count_as_filled_then_lines_sum_to_the_figures(quantity):
    state = holding(account({"USDT": 10_000, "BTC": 1}), resting(("BTC-USDT", quantity, 1)))
    explained = explain_cross(state, AT, sample(FILLED))
    for figure in ("equity", "collateral_value", "initial_margin", "maintenance_margin"):
        assert explained.total(figure) == getattr(explained.figures, figure), figure


# profits beside the balance


def test_wallet_haircut_when_liabilities_are_requirements_then_a_loss_still_lowers_the_collateral():
    pool = '[pool]\nhaircut_on = "wallet"\nliabilities = "requirement"\n\n[prices]'
    policy = sample(("[prices]", pool))
    at = prices({"USDT-USD": 1, "BTC-PERP": 100})
    # 100 in the wallet, 1,000 lost on 50 contracts
    loss = figures(account({"USDT": 100}, {"BTC-PERP": (50, 120)}), policy, at)
    assert loss.collateral_value == 100 - 50 * 20
    assert loss.maintenance_margin == D("0.05") * 50 * 100
    # 100 owed, 1,000 gained: the debt is required, the gain is collateral
    gain = figures(account({"USDT": -100}, {"BTC-PERP": (50, 80)}), policy, at)
    assert gain.collateral_value == 50 * 20
    assert gain.maintenance_margin == D("0.05") * 50 * 100 + 100
