"""A portfolio read from text, the account it makes, and its risk matrix."""

from decimal import Decimal

import msgspec
import pytest

from engine.analytics.hypothetical import (
    HypotheticalError,
    account_of,
    check_hypothetical,
    parse_hypothetical,
    prices_of,
)
from engine.analytics.risk_matrix import risk_matrix
from engine.margin.margin_model import shared_figures
from engine.marks.doubts import Doubt
from engine.policy.rules.portfolio_rules import BasisRisk, Correlation, Grid, PortfolioRules, UnitRules
from tests.support.builders import account, prices, sample
from tests.support.wide import order

D = Decimal
AT = prices(
    {"USDT-USD": 1, "BTC-USD": 90, "BTC-PERP": 100, "ETH-PERP": 50, "USD-PERP": 100}, stale=["BTC-USD"]
)
TEXT = """
name = "mine"
margin_model = "portfolio"

[balances]
USD = 300

[positions.BTC-PERP]
quantity = 10
entry_price = 95

[positions.ETH-PERP]
quantity = -4

[[orders]]
symbol = "USD-PERP"
quantity = -2
price = 101

[leverage]
BTC-PERP = 5

[prices]
BTC-USD = 100
"""
RULES = PortfolioRules(
    units={
        "default": UnitRules(
            grid=Grid(prices=(D("-0.1"), D("0.1")), volatilities=("none",)),
            basis=BasisRisk(move_min=D("0.005"), netting="each"),
        )
    },
    correlations=(Correlation(first="BTC", second="ETH", rate=D("0.5"), cap=D("0.5")),),
    initial_factor=D("1.2"),
)
POLICY = msgspec.structs.replace(sample(), portfolio=RULES)


def test_account_when_read_then_as_if_the_fills_had_come():
    asked = parse_hypothetical(TEXT)
    now = prices_of(asked, AT)
    # without an entry price at the mark
    wanted = msgspec.structs.replace(
        account(
            {"USD": 300}, {"BTC-PERP": (10, 95), "ETH-PERP": (-4, 50)}, leverage={"BTC-PERP": 5}, name="mine"
        ),
        orders={"0": order("USD-PERP", -2, 101)},
        margin_model="portfolio",
    )
    assert account_of(asked, now, POLICY) == wanted


def test_prices_when_the_file_gives_one_then_it_is_fresh_and_the_others_are_those_at_hand():
    doubted = msgspec.structs.replace(AT, aged={"BTC-USD": Doubt(D("0.1")), "ETH-PERP": Doubt(D("0.1"))})
    now = prices_of(parse_hypothetical(TEXT), doubted)
    assert (now.marks["BTC-USD"].price, now.marks["ETH-PERP"].price) == (100, 50)
    assert (now.stale, list(now.aged)) == (frozenset(), ["ETH-PERP"])


def test_portfolio_when_written_as_json_then_the_same():
    as_json = msgspec.json.encode(parse_hypothetical(TEXT)).decode()
    assert parse_hypothetical(as_json) == parse_hypothetical(TEXT)


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("USD = 300", "DOGE = 300", "balances.DOGE is not an asset"),
        ("[positions.ETH-PERP]", "[positions.BTC-USDT]", "positions.BTC-USDT is not a contract"),
        ("[positions.ETH-PERP]", '[positions."ETH-PERP|up"]', "has no such leg"),
        ('symbol = "USD-PERP"', 'symbol = "X"', "orders X is not listed"),
        ("BTC-PERP = 5", "BTC-PERP = 0", "must be above zero"),
        ("BTC-USD = 100", "BTC-USD = -1", "must be above zero"),
        ("BTC-USD = 100", "XRP-USD = 1", "prices.XRP-USD is not a price symbol"),
        ("entry_price = 95", "entry_price = 0", "entry_price: must be above zero"),
        ("USD = 300", "USD = inf", "balances.USD: is not a finite number"),
        ("quantity = -4", "quantities = -4", "quantities"),
        ('name = "mine"', "name = ", "not valid TOML"),
        ('margin_model = "portfolio"', 'margin_model = "span"', "span"),
    ],
)
def test_portfolio_when_it_cannot_be_meant_then_named(good, bad, said):
    assert good in TEXT
    with pytest.raises(HypotheticalError, match=said):
        check_hypothetical(parse_hypothetical(TEXT.replace(good, bad, 1)), POLICY)


def test_account_when_no_price_is_known_then_it_says_what_to_do():
    asked = parse_hypothetical("[positions.ADA-PERP]\nquantity = 1")
    with pytest.raises(HypotheticalError, match="say entry_price"):
        account_of(asked, AT, POLICY)


def test_matrix_when_two_underlyings_offset_then_every_part_by_hand():
    asked = parse_hypothetical(TEXT.replace("quantity = -2", "quantity = 0"))
    now = prices_of(asked, AT)
    state = account_of(asked, now, POLICY)
    matrix = risk_matrix(state, now, POLICY)
    btc, eth = matrix.units
    # 10 * 100 and - 4 * 50 at 10 %
    assert [(it.scenario, it.profit) for it in btc.scenarios] == [
        ("price -0.1, volatility none", -100),
        ("price +0.1, volatility none", 100),
    ]
    assert (btc.worst, eth.worst) == ("price -0.1, volatility none", "price +0.1, volatility none")
    # 100 + 0.5 % of 1,000, and 20 + 0.5 % of 200
    assert [(it.name, it.maintenance) for it in btc.charges] == [("price_risk", 100), ("basis", 5)]
    assert (btc.maintenance_margin, eth.maintenance_margin) == (105, 21)
    # offset 100 + 20 - 80 = 40: the least of half of it and half of the smaller
    (credit,) = matrix.credits
    assert (credit.first, credit.second, credit.maintenance) == ("BTC", "ETH", 10)
    assert (matrix.maintenance_margin, matrix.initial_margin) == (116, D("1.2") * 116)
    assert shared_figures(state, now, POLICY).maintenance_margin == 116


def test_matrix_when_the_policy_has_no_portfolio_margin_then_none():
    assert risk_matrix(account({"USD": 1}), AT, sample()) is None
