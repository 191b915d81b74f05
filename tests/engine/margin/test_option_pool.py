"""Options of an account in cross margin by hand: a short one requires, a long one was paid for."""

from decimal import Decimal

import msgspec
import pytest

from engine.inputs import Topic
from engine.margin.cross.cross_lines import explain_cross
from engine.margin.cross.cross_pool import cross_figures
from engine.policy.rules.portfolio_rules import Rates
from tests.support.builders import applied, prices, trade
from tests.support.wide import holding, wide, with_pool

D = Decimal
POLICY = wide()
COLLATERAL = with_pool(POLICY, option_value="collateral")
QUOTES = {
    "USDT-USD": 1,
    "BTC-USD": 50_000,
    "BTC-50000-C": 3_000,
    "BTC-60000-C": 1_000,
    "BTC-40000-P": 500,
    "BTC-COIN-C": "0.06",
    "BTC-PERP": 50_000,
}


def figures(positions, balances=None, policy=POLICY, quotes=None, stale=()):
    """Figures of options, whose entry price never matters, with 100,000 USDT in the wallet."""
    state = holding(
        policy, balances or {"USDT": 100_000}, {key: (quantity, 1) for key, quantity in positions.items()}
    )
    return cross_figures(state, prices({**QUOTES, **(quotes or {})}, stale), policy)


def margins(*args, **others):
    of = figures(*args, **others)
    return of.initial_margin, of.maintenance_margin


def spreads(policy=POLICY, **rules):
    table = msgspec.structs.replace(policy.option_margin["short"], spreads="max_loss", **rules)
    return msgspec.structs.replace(policy, option_margin={"short": table})


def test_short_call_when_at_the_money_then_rates_of_the_index_and_its_value():
    # IM 15 % of 50,000, MM 7.5 %, for 2, + 2 * 3,000
    assert margins({"BTC-50000-C": -2}) == (
        D("0.15") * 50_000 * 2 + 6_000,
        D("0.075") * 50_000 * 2 + 6_000,
    )


def test_short_put_when_out_of_the_money_then_the_distance_is_deducted_down_to_the_floor():
    # 15 % of 50,000 less 10,000 is below the floor of 10 %
    assert margins({"BTC-40000-P": -1}) == (D("0.1") * 50_000 + 500, D("0.075") * 50_000 + 500)
    # the index at 41,000: 15 % of it less 1,000
    near = margins({"BTC-40000-P": -1}, quotes={"BTC-USD": 41_000})
    assert near == (D("0.15") * 41_000 - 1_000 + 500, D("0.075") * 41_000 + 500)


def test_long_option_when_held_then_it_requires_nothing_and_is_no_collateral():
    of = figures({"BTC-50000-C": 2})
    assert (of.initial_margin, of.maintenance_margin, of.ratio) == (0, 0, None)
    assert of.equity == D(100_000) + 2 * 3_000
    assert of.collateral_value == D(100_000)


def test_short_option_when_its_value_is_required_then_the_premium_received_stays_in_the_collateral():
    of = figures({"BTC-50000-C": -2})
    assert of.equity == D(100_000) - 2 * 3_000
    assert of.collateral_value == D(100_000)


@pytest.mark.parametrize("quantity", [2, -2])
def test_option_value_when_it_counts_as_collateral_then_a_short_one_is_charged_for_it_once(quantity):
    required, counted = (figures({"BTC-50000-C": quantity}, policy=it) for it in (POLICY, COLLATERAL))
    assert counted.equity == required.equity == D(100_000) + quantity * 3_000
    assert counted.collateral_value == D(100_000) + quantity * 3_000
    if quantity < 0:
        assert counted.maintenance_margin == D("0.075") * 50_000 * 2
        assert counted.initial_margin == D("0.15") * 50_000 * 2
        # what is left above the requirement is the same either way
        assert counted.available_margin == required.available_margin == D(100_000) - 6_000 - 15_000
    else:
        assert counted.maintenance_margin == 0


def test_option_value_when_it_is_collateral_then_a_long_ones_value_covers_a_loss_elsewhere():
    state = holding(COLLATERAL, {"USDT": 1_000}, {"BTC-50000-C": (2, 1), "BTC-PERP": (1, 52_000)})
    # 1,000 + 6,000 - 2,000
    assert cross_figures(state, prices(QUOTES), COLLATERAL).collateral_value == D(5_000)
    # and without it 1,000 - 2,000
    assert cross_figures(state, prices(QUOTES), POLICY).collateral_value == D(-1_000)


def test_options_when_several_are_short_then_their_requirements_add_up():
    together = margins({"BTC-50000-C": -1, "BTC-40000-P": -1})
    assert together == (D(7_500) + 3_000 + 5_000 + 500, D(3_750) + 3_000 + 3_750 + 500)


def test_spread_when_longs_may_not_offset_then_the_short_is_margined_alone():
    assert margins({"BTC-50000-C": -1, "BTC-60000-C": 1}) == margins({"BTC-50000-C": -1})


def test_spread_when_covered_then_at_most_its_largest_loss_is_required():
    # short 50,000, long 60,000: at most 10,000 are lost; alone the short requires 10,500 and 6,750
    assert margins({"BTC-50000-C": -1, "BTC-60000-C": 1}, policy=spreads()) == (D(10_000), D(6_750))
    # long 50,000, short 60,000: nothing can be lost
    assert margins({"BTC-50000-C": 1, "BTC-60000-C": -1}, policy=spreads()) == (0, 0)


