"""`unimargin account show` of accounts with legs, options, open orders, debts and portfolio margin; a real Redis."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from engine.inputs import Mark
from engine.ledger.accounts import FLAT, AccountState, IsolatedPosition
from engine.policy import Policy, parse
from tests.support.builders import Number, account
from tests.support.cli import unimargin
from tests.support.cli_state import leave_state, marks_now
from tests.support.wide import holding, order, wide_text

pytestmark = pytest.mark.system

D = Decimal
_replace = msgspec.structs.replace

DESK = (
    wide_text().replace("2026-12-25", "2099-12-25")
    + """
[ratio]
direction = "maintenance_over_collateral"
digits = 4
rounding = "down"

[portfolio]
initial_factor = 1.3

[portfolio.units.default]
grid.prices = [-0.1, 0, 0.1]
basis = { move_min = 0.01, netting = "each" }
"""
)
QUOTES = {
    "USDT-USD": 1,
    "BTC-USD": 64_000,
    "BTC-PERP": 100,
    "BTC-DEC": 100,
    "ETH-PERP": 50,
    "BTC-50000-C": 15_000,
    "BTC-COIN-C": "0.2",
    "BTC-40000-P": 100,
}
FIGURES = ("equity", "collateral_value", "initial_margin", "maintenance_margin", "liquidation_fee")


@pytest.fixture(scope="session")
def desk_policy() -> Policy:
    return parse(DESK)


@pytest.fixture
def desk_env(redis_url_db: str, tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "desk.toml"
    path.write_text(DESK)
    return {"UNIMARGIN_REDIS_URL": redis_url_db, "UNIMARGIN_POLICY_FILE": str(path)}


def leave(env: Mapping[str, str], state: AccountState, **facts: Mapping[str, Number]) -> None:
    """The account, and marks as of now; `facts` by the name of the fact, then by symbol."""

    def told(mark: Mark) -> Mark:
        own = {fact: D(of[mark.symbol]) for fact, of in facts.items() if mark.symbol in of}
        return _replace(mark, **own)

    leave_state(env["UNIMARGIN_REDIS_URL"], 0, [state], marks=[told(mark) for mark in marks_now(QUOTES)])


def test_show_when_in_hedge_mode_then_legs_and_the_price_that_liquidates_the_pool(
    desk_env: dict[str, str], desk_policy: Policy
) -> None:
    state = holding(desk_policy, {"USD": 335}, {"BTC-PERP|long": (10, 100), "BTC-PERP|short": (-4, 100)})
    leave(desk_env, state)
    shown = unimargin("account", "show", "alice", "--json", env=desk_env).json
    assert [(it["symbol"], it["leg"], it["key"], it["kind"]) for it in shown["positions"]] == [
        ("BTC-PERP", "long", "BTC-PERP|long", "perpetual"),
        ("BTC-PERP", "short", "BTC-PERP|short", "perpetual"),
    ]
    # 335 + (10 - 4) * (p - 100) = 0.05 * (10 + 4) * p   =>   p = 265 / 5.3
    assert [it["liquidation_price"] for it in shown["positions"]] == ["50", "50"]
    # 335 + (10 - 4) * (p - 100) = 0   =>   p = 265 / 6
    assert {it["bankruptcy_price"][:10] for it in shown["positions"]} == {"44.1666666"}
    # 0.05 * 1400 / 335 = 0.20895..., rounded down to 4 digits
    assert shown["pools"][0]["shown_ratio"] == "0.2089"
    # 1400 / 10 / 335 = 0.41791...
    assert shown["pools"][0]["shown_initial_ratio"] == "0.4179"
    text = unimargin("account", "show", "alice", env=desk_env).out
    for words in (
        "long",
        "short",
        "as shown (MM / collateral)",
        "0.2089",
        "0.4179",
        "44.166667",
        "cross margin",
    ):
        assert words in text


def test_show_when_losers_can_pay_a_part_of_a_profit_then_what_is_not_counted_is_told(
    redis_env: dict[str, str],
) -> None:
    policy = Path(redis_env["UNIMARGIN_POLICY_FILE"])
    policy.write_text(policy.read_text() + "[margin.default]\nrealisable_profit = true\n")
    state = account({"USD": 1000}, {"USD-PERP": (2, 90)})
    quoted = [
        _replace(it, realisable_share=D("0.4")) if it.symbol == "USD-PERP" else it
        for it in marks_now({"USD-PERP": 100, "BTC-USD": 100})
    ]
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [state], marks=quoted)
    shown = unimargin("account", "show", "alice", "--json", env=redis_env).json
    (held,) = shown["positions"]
    assert (held["unrealised_pnl"], held["uncounted_profit"]) == ("20", "12")
    assert (shown["pools"][0]["equity"], shown["pools"][0]["collateral_value"]) == ("1020", "1008")
    text = unimargin("account", "show", "alice", env=redis_env).out
    for words in ("not counted", "12", "realisable share", "0.4"):
        assert words in text, text


def test_show_when_no_price_liquidates_then_none(desk_env: dict[str, str], desk_policy: Policy) -> None:
    # 1000 + 1 * (p - 100) = 0.05 * p has no solution p > 0
    leave(desk_env, holding(desk_policy, {"USD": 1000}, {"BTC-PERP": (1, 100)}))
    (held,) = unimargin("account", "show", "alice", "--json", env=desk_env).json["positions"]
    assert held["liquidation_price"] is None
    assert " none " in unimargin("account", "show", "alice", env=desk_env).out


def test_show_when_the_contract_has_a_tick_then_the_price_is_on_it(redis_env: dict[str, str]) -> None:
    policy = Path(redis_env["UNIMARGIN_POLICY_FILE"])
    policy.write_text(policy.read_text() + "price_step = 0.5\n\n[margin.default]\ntaker_fee_rate = 0.001\n")
    # the last instrument of the sample is USD-PERP: 12000 + 2 * (p - 60000) = 0.05 * 2 * p   =>   p = 56842.1...
    state = account(isolated={"USD-PERP": (2, 60_000, 12_000)})
    leave_state(
        redis_env["UNIMARGIN_REDIS_URL"], 0, [state], marks=marks_now({"USD-PERP": 60_000, "BTC-USD": 60_000})
    )
    (held,) = unimargin("account", "show", "alice", "--json", env=redis_env).json["positions"]
    # up for a long: never later than the exact price
    assert (held["mode"], held["liquidation_price"]) == ("isolated", "56842.5")
    # 12000 + 2 * (p - 60000) = 0.001 * 2 * p   =>   p = 54054.05...
    assert held["bankruptcy_price"] == "54054.5"


def test_show_when_options_are_held_then_greeks_of_the_whole_position(
    desk_env: dict[str, str], desk_policy: Policy
) -> None:
    held = {"BTC-50000-C": (-2, 14_000), "BTC-COIN-C": (1, "0.3"), "BTC-40000-P": (1, 500)}
    leave(
        desk_env,
        holding(desk_policy, {"USDT": 500_000, "BTC": 1}, held),
        volatility={"BTC-50000-C": "0.5", "BTC-COIN-C": "0.5"},
    )
    views = unimargin("account", "show", "alice", "--json", env=desk_env).json["positions"]
    by_key = {it["key"]: it for it in views}
    calls, coin_call = by_key["BTC-50000-C"]["greeks"], by_key["BTC-COIN-C"]["greeks"]
    assert 0 < D(coin_call["delta"]) < 1
    # the same strike, expiry and volatility: two sold are minus two times one bought
    for greek in ("delta", "gamma", "vega_per_point", "theta"):
        assert D(calls[greek]) == -2 * D(coin_call[greek])
    assert by_key["BTC-40000-P"]["greeks"] is None
    assert {it["kind"] for it in views} == {"option"}
    # only those sold can ruin the account, at a price of their own with the underlying held
    assert {key for key, it in by_key.items() if it["liquidation_price"] is not None} == {"BTC-50000-C"}
    text = unimargin("account", "show", "alice", env=desk_env).out
    assert "50 %" in text
    assert "unknown" in text


def test_show_when_orders_rest_then_each_with_side_and_what_it_may_do(
    desk_env: dict[str, str], desk_policy: Policy
) -> None:
    orders = {
        "o-2": order("ETH-PERP", -3, "51.5", isolated=True),
        "o-1": order("BTC-PERP", 2, 99, leg="short", reduce_only=True),
        "\x1b[31m": order("BTC-USDT", "0.5", 98),
    }
    leave(desk_env, holding(desk_policy, {"USD": 1000}, orders=orders))
    shown = unimargin("account", "show", "alice", "--json", env=desk_env).json["orders"]
    assert [tuple(it.values()) for it in shown] == [
        tuple(it.values())
        for it in (
            {
                "order_id": "o-1",
                "symbol": "BTC-PERP",
                "leg": "short",
                "kind": "perpetual",
                "mode": "cross",
                "side": "buy",
                "quantity": "2",
                "price": "99",
                "reduce_only": True,
            },
            {
                "order_id": "\x1b[31m",
                "symbol": "BTC-USDT",
                "leg": None,
                "kind": "spot",
                "mode": "cross",
                "side": "buy",
                "quantity": "0.5",
                "price": "98",
                "reduce_only": False,
            },
            {
                "order_id": "o-2",
                "symbol": "ETH-PERP",
                "leg": None,
                "kind": "perpetual",
                "mode": "isolated",
                "side": "sell",
                "quantity": "3",
                "price": "51.5",
                "reduce_only": False,
            },
        )
    ]
    text = unimargin("account", "show", "alice", env=desk_env).out
    assert "reduce only" in text
    assert "\x1b" not in text


def test_show_when_under_portfolio_margin_then_worst_scenario_and_contingencies_sum_to_it(
    desk_env: dict[str, str], desk_policy: Policy
) -> None:
    state = holding(
        desk_policy,
        {"USD": 1000},
        {"BTC-PERP": (10, 100), "BTC-DEC": (-4, 100)},
        {"ETH-PERP": (2, 60, 30)},
        margin_model="portfolio",
        orders={"o-1": order("BTC-PERP", 1, 100)},
    )
    leave(desk_env, state)
    shown = unimargin("account", "show", "alice", "--explain", "--json", env=desk_env).json
    pool, isolated = shown["pools"]
    assert (shown["margin_model"], pool["model"], isolated["model"]) == (
        "portfolio",
        "portfolio",
        "isolated",
    )
    # worst: (10 - 4) * 100 * -10 %; basis by expiry: 0.01 * (1000 + 400)
    assert D(pool["maintenance_margin"]) == 60 + 14
    # 1.3 * (MM), and with the order filled 11 contracts: 70 + 15 instead
    assert D(pool["initial_margin"]) == D("1.3") * (70 + 15)
    assert pool["shown_ratio"] == "0.074"
    by_item = {it["item"]: it for it in pool["lines"] if it["figure"] == "maintenance_margin"}
    assert "price -0.1" in by_item["BTC price_risk"]["formula"]
    assert (by_item["BTC price_risk"]["value"], by_item["BTC basis"]["value"]) == ("60", "14")
    for it in shown["pools"]:
        for figure in FIGURES:
            assert sum(D(line["value"]) for line in it["lines"] if line["figure"] == figure) == D(it[figure])
    text = unimargin("account", "show", "alice", "--explain", env=desk_env).out
    for words in (f"policy {desk_policy.digest}", "portfolio pool", "BTC price_risk", "= maintenance margin"):
        assert words in text


def test_show_when_an_isolated_position_left_a_debt_then_a_pool_whose_lines_sum(
    desk_env: dict[str, str],
) -> None:
    state = AccountState(
        "alice", {"USD": D(5)}, isolated={"ETH-PERP": IsolatedPosition(FLAT, D(-7))}, collateral_off=("USD",)
    )
    leave(desk_env, state)
    shown = unimargin("account", "show", "alice", "--explain", "--json", env=desk_env).json
    _, debt = shown["pools"]
    assert (debt["position"], debt["band_at_figures"], debt["equity"]) == ("ETH-PERP", "bankrupt", "-7")
    assert [(it["figure"], it["value"]) for it in debt["lines"]] == [
        ("equity", "-7"),
        ("collateral_value", "-7"),
    ]
    assert shown["collateral_off"] == ["USD"]
    assert "not pledged" in unimargin("account", "show", "alice", env=desk_env).out


def test_show_when_an_option_has_no_volatility_under_portfolio_margin_then_degraded_and_said(
    desk_env: dict[str, str], desk_policy: Policy
) -> None:
    state = holding(desk_policy, {"USDT": 100}, {"BTC-40000-P": (1, 500)}, margin_model="portfolio")
    leave(desk_env, state)
    (pool,) = unimargin("account", "show", "alice", "--json", env=desk_env).json["pools"]
    assert pool["degraded_reasons"] == ["BTC-40000-P: no volatility"]


def test_show_when_nothing_covers_the_requirement_then_the_shown_ratio_is_infinite(
    desk_env: dict[str, str], desk_policy: Policy
) -> None:
    leave(desk_env, holding(desk_policy, {"USD": -5}, {"BTC-PERP": (1, 100)}))
    shown = unimargin("account", "show", "alice", "--json", env=desk_env).json
    assert shown["pools"][0]["shown_ratio"] == "Infinity"
    text = unimargin("account", "show", "alice", env=desk_env).out
    assert "∞" in text
    assert "where it would come back" in text
