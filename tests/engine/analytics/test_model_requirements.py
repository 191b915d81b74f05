"""One account under several models and policies, side by side, by hand."""

from decimal import Decimal

import msgspec

from engine.analytics.model_requirements import other_figures, policy_figures
from engine.analytics.other_names import renamed
from engine.policy import parse
from engine.policy.rules.portfolio_rules import BasisRisk, Grid, PortfolioRules, UnitRules
from tests.support.builders import account, mark, prices, sample, sample_text
from tests.support.wide import order

D = Decimal
AT = prices({"USDT-USD": 1, "BTC-USD": 100, "BTC-PERP": 100, "ETH-PERP": 50, "USD-PERP": 100})
RULES = PortfolioRules(
    units={
        "default": UnitRules(
            grid=Grid(prices=(D("-0.1"), D("0.1")), volatilities=("none",)),
            basis=BasisRisk(move_min=D("0.005"), netting="each"),
        )
    },
    initial_factor=D("1.2"),
)
POLICY = msgspec.structs.replace(sample(), portfolio=RULES)


def of(state, policy=POLICY, at=AT):
    return {it.model: it for it in policy_figures(state, at, policy).models}


def test_requirements_when_hedged_then_each_model_by_hand():
    # long 10 BTC-PERP, short 4 USD-PERP, entered 5 lower and 5 lower
    state = account({"USD": 300, "USDT": 0}, {"BTC-PERP": (10, 95), "USD-PERP": (-4, 95)})
    found = of(state)
    # 300 + 50 - 20; 10 % and 5 % of 1,000 and 400
    alone, cross, portfolio = found["segregated"], found["cross"], found["portfolio"]
    assert (alone.equity, alone.initial_margin, alone.maintenance_margin) == (330, 140, 70)
    assert (alone.collateral_value, alone.ratio, alone.band, alone.available_margin) == (
        None,
        None,
        None,
        None,
    )
    assert (cross.initial_margin, cross.maintenance_margin, cross.available_margin) == (140, 70, 190)
    # 10 % and 0.5 % of 600 net
    assert (portfolio.maintenance_margin, portfolio.initial_margin) == (63, D("1.2") * 63)
    assert (portfolio.collateral_value, portfolio.band) == (330, "healthy")


def test_requirements_when_orders_rest_then_every_model_counts_them():
    state = account({"USD": 300}, {"USD-PERP": (-4, 100)})
    ordered = msgspec.structs.replace(state, orders={"o": order("USD-PERP", -2, 100)})
    # 10 % of 600 once filled; 1.2 * (10 % + 0.5 %) of 600
    found = of(ordered)
    assert (found["segregated"].initial_margin, found["cross"].initial_margin) == (60, 60)
    assert found["portfolio"].initial_margin == D("1.2") * 63


def test_requirements_when_the_policy_takes_a_liquidation_fee_then_it_is_in_every_one():
    policy = msgspec.structs.replace(
        POLICY, pool=msgspec.structs.replace(POLICY.pool, liquidation_fee_rate=D("0.01"))
    )
    found = of(account({"USD": 300}, {"USD-PERP": (-4, 100)}), policy)
    # 1 % of 400 beside 5 %, 5 % and 10.5 %
    assert [it.maintenance_margin for it in found.values()] == [24, 24, 46]


def test_requirements_when_the_account_chose_a_model_then_all_are_shown_all_the_same():
    state = msgspec.structs.replace(account({"USD": 300}, {"USD-PERP": (-4, 100)}), margin_model="portfolio")
    assert list(of(state)) == ["segregated", "cross", "portfolio"]
    assert of(state)["cross"].maintenance_margin == 20
    assert list(of(state, sample())) == ["segregated", "cross"]


def test_requirements_when_a_price_is_missing_then_it_is_named():
    state = account({"USD": 300, "BTC": 1}, {"ADA-PERP": (1, 10)})
    found = policy_figures(state, prices({"USDT-USD": 1}), sample())
    assert found.missing_prices == ("ADA-PERP", "BTC-USD")


def test_requirements_when_explained_then_lines_that_sum_to_each_margin():
    state = account({"USD": 300}, {"BTC-PERP": (10, 95), "USD-PERP": (-4, 95)})
    _, *pools = policy_figures(state, AT, POLICY, explain=True).models
    for it in pools:
        assert (
            sum(line.value for line in it.lines if line.figure == "maintenance_margin")
            == it.maintenance_margin
        )


# --- another policy's names