def test_spread_when_option_values_are_collateral_then_the_covering_long_does_not_count_twice():
    # short 60,000 in the money of 70,000, covered by a long of 50,000 that is worth 21,000: they can lose nothing
    deep = {"BTC-USD": 70_000, "BTC-50000-C": 21_000, "BTC-60000-C": 12_000}
    spread = {"BTC-50000-C": 1, "BTC-60000-C": -1}
    apart, counted = (figures(spread, policy=spreads(it), quotes=deep) for it in (POLICY, COLLATERAL))
    assert (apart.collateral_value, apart.initial_margin) == (D(100_000), D(0))
    # the 9,000 that equity counts may be given away at expiry: largest loss 0 + 21,000 - 12,000
    assert (counted.collateral_value, counted.initial_margin) == (D(109_000), D(9_000))
    assert counted.available_margin == apart.available_margin == D(100_000)


def test_spread_when_values_are_collateral_and_the_short_alone_requires_less_then_that():
    # IM: the short alone 7,500 and its loss of 10,000 less the 2,000 received on balance; MM: 3,750
    counted = margins({"BTC-50000-C": -1, "BTC-60000-C": 1}, policy=spreads(COLLATERAL))
    assert counted == (min(D(7_500), D(10_000) - 3_000 + 1_000), D(3_750))


def test_spread_when_more_is_short_than_long_then_unpaired_calls_are_charged_on_the_forward():
    # 2 short at 60,000 against 1 long at 50,000: no loss up to 60,000, and one call unpaired
    policy = spreads(unpaired_calls=Rates(maintenance=D("0.05"), initial=D("0.1")))
    assert margins({"BTC-50000-C": 1, "BTC-60000-C": -2}, policy=policy) == (
        D("0.1") * 50_000,
        D("0.05") * 50_000,
    )


# coin-settled: 0.06 BTC each, the strike of 50,000 in coins at the index


@pytest.mark.parametrize(
    ("index", "initial"),
    [
        (50_000, D("0.15") * 2),
        (40_000, D("0.1") * 2),  # the strike is at 1.25 coins: 0.15 - 0.25 is below the floor
        (62_500, D("0.15") * 2),  # in the money: nothing is deducted
    ],
)
def test_coin_option_when_short_then_it_requires_coins_at_the_index(index, initial):
    of = figures({"BTC-COIN-C": -2}, {"BTC": 3}, quotes={"BTC-USD": index})
    assert of.initial_margin == (initial + D("0.12")) * index
    assert of.maintenance_margin == (D("0.075") * 2 + D("0.12")) * index
    assert of.equity == (D(3) - D("0.12")) * index
    assert of.collateral_value == 3 * D("0.95") * index


def test_coin_option_when_its_value_is_collateral_then_it_takes_the_coins_haircut():
    of = figures({"BTC-COIN-C": 2}, {"BTC": 3}, COLLATERAL)
    assert of.collateral_value == (D(3) + D("0.12")) * D("0.95") * 50_000


def test_options_when_they_settle_in_different_assets_then_they_do_not_offset():
    policy = spreads()
    both = margins({"BTC-50000-C": 1, "BTC-COIN-C": -1}, {"BTC": 1}, policy)
    # 0.15 coins + value; alike and long, but paid in another asset
    assert both == ((D("0.15") + D("0.06")) * 50_000, (D("0.075") + D("0.06")) * 50_000)


def test_multiplier_when_not_one_then_quantities_are_units_of_the_underlying():
    tenth = msgspec.structs.replace(POLICY.instruments["BTC-50000-C"], multiplier=D("0.1"))
    policy = msgspec.structs.replace(POLICY, instruments={**POLICY.instruments, "BTC-50000-C": tenth})
    assert margins({"BTC-50000-C": -20}, policy=policy) == margins({"BTC-50000-C": -2})
    assert figures({"BTC-50000-C": -20}, policy=policy).equity == D(100_000) - 6_000


def test_premium_when_paid_and_received_then_buying_changes_no_equity_and_selling_none():
    for signed in (2, -2):
        state = applied(
            holding(POLICY, {"USDT": 100_000}), POLICY, Topic.FILLS, trade("BTC-50000-C", signed, 3_000)
        )
        of = cross_figures(state, prices(QUOTES), POLICY)
        assert of.equity == D(100_000)
        assert of.collateral_value == D(100_000) - signed * 3_000


@pytest.mark.parametrize("stale", ["BTC-USD", "BTC-50000-C", "USDT-USD"])
def test_options_when_a_price_they_need_is_stale_then_degraded_at_the_last_one(stale):
    fresh, degraded = (figures({"BTC-50000-C": -1}, stale=it) for it in ((), (stale,)))
    assert (fresh.degraded, degraded.degraded) == (False, True)
    assert degraded.maintenance_margin == fresh.maintenance_margin


def test_options_when_the_index_never_had_a_price_then_degraded():
    state = holding(POLICY, {"USDT": 9}, {"BTC-50000-C": (1, 1)})
    at = prices({"USDT-USD": 1, "BTC-50000-C": 3_000})
    assert cross_figures(state, at, POLICY).degraded


@pytest.mark.parametrize("policy", [POLICY, COLLATERAL])
def test_lines_when_options_are_explained_then_they_sum_to_every_figure(policy):
    state = holding(
        policy,
        {"USDT": 100_000, "BTC": 1},
        {"BTC-50000-C": (-2, 1), "BTC-40000-P": (3, 1), "BTC-COIN-C": (-1, 1), "BTC-PERP": (1, 49_000)},
    )
    breakdown = explain_cross(state, prices(QUOTES), policy)
    for figure in ("equity", "collateral_value", "initial_margin", "maintenance_margin"):
        assert breakdown.total(figure) == getattr(breakdown.figures, figure)
