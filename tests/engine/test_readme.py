"""The account that the engine's README works out by hand is what the engine computes."""

import re
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from engine.analytics.capital import capital_by_model
from engine.ladder import Band, band_at
from engine.margin.cross.cross_pool import cross_figures, cross_pool
from engine.margin.margin_model import shared_figures
from engine.margin.portfolio.portfolio_pool import portfolio_pool
from engine.numbers import exact
from tests.support.builders import account, prices
from tests.support.unit_margins import charge, worst_loss

README = (Path(__file__).parents[2] / "engine" / "README.md").read_text()
TABLE = {
    name: Decimal(value)
    for name, value in re.findall(r"^\| ([^|]+?) \|[^|\n]+\| (-?[\d.]+) \|$", README, flags=re.MULTILINE)
}
STATE = account(
    {"USDT": 20_000, "BTC": "0.25"}, {"BTC-USDT-PERP": (8, 64_000)}, leverage={"BTC-USDT-PERP": 50}
)
HEDGED = account({"USDT": 5_000, "BTC": 2}, {"BTC-USDT-PERP": (-2, 61_000)}, leverage={"BTC-USDT-PERP": 10})
AT = prices({"USDT-USD": "0.999", "BTC-USD": 60_000, "BTC-USDT-PERP": 60_000})


@pytest.fixture(scope="module")
def computed(default_policy):
    figures = cross_figures(STATE, AT, default_policy)
    with exact():
        pool = cross_pool(STATE, AT, default_policy)
        (held,) = pool.positions
        return {
            "notional": held.notional,
            "uPnL": held.unrealised_pnl,
            "E_USDT": next(it.amount for it in pool.assets if it.asset == "USDT"),
            "E": figures.equity,
            "C": figures.collateral_value,
            "deduction": held.deduction,
            "MM": figures.maintenance_margin,
            "IM": figures.initial_margin,
            "ratio": figures.ratio,
            "available margin": figures.available_margin,
            "shortfall to call": figures.shortfall(default_policy.ladder.margin_call),
        }


@pytest.fixture(scope="module")
def computed_net(default_policy):
    net = msgspec.structs.replace(HEDGED, margin_model="portfolio")
    figures = shared_figures(net, AT, default_policy)
    with exact():
        unit = portfolio_pool(net, AT, default_policy).margin.units["BTC"]
    capital = {it.model: it for it in capital_by_model(net, AT, default_policy)}
    return {
        "B: E": figures.equity,
        "B: C": figures.collateral_value,
        "B: worst loss": worst_loss(unit),
        "B: basis": charge(unit, "basis").maintenance,
        "B: MM": figures.maintenance_margin,
        "B: IM": figures.initial_margin,
        "B: MM in cross margin": shared_figures(HEDGED, AT, default_policy).maintenance_margin,
        "B: capital segregated": capital["segregated"].capital,
        "B: capital freed by portfolio margin": capital["portfolio"].freed,
    }


def test_readme_when_its_accounts_are_recomputed_then_every_value_of_the_tables_stands(
    computed, computed_net
):
    assert computed | computed_net == TABLE


def test_readme_when_it_names_the_band_then_that_is_the_band(default_policy):
    assert "`margin_call`" in README
    assert band_at(cross_figures(STATE, AT, default_policy), default_policy.ladder) is Band.MARGIN_CALL


@pytest.mark.parametrize("name", re.findall(r"`((?:\w+/)*\w+\.py)`", README))
def test_readme_when_it_points_at_a_file_then_the_file_is_there(name):
    root = Path(__file__).parents[2]
    assert (root / "engine" / name).is_file() or (root / name).is_file()
