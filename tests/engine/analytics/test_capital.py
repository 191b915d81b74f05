"""What one account ties up segregated, in cross margin and under portfolio margin."""

from decimal import Decimal

import msgspec
import pytest

from engine.analytics.capital import capital_by_model
from engine.policy.rules.portfolio_rules import BasisRisk, Correlation, Grid, PortfolioRules, UnitRules
from tests.support.builders import mark, prices
from tests.support.wide import holding, order, wide, with_pool

D = Decimal
RULES = PortfolioRules(
    units={
        "default": UnitRules(
            grid=Grid(prices=(D("-0.04"), D("0.04")), volatilities=("none",)),
            basis=BasisRisk(move_min=D("0.005"), netting="hedged"),
        )
    },
    correlations=(Correlation(first="BTC", second="ETH", rate=D("0.5"), cap=D("0.5")),),
    initial_factor=D("1.5"),
)
POLICY = msgspec.structs.replace(
    wide(("[instruments.ETH-PERP]", "[margin.netted]\nhedge_legs = 'net'\n\n[instruments.ETH-PERP]")),
    portfolio=RULES,
)
QUOTES = {
    "USDT-USD": 1,
    "BTC-USD": 50_000,
    "BTC-PERP": 50_000,
    "USD-PERP": 50_000,
    "BTC-DEC": 50_000,
    "ETH-PERP": 2_500,
    "ADA-PERP": "0.5",
    "BTC-50000-C": mark("BTC-50000-C", 3_000, volatility=0),
    "BTC-60000-C": mark("BTC-60000-C", 1_000, volatility=0),
}
AT = prices(QUOTES)


def capital(state, policy=POLICY, at=AT):
    """(IM, MM, capital, freed) by model."""
    return {
        it.model: (it.initial_margin, it.maintenance_margin, it.capital, it.freed)
        for it in capital_by_model(state, at, policy)
    }


def test_example_1_when_three_positions_are_segregated_then_1700_and_the_pool_is_shown_beside_it():
    # leverage 10: BTC 0.2 * 50,000 / 10 = 1,000; ETH 2 * 2,500 / 10 = 500; ADA 400 * 10 * 0.5 / 10 = 200
    state = holding(
        POLICY,
        {"USDT": 5_000},
        {"BTC-PERP": ("0.2", 50_000), "ETH-PERP": (-2, 2_500), "ADA-PERP": (400, "0.5")},
    )
    by_model = capital(state)
    assert by_model["segregated"] == (1_700, D("0.05") * 17_000, D(1_000) + 500 + 200, 0)
    assert by_model["cross"] == (
        1_700,
        D("0.05") * 17_000,
        1_700,
        0,
    )  # unmoved, the legs add up in cross mode
    # 4 % of 10,000, 5,000 and 2,000, less the credit of BTC against ETH: min(0.5 * (600 - 200), 0.5 * 200)
    net = D(400) + 200 + 80 - min(D("0.5") * (600 - 200), D("0.5") * 200)
    assert by_model["portfolio"] == (D("1.5") * net, net, D("1.5") * net, D(1_700) - D("1.5") * net)


def test_example_1_when_one_position_has_lost_then_only_segregated_it_is_not_covered_by_the_others():
    # BTC - 600, ETH + 500, ADA + 40
    state = holding(
        POLICY,
        {"USDT": 5_000},
        {"BTC-PERP": ("0.2", 53_000), "ETH-PERP": (-2, 2_750), "ADA-PERP": (400, "0.49")},
    )
    by_model = capital(state)
    assert by_model["segregated"][2] == D(1_700) + 600
    assert by_model["cross"][2:] == (D(1_700) + (600 - 500 - 40), D(500) + 40)


