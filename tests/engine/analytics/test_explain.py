"""An explanation names the inputs of each line, and the line follows from them."""

from decimal import Decimal

from engine.margin.cross.cross_lines import explain_cross
from engine.margin.isolated_pool import explain_isolated
from engine.numbers import divide, exact
from tests.support.builders import account, prices, sample

D = Decimal
POLICY = sample()
AT = prices({"USDT-USD": "0.98", "BTC-USD": 30_000, "BTC-PERP": 110, "ETH-PERP": 3_000})


def lines(breakdown, figure):
    return {line.item: line for line in breakdown.lines if line.figure == figure}


def test_explain_cross_when_asked_then_equity_is_split_into_wallets_and_profits():
    state = account({"USDT": 50, "BTC": 1}, {"BTC-PERP": (2, 100)})
    found = lines(explain_cross(state, AT, POLICY), "equity")
    assert {item: line.value for item, line in found.items()} == {
        "USDT": 50 * D("0.98"),
        "BTC": D(1) * 30_000,
        "BTC-PERP": 2 * (D(110) - 100) * D("0.98"),
    }


def test_explain_cross_when_asked_then_each_requirement_follows_from_the_inputs_of_its_line():
    # 600 * 3,000 = 1,800,000 lies in the second tier
    state = account(
        {"USD": 500_000}, {"BTC-PERP": (2, 100), "ETH-PERP": (-600, 3_000)}, leverage={"BTC-PERP": 3}
    )
    breakdown = explain_cross(state, AT, POLICY)
    with exact():
        for line in lines(breakdown, "maintenance_margin").values():
            of = line.inputs
            assert line.value == (of["maintenance_rate"] * of["notional"] - of["deduction"]) * of["price"]
        for line in lines(breakdown, "initial_margin").values():
            of = line.inputs
            by_leverage = divide(of["notional"], of["leverage"])
            assert line.value == max(by_leverage, of["initial_rate"] * of["notional"]) * of["price"]
    assert lines(breakdown, "maintenance_margin")["ETH-PERP"].inputs["deduction"] == D(50_000)


def test_explain_cross_when_an_index_is_stale_then_the_line_says_why_it_is_zero():
    state = account({"BTC": 1, "USD": 5}, {"BTC-PERP": (2, 100)})
    stale = prices({symbol: mark.price for symbol, mark in AT.marks.items()}, {"BTC-USD"})
    line = lines(explain_cross(state, stale, POLICY), "collateral_value")["BTC"]
    assert line.value == D(0)
    assert "stale" in line.formula


def test_explain_isolated_when_asked_then_margin_and_profit_are_two_lines():
    state = account(isolated={"BTC-PERP": (2, 100, 30)})
    breakdown = explain_isolated(state, "BTC-PERP", AT, POLICY)
    values = [line.value for line in breakdown.lines if line.figure == "equity"]
    assert values == [30 * D("0.98"), 2 * (D(110) - 100) * D("0.98")]
    assert breakdown.policy_digest == POLICY.digest