VENUE = sample(
    ("[instruments.BTC-PERP]", "[instruments.BTCUSDT]\nmultiplier = 0.01"),
    ("[instruments.ETH-PERP]", "[instruments.ETHUSDT]"),
    ('index = "BTC-USD"', 'index = "BTC-INDEX"'),
    ("maintenance_rate = 0.05", "maintenance_rate = 0.02"),
)


def test_other_figures_when_marks_say_the_open_interest_then_it_is_of_the_others_contracts():
    at = msgspec.structs.replace(AT, marks={
        **AT.marks,
        "BTC-PERP": mark("BTC-PERP", 100, open_interest=7),
        "BTC-USD": mark("BTC-USD", 100, deposits=9, borrows=4),
    })  # fmt: skip
    state = account({"USD": 300, "BTC": 1}, {"BTC-PERP": (3, 90), "ETH-PERP": (-2, 60)})
    told = renamed(state, at, POLICY, VENUE).prices.marks
    # contracts of a hundredth of a coin; coins stay coins
    assert told["BTCUSDT"].open_interest == 700
    assert told["ETHUSDT"].open_interest is None
    assert (told["BTC-INDEX"].deposits, told["BTC-INDEX"].borrows) == (9, 4)


def test_other_figures_when_the_venue_has_smaller_contracts_then_as_many_more_of_them():
    state = account(
        {"USD": 300, "BTC": 1}, {"BTC-PERP": (3, 90), "ETH-PERP": (-2, 60)}, leverage={"BTC-PERP": 5}
    )
    state = msgspec.structs.replace(state, orders={"o": order("BTC-PERP", 1, 100)})
    told = renamed(state, AT, POLICY, VENUE)
    assert told.names == {"BTC-PERP": "BTCUSDT", "ETH-PERP": "ETHUSDT"}
    assert told.state.positions["BTCUSDT"] == account(positions={"X": (300, "0.9")}).positions["X"]
    assert (told.state.leverage, told.state.orders["o"].quantity) == ({"BTCUSDT": 5}, 100)
    assert {symbol: it.price for symbol, it in told.prices.marks.items()} == {
        "USDT-USD": 1,
        "BTC-INDEX": 100,
        "BTCUSDT": 100,
        "ETHUSDT": 50,
    }
    cross = {it.model: it for it in other_figures(state, AT, POLICY, VENUE).models}["cross"]
    # 2 % of 300 and 100; 300 + 95 + 30 + 20, and 1 / 5 of 400 with the order, 1 / 10 of 100
    assert (cross.maintenance_margin, cross.collateral_value, cross.initial_margin) == (8, 445, 90)


def test_other_figures_when_the_account_currency_is_another_then_indices_are_in_it():
    text = sample_text(
        ('account_currency = "USD"', 'account_currency = "USDT"'),
        ('[assets.USDT]\nindex = "USDT-USD"', "[assets.USDT]"),
        ("[assets.USD]", '[assets.USD]\nindex = "USD-USDT"'),
        ('index = "BTC-USD"', 'index = "BTC-USDT-INDEX"'),
    )
    low = prices({**{symbol: it.price for symbol, it in AT.marks.items()}, "USDT-USD": "0.8"})
    state = account({"USD": 100, "BTC": 1, "USDT": 10}, {"BTC-PERP": (1, 100)})
    found = other_figures(state, low, sample(), parse(text))
    # 100 / 0.8, 100 / 0.8, 10
    assert (found.currency, found.models[0].equity, found.missing_prices) == ("USDT", 260, ())


def test_other_figures_when_nothing_or_several_are_alike_then_it_says_so():
    state = account({"USD": 300, "DOGE": 1}, {"ADA-PERP": (1, 1), "USD-PERP": (1, 100)})
    other = sample(
        ("[instruments.ADA-PERP]", "[instruments.XRP-PERP]"),
        ('base = "ADA"', 'base = "XRP"'),
        (
            "[instruments.USD-PERP]",
            '[instruments.A]\nkind = "perpetual"\nbase = "BTC"\nsettle = "USD"\ntiers = "major"\n[instruments.B]',
        ),
    )
    found = other_figures(state, AT, sample(), other)
    assert (found.models, found.unlisted) == ((), ("ADA-PERP", "USD-PERP", "DOGE"))


def test_other_figures_when_a_price_is_stale_here_then_there_too():
    stale = msgspec.structs.replace(AT, stale=frozenset({"BTC-USD", "BTC-PERP"}))
    told = renamed(account({"BTC": 1}, {"BTC-PERP": (1, 100)}), stale, POLICY, VENUE)
    assert {"BTC-INDEX", "BTCUSDT"} <= told.prices.stale
    assert "USDT-USD" not in told.prices.stale
