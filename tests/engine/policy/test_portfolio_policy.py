"""Rules of portfolio margin as policy data: strict reading, and what is refused."""

import tomllib
from decimal import Decimal

import msgspec
import pytest

from engine.policy.rules.portfolio_rules import PortfolioRules, faults

GOOD = """
initial_factor = 1.3

[units.default]
shock_on = "index"
grid = { prices = [-0.12, 0.0, 0.12] }
scenarios = [{ price = -0.24, weight = 0.5, volatility = "up" }]
basis = { move_min = 0.002, annualised_move = 0.05 }
minimum = { delta_one_rate = 0.0045, tiers = [{ floor = 0, multiplier = 1 }, { floor = 10000, multiplier = 2 }] }
settle_hedges = [{ first = "USDT", second = "USDC", rate = 0.0025, tiers = [{ floor = 0, multiplier = 3 }, { floor = 1000000, multiplier = 7 }] }]

[units.LTC]
grid = { prices = [-0.18, 0.0, 0.18] }

[[correlations]]
first = "BTC"
second = "LTC"
rate = 0.5
cap = 0.5
"""


def read(text):
    return msgspec.convert(tomllib.loads(text, parse_float=Decimal), PortfolioRules)


def test_rules_when_read_from_toml_then_without_fault_and_by_underlying():
    rules = read(GOOD)
    assert list(faults(rules)) == []
    assert rules.unit("BTC") is rules.units["default"]
    assert rules.unit("LTC").grid.prices[0] == Decimal("-0.18")
    # 3 prices * 3 volatilities, row by row, then the tail
    moves = [(one.price, one.volatility, one.group) for one in rules.unit("BTC").all_scenarios]
    assert moves[0] == (Decimal("-0.12"), "up", "grid")
    assert moves[1][1] == "none"
    assert (len(moves), moves[-1]) == (10, (Decimal("-0.24"), "up", "tail"))


def test_rules_when_a_key_is_unknown_then_refused():
    with pytest.raises(msgspec.ValidationError, match="shock_of"):
        read(GOOD.replace("shock_on", "shock_of"))


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("price = -0.24", "price = -1.0", "units.default.scenarios"),
        ("weight = 0.5", "weight = -0.5", "units.default.scenarios"),
        ('volatility = "up"', 'skew = "linear"', "units.default.skew"),
        ("{ floor = 0, multiplier = 1 }", "{ floor = 5, multiplier = 1 }", "units.default.minimum.tiers"),
        ("floor = 1000000", "floor = 0", "units.default.settle_hedges.0.tiers"),
        ("cap = 0.5", "cap = 1.5", "correlations.0"),
        ('second = "LTC"', 'second = "BTC"', "correlations.0"),
        ("prices = [-0.18, 0.0, 0.18]", "prices = [-0.18, 0.18]", "correlations.0"),
        ("initial_factor = 1.3", "initial_factor = 0.0", "initial_factor"),
        ("initial_factor = 1.3", "initial_factor = 0.9", "initial_factor"),
        (
            "basis = { move_min = 0.002, annualised_move = 0.05 }",
            "delta_one = { rate = { maintenance = 0.02, initial = 0.01 } }",
            "units.default.delta_one.rate",
        ),
        ("move_min = 0.002", "move_min = inf", "units.default.basis.move_min"),
    ],
)
def test_faults_when_a_rule_is_broken_then_its_key(before, after, key):
    assert before in GOOD
    assert [found for found, _ in faults(read(GOOD.replace(before, after)))] == [key]


def test_faults_when_a_pair_has_no_rules_then_its_key():
    assert [key for key, _ in faults(read(GOOD.replace("units.default", "units.ETH")))] == ["correlations.0"]


def test_faults_when_a_table_by_term_does_not_begin_at_zero_then_its_key():
    steps = "volatility = { steps = [{ days_floor = 1, up = 0.5, down = 0.3 }] }\n"
    assert [key for key, _ in faults(read(GOOD.replace("[units.LTC]\n", f"[units.LTC]\n{steps}")))] == [
        "units.LTC.volatility.steps"
    ]
