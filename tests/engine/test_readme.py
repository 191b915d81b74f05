"""The account that the engine's README works out by hand is what the engine computes."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from engine.ladder import Band, band_at
from engine.margin.cross import asset_equity, cross_figures, cross_positions
from engine.numbers import exact
from tests.support.builders import account, prices

README = (Path(__file__).parents[2] / "engine" / "README.md").read_text()
TABLE = {
    name: Decimal(value)
    for name, value in re.findall(r"^\| ([^|]+?) \|[^|\n]+\| (-?[\d.]+) \|$", README, flags=re.MULTILINE)
}
STATE = account(
    {"USDT": 20_000, "BTC": "0.25"}, {"BTC-USDT-PERP": (8, 64_000)}, leverage={"BTC-USDT-PERP": 50}
)
AT = prices({"USDT-USD": "0.999", "BTC-USD": 60_000, "BTC-USDT-PERP": 60_000})


@pytest.fixture(scope="module")
def computed(default_policy):
    figures = cross_figures(STATE, AT, default_policy)
    with exact():
        (held,), _ = cross_positions(STATE, AT, default_policy)
        return {
            "notional": held.notional,
            "uPnL": held.unrealised_pnl,
            "E_USDT": asset_equity(STATE, [held])["USDT"],
            "E": figures.equity,
            "C": figures.collateral_value,
            "deduction": held.deduction,
            "MM": figures.maintenance_margin,
            "IM": figures.initial_margin,
            "ratio": figures.ratio,
            "available margin": figures.available_margin,
            "shortfall to call": figures.shortfall(default_policy.ladder.margin_call),
        }


def test_readme_when_its_account_is_recomputed_then_every_value_of_the_table_stands(computed):
    assert computed == TABLE


def test_readme_when_it_names_the_band_then_that_is_the_band(default_policy):
    assert "`margin_call`" in README
    assert band_at(cross_figures(STATE, AT, default_policy), default_policy.ladder) is Band.MARGIN_CALL


@pytest.mark.parametrize("name", re.findall(r"`(\w+(?:/\w+)?\.py)`", README))
def test_readme_when_it_points_at_a_file_then_the_file_is_there(name):
    assert (Path(__file__).parents[2] / "engine" / name).is_file()
