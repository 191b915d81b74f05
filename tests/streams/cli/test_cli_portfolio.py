"""`unimargin simulate-portfolio`: with prices of its own, and with those in Redis."""

from pathlib import Path

import pytest

from tests.support.builders import sample_text
from tests.support.cli import NOWHERE, unimargin
from tests.support.cli_state import leave_state, marks_now

OWN = """
[balances]
USD = 250
[positions.USD-PERP]
quantity = 10
[prices]
USD-PERP = 100
"""
PORTFOLIO = """
[portfolio.units.default]
grid.prices = [-0.1, 0, 0.1]
basis = { move_min = 0.01, netting = "each" }
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(sample_text() + PORTFOLIO)
    return path


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "portfolio.toml"
    path.write_text(text)
    return str(path)


def test_portfolio_when_it_has_all_prices_then_judged_without_any_server(tmp_path, rules):
    asked = ("simulate-portfolio", written(tmp_path, OWN), "--policy", str(rules))
    away = {"UNIMARGIN_REDIS_URL": f"redis://{NOWHERE}/0"}
    shown = unimargin(*asked, "--explain", "--json", env=away).json
    models = {it["model"]: it["maintenance_margin"] for it in shown["figures"]["models"]}
    # 5 % of 1,000; 10 % + 1 %
    assert models == {"segregated": "50", "cross": "50", "portfolio": "110"}
    (unit,) = shown["matrix"]["units"]
    assert [it["profit"] for it in unit["scenarios"]] == [
        "-100",
        "-100",
        "-100",
        "0",
        "0",
        "0",
        "100",
        "100",
        "100",
    ]
    # 250 + 1,000 (f - 1) = 50 f
    assert shown["market_moves"]["liquidation"]["down"] == "-0.210527"
    assert (shown["prices"], shown["missing_prices"]) == ({"USD-PERP": "file"}, [])
    assert sum(float(it["value"]) for it in shown["lines"] if it["figure"] == "maintenance_margin") == 50
    text = unimargin(*asked, "--explain", env=away).out
    for words in (
        "cross (in force)",
        "price -0.1, any volatility",
        "margin of the net risk",
        "How the figures come about",
    ):
        assert words in text


@pytest.mark.system
def test_portfolio_when_a_price_is_left_open_then_that_of_the_workers(tmp_path, rules, redis_env):
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, marks=marks_now({"USD-PERP": 120, "BTC-USD": 100}))
    text = OWN.replace("[prices]\nUSD-PERP = 100\n", "")
    shown = unimargin(
        "simulate-portfolio", written(tmp_path, text), "--policy", str(rules), "--json", env=redis_env
    ).json
    # 10 * 120
    assert (shown["concentration"]["net"], shown["prices"]) == ("1200", {"USD-PERP": "saved"})


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[balances]\nDOGE = 1", "balances.DOGE is not an asset of policy 'sample'"),
        ("[balances", "not valid TOML"),
    ],
)
def test_portfolio_when_it_cannot_be_meant_then_one_line(tmp_path, rules, text, hint):
    said = unimargin("simulate-portfolio", written(tmp_path, text), "--policy", str(rules))
    assert (said.code, hint in said.err) == (2, True)


def test_portfolio_when_the_file_or_redis_is_away_then_said(tmp_path, rules):
    missing = unimargin("simulate-portfolio", str(tmp_path / "none.toml"), "--policy", str(rules))
    assert (missing.code, "No such file" in missing.err) == (2, True)
    open_price = written(tmp_path, OWN.replace("[prices]\nUSD-PERP = 100\n", ""))
    away = unimargin(
        "simulate-portfolio",
        open_price,
        "--policy",
        str(rules),
        env={"UNIMARGIN_REDIS_URL": f"redis://{NOWHERE}/0"},
    )
    assert (away.code, "Is the server running" in away.err) == (1, True)
