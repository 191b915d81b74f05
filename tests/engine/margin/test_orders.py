"""Open orders on contracts: the worse outcome of each market, by hand.

Sample policy: 5 % maintenance, 10 % initial (leverage 10), BTC-PERP and ETH-PERP settle in USDT at 1 USD.
"""

from decimal import Decimal

import msgspec
import pytest

from engine.ledger.accounts import AccountState, OpenOrder
from engine.margin.cross.cross_lines import explain_cross
from engine.margin.cross.cross_pool import cross_figures
from engine.numbers import exact
from engine.policy import Policy
from tests.support.builders import account, position, prices, sample

D = Decimal
AT = prices({"USDT-USD": 1, "BTC-USD": 30_000, "BTC-PERP": 100, "ETH-PERP": 10})
RULES = 'tiers = "major"\n\n[instruments.ETH-PERP]'
"""Where the sample policy describes BTC-PERP."""


def with_rules(*lines: str) -> Policy:
    """The sample policy with margin rules of its own for BTC-PERP."""
    own = f'margin = "own"\n{RULES}'
    return sample(
        (RULES, own), ("[[tiers.major]]", "\n".join(["[margin.own]", *lines, "", "[[tiers.major]]"]))
    )


def resting(*orders: tuple[str, int | str, int | str], **fields: object) -> dict[str, OpenOrder]:
    """Orders as (symbol, signed quantity, price)."""
    return {
        f"o{place}": OpenOrder(symbol, D(quantity), D(price), **fields)
        for place, (symbol, quantity, price) in enumerate(orders)
    }


def holding(state: AccountState, *parts: dict[str, OpenOrder]) -> AccountState:
    """The account with these orders."""
    orders = [order for part in parts for order in part.values()]
    return msgspec.structs.replace(state, orders={f"o{place}": it for place, it in enumerate(orders)})


def figures(state, policy=None, at=AT):
    return cross_figures(state, at, policy or sample())


def test_orders_when_buys_and_sells_rest_on_one_symbol_then_only_the_worse_side_requires():
    state = holding(account({"USDT": 1_000}), resting(("BTC-PERP", 3, 100), ("BTC-PERP", -5, 100)))
    # max(10 % * 3 * 100, 10 % * 5 * 100)
    assert figures(state).initial_margin == D("0.1") * 5 * 100


def test_orders_when_one_side_adds_and_the_other_closes_then_the_adding_side_requires():
    state = account({"USDT": 1_000}, {"BTC-PERP": (4, 100)})
    orders = resting(("BTC-PERP", 3, 100), ("BTC-PERP", -5, 100))
    # long 4: buys make it 7, sells make it 1 short
    assert figures(holding(state, orders)).initial_margin == D("0.1") * 7 * 100


def test_orders_when_they_turn_the_position_around_then_the_other_side_requires():
    state = account({"USDT": 1_000}, {"BTC-PERP": (4, 100)})
    # long 4: sells make it 6 short
    orders = resting(("BTC-PERP", -10, 100), ("BTC-PERP", 1, 100))
    assert figures(holding(state, orders)).initial_margin == D("0.1") * 6 * 100


def test_orders_when_they_only_close_then_they_require_nothing():
    state = account({"USDT": 1_000}, {"BTC-PERP": (4, 100)})
    orders = resting(("BTC-PERP", -1, 90), ("BTC-PERP", -3, 120))
    assert figures(holding(state, orders)) == figures(state)


def test_orders_when_in_two_symbols_then_both_require():
    state = holding(account({"USDT": 1_000}), resting(("BTC-PERP", 3, 100), ("ETH-PERP", -20, 10)))
    assert figures(state).initial_margin == D("0.1") * 3 * 100 + D("0.1") * 20 * 10


def test_orders_when_the_filled_position_reaches_a_higher_tier_then_its_rate_holds():
    state = account({"USDT": 1_000}, {"BTC-PERP": (9_000, 100)}, leverage={"BTC-PERP": 100})
    orders = resting(("BTC-PERP", 2_000, 100))
    # 1,100,000 lies in the tier from 1,000,000: 20 % of all of it instead of 10 % of 900,000
    assert figures(state).initial_margin == D("0.1") * 900_000
    assert figures(holding(state, orders)).initial_margin == D("0.2") * 1_100_000


def test_orders_when_leverage_was_chosen_then_it_sets_their_requirement():
    state = account({"USDT": 1_000}, leverage={"BTC-PERP": 5})
    assert figures(holding(state, resting(("BTC-PERP", 3, 100)))).initial_margin == D(3) * 100 / 5


@pytest.mark.parametrize("left_out", [{"reduce_only": True}, {"isolated": True}])
def test_orders_when_reduce_only_or_isolated_then_they_are_not_part_of_the_pool(left_out):
    state = account({"USDT": 1_000}, {"BTC-PERP": (4, 100)})
    orders = resting(("BTC-PERP", -10, 100), ("ETH-PERP", 7, 10), **left_out)
    assert figures(holding(state, orders)) == figures(state)