@pytest.mark.parametrize(
    ("held", "segregated", "cross", "portfolio"),
    [
        # long 1 BTC-PERP, short 1 BTC-DEC: each 5,000; netted only the basis of 0.5 % at 1.5 times
        ({"BTC-PERP": (1, 50_000), "BTC-DEC": (-1, 50_000)}, 10_000, 10_000, D("1.5") * 250),
        # the same, entered apart: - 2,000 and + 2,000
        ({"BTC-PERP": (1, 52_000), "BTC-DEC": (-1, 52_000)}, 12_000, 10_000, D("1.5") * 250),
        # legs of one symbol, netted in cross mode: 2 and 1 long segregated, 1 net
        ({"ETH-PERP|long": (20, 2_500), "ETH-PERP|short": (-10, 2_500)}, 7_500, 2_500, D("1.5") * 1_000),
        ({"ETH-PERP|long": (20, 2_600), "ETH-PERP|short": (-10, 2_600)}, 9_500, 3_500, D("1.5") * 1_000 + 1_000),
        # one position: nothing to offset, but the scenarios ask for less than a tenth
        ({"BTC-PERP": (1, 50_000)}, 5_000, 5_000, D("1.5") * 2_000),
    ],
)  # fmt: skip
def test_capital_when_hedged_then_each_model_ties_up_less_than_the_one_before(
    held, segregated, cross, portfolio
):
    eth = msgspec.structs.replace(POLICY.instruments["ETH-PERP"], margin="netted")
    policy = msgspec.structs.replace(POLICY, instruments={**POLICY.instruments, "ETH-PERP": eth})
    by_model = capital(holding(policy, {"USD": 50_000}, held), policy)
    assert {model: of[2] for model, of in by_model.items()} == {
        "segregated": segregated,
        "cross": cross,
        "portfolio": portfolio,
    }
    assert {model: of[3] for model, of in by_model.items()} == {
        "segregated": 0,
        "cross": segregated - cross,
        "portfolio": segregated - portfolio,
    }
    assert portfolio < cross <= segregated


def test_capital_when_coins_hedge_a_short_then_portfolio_margin_frees_most():
    by_model = capital(holding(POLICY, {"BTC": 1}, {"USD-PERP": (-1, 50_000)}))
    assert by_model["segregated"][0] == by_model["cross"][0] == D("0.1") * 50_000
    # only 0.5 % of basis, at 1.5 times
    assert by_model["portfolio"] == (D("1.5") * 250, D(250), D("1.5") * 250, D(5_000) - D("1.5") * 250)


def spread(value, spreads="max_loss"):
    table = msgspec.structs.replace(POLICY.option_margin["short"], spreads=spreads)
    policy = with_pool(msgspec.structs.replace(POLICY, option_margin={"short": table}), option_value=value)
    state = holding(policy, {"USDT": 50_000}, {"BTC-50000-C": (1, 3_000), "BTC-60000-C": (-1, 1_000)})
    return capital(state, policy)


def test_options_when_a_spread_is_covered_then_segregated_the_short_is_margined_alone():
    by_model = spread("requirement")
    # short 60,000 call alone: the floor of 10 % of 50,000 + its value of 1,000; covered nothing
    assert by_model["segregated"] == (D(5_000) + 1_000, D(3_750) + 1_000, D(6_000), 0)
    assert by_model["cross"] == (0, 0, 0, 6_000)


def test_options_when_their_value_is_collateral_then_a_shorts_value_is_its_loss_and_not_in_its_margin():
    by_model = spread("collateral", spreads="isolated")
    # 5,000 + the 1,000 it would cost to buy back; the long's 3,000 cover that in the pool
    assert by_model["segregated"] == (D(5_000), D(3_750), D(5_000) + 1_000, 0)
    assert by_model["cross"] == (D(5_000), D(3_750), D(5_000), 1_000)


def test_capital_when_orders_rest_then_they_are_not_part_of_it():
    state = holding(POLICY, {"USDT": 9_000}, {"BTC-PERP": (1, 50_000)})
    ordered = msgspec.structs.replace(state, orders={"o": order("BTC-PERP", 5, 50_000)})
    assert capital(ordered) == capital(state)


def test_capital_when_the_settle_asset_is_not_worth_one_then_in_account_currency():
    low = prices({**QUOTES, "USDT-USD": "0.9"})
    state = holding(POLICY, {"USD": 9_000}, {"BTC-PERP": (1, 51_000)})
    assert capital(state, at=low)["segregated"][2] == (D(5_000) + 1_000) * D("0.9")


def test_capital_when_the_policy_has_no_portfolio_margin_then_two_models_whatever_the_account_chose():
    policy = msgspec.structs.replace(POLICY, portfolio=None)
    state = holding(policy, {"USD": 9_000}, {"BTC-PERP": (1, 50_000)}, margin_model="portfolio")
    assert list(capital(state, policy)) == ["segregated", "cross"]


def test_capital_when_nothing_is_held_then_nothing():
    assert set(capital(holding(POLICY, {"USD": 9_000})).values()) == {(0, 0, 0, 0)}