def test_orders_when_a_symbol_never_had_a_mark_then_the_order_price_stands_in():
    state = holding(account({"USDT": 1_000}), resting(("ADA-PERP", 3, 2)))
    # ADA-PERP: 10 ADA per contract
    assert figures(state).initial_margin == D("0.1") * 3 * 10 * 2


def test_maintenance_when_the_policy_keeps_orders_out_of_it_then_they_change_nothing():
    state = account({"USDT": 1_000}, {"BTC-PERP": (4, 100)})
    orders = resting(("BTC-PERP", 3, 100))
    assert figures(holding(state, orders)).maintenance_margin == D("0.05") * 4 * 100


def test_maintenance_when_the_policy_counts_orders_then_the_worse_side_of_maintenance_counts():
    policy = sample(("[prices]", "[pool]\norders_in_maintenance = true\n\n[prices]"))
    state = account({"USDT": 1_000}, {"BTC-PERP": (4, 100)})
    orders = resting(("BTC-PERP", 3, 100), ("BTC-PERP", -2, 100))
    assert figures(holding(state, orders), policy).maintenance_margin == D("0.05") * 7 * 100
    assert figures(holding(state, orders), policy).initial_margin == D("0.1") * 7 * 100


@pytest.mark.parametrize(("counts", "degraded"), [(True, True), (False, False)])
def test_degraded_when_only_an_order_needs_a_stale_mark_then_only_where_orders_count_in_maintenance(
    counts, degraded
):
    policy = sample(("[prices]", f"[pool]\norders_in_maintenance = {str(counts).lower()}\n\n[prices]"))
    state = holding(account({"USDT": 1_000}, {"BTC-PERP": (4, 100)}), resting(("ETH-PERP", 1, 10)))
    at = prices({"USDT-USD": 1, "BTC-PERP": 100, "ETH-PERP": 10}, stale=["ETH-PERP"])
    assert figures(state, policy, at).degraded is degraded


def test_order_requirement_when_each_order_costs_then_by_its_number_in_both_margins():
    policy = sample(("[prices]", "[pool]\norder_requirement = 0.5\n\n[prices]"))
    orders = resting(("BTC-PERP", 1, 100), ("BTC-PERP", 2, 100), ("BTC-PERP", -1, 100))
    at_rest = figures(holding(account({"USDT": 1_000}), orders), policy)
    assert at_rest.initial_margin == D("0.1") * 3 * 100 + 3 * D("0.5")
    assert at_rest.maintenance_margin == 3 * D("0.5")


# loss that an order's price implies against the mark


@pytest.mark.parametrize(
    ("orders", "loss"),
    [
        ([("BTC-PERP", 3, 110)], 3 * (110 - 100)),  # bought above the mark
        ([("BTC-PERP", -3, 90)], 3 * (100 - 90)),  # sold below it
        ([("BTC-PERP", 3, 90)], 0),  # a gain is no credit
        ([("BTC-PERP", 1, 110), ("BTC-PERP", 2, 80)], 1 * (110 - 100)),  # nor does it pay for another's loss
    ],
)
def test_order_loss_when_the_price_is_worse_than_the_mark_then_it_is_required_too(orders, loss):
    state = holding(account({"USDT": 1_000}), resting(*orders))
    assert figures(state, with_rules("order_loss = true")).initial_margin == D("0.1") * 3 * 100 + loss
    assert figures(state, with_rules("order_loss = false")).initial_margin == D("0.1") * 3 * 100


def test_order_loss_when_the_smaller_side_loses_more_then_it_is_the_worse_side():
    orders = resting(("BTC-PERP", 4, 100), ("BTC-PERP", -3, 50))
    state = holding(account({"USDT": 1_000}), orders)
    # buys: 10 % * 400 = 40;  sells: 10 % * 300 + 3 * (100 - 50) = 180
    assert figures(state, with_rules("order_loss = true")).initial_margin == D("0.1") * 300 + 3 * 50


def test_order_loss_when_the_order_closes_below_the_mark_then_the_loss_alone_may_be_required():
    state = account({"USDT": 1_000}, {"BTC-PERP": (4, 100)})
    orders = resting(("BTC-PERP", -4, 50))
    # flat afterwards, 10 % * 400 = 40 is free; 4 * (100 - 50) is lost
    after = figures(holding(state, orders), with_rules("order_loss = true"))
    assert after.initial_margin == 4 * (100 - 50)


# inverse contracts: a contract is worth 100 USD, margin and loss in coin

COIN_PERP = """[instruments.COIN-PERP]
kind = "perpetual"
payoff = "inverse"
base = "BTC"
settle = "BTC"
multiplier = 100
tiers = "major"
margin = "coin"

[margin.coin]
order_loss = true

[instruments.USD-PERP]"""
INVERSE = ("[instruments.USD-PERP]", COIN_PERP)


@pytest.mark.parametrize(
    ("quantity", "price", "loss"),
    [
        # 40 contracts are worth 4,000 / 20,000 = 0.2 BTC at the mark
        (40, 20_000, D(0)),
        (40, 25_000, D("0.2") - D(4_000) / 25_000),  # bought too dear: 0.04 BTC
        (-40, 16_000, D(4_000) / 16_000 - D("0.2")),  # sold too cheap: 0.05 BTC
        (-40, 25_000, D(0)),
    ],
)
def test_inverse_orders_when_priced_off_the_mark_then_margin_and_loss_are_in_coin(quantity, price, loss):
    at = prices({"USDT-USD": 1, "BTC-USD": 30_000, "COIN-PERP": 20_000})
    state = holding(account({"BTC": 1}), resting(("COIN-PERP", quantity, price)))
    required = (D("0.1") * D("0.2") + loss) * 30_000
    assert figures(state, sample(INVERSE), at).initial_margin == required


# hedge mode


def hedged(long: int, short: int) -> AccountState:
    """Both legs of BTC-PERP, bought and sold at 100."""
    legs = {"BTC-PERP|long": position(long, 100), "BTC-PERP|short": position(-short, 100)}
    return msgspec.structs.replace(account({"USDT": 1_000}), positions=legs)


OPEN_LONG = resting(("BTC-PERP", 5, 100), leg="long")
OPEN_SHORT = resting(("BTC-PERP", -7, 100), leg="short")
CLOSE_SHORT = resting(("BTC-PERP", 4, 100), leg="short")


def test_hedge_orders_when_legs_are_gross_then_each_leg_requires_its_own_worse_side():
    # long 10 + 5, short 4 + 7: both may fill
    both = figures(holding(hedged(10, 4), OPEN_LONG, OPEN_SHORT))
    assert both.initial_margin == D("0.1") * (15 + 11) * 100
    # closing the short leg frees, so it requires nothing
    assert figures(holding(hedged(10, 4), CLOSE_SHORT)).initial_margin == D("0.1") * (10 + 4) * 100


def test_hedge_orders_when_legs_net_then_closing_one_leg_uncovers_the_other():
    net = with_rules('hedge_legs = "net"')
    assert figures(hedged(10, 4), net).initial_margin == D("0.1") * (10 - 4) * 100
    # without the short leg all of the long is net
    assert figures(holding(hedged(10, 4), CLOSE_SHORT), net).initial_margin == D("0.1") * 10 * 100


def test_hedge_orders_when_legs_net_then_opening_the_smaller_leg_requires_nothing():
    net = with_rules('hedge_legs = "net"')
    # |10 - 11| = 1 < 10 - 4
    assert figures(holding(hedged(10, 4), OPEN_SHORT), net).initial_margin == D("0.1") * 6 * 100
    # |15 - 4| = 11: the buys alone are worse than both orders together
    both = figures(holding(hedged(10, 4), OPEN_LONG, OPEN_SHORT), net)
    assert both.initial_margin == D("0.1") * 11 * 100


def test_hedge_orders_when_the_larger_leg_requires_then_only_growth_beyond_it_counts():
    larger = with_rules('hedge_legs = "larger"')
    assert figures(holding(hedged(10, 2), OPEN_SHORT), larger).initial_margin == D("0.1") * 10 * 100
    assert figures(holding(hedged(10, 4), OPEN_SHORT), larger).initial_margin == D("0.1") * 11 * 100


def test_hedge_orders_when_each_leg_loses_by_its_price_then_both_losses_count_only_if_both_fill():
    rules = with_rules('hedge_legs = "larger"', "order_loss = true")
    orders = resting(("BTC-PERP", 5, 110), leg="long"), resting(("BTC-PERP", -7, 90), leg="short")
    # both fill: larger leg 15, lost 5 * 10 and 7 * 10
    state = holding(hedged(10, 4), *orders)
    assert figures(state, rules).initial_margin == D("0.1") * 15 * 100 + 5 * 10 + 7 * 10


# the state does not say in which order orders came


def test_figures_when_orders_are_listed_otherwise_then_they_are_the_same():
    # without a mark the price of the last order stands in, and last is the one with the highest id
    orders = resting(("ADA-PERP", 3, 2), ("ADA-PERP", 1, 5))
    state = msgspec.structs.replace(account({"USDT": 1_000}), orders=orders)
    other = msgspec.structs.replace(state, orders=dict(reversed(orders.items())))
    assert figures(state).initial_margin == D("0.1") * 4 * 10 * 5
    assert figures(other) == figures(state)


def test_explain_when_orders_rest_then_lines_sum_to_the_figures():
    policy = with_rules("order_loss = true")
    orders = resting(("BTC-PERP", 3, 110), ("BTC-USDT", -1, 30_000), ("ETH-PERP", -7, 9))
    state = holding(account({"USDT": 1_000, "BTC": 2}, {"BTC-PERP": (4, 90)}), orders)
    explained = explain_cross(state, AT, policy)
    with exact():
        for figure in ("equity", "collateral_value", "initial_margin", "maintenance_margin"):
            assert explained.total(figure) == getattr(explained.figures, figure), figure
