from decimal import Decimal

import pytest

from engine.events.effects import AccountRisk, EventType
from engine.events.judgement import judge
from engine.ladder import Band
from engine.margin.isolated_pool import isolated_figures, judged_isolated, open_isolated
from tests.support.builders import account, prices, sample

D = Decimal
POLICY = sample()


def test_isolated_when_judged_then_its_own_margin_stands_against_its_own_requirement():
    state = account({"USDT": 1_000_000}, isolated={"BTC-PERP": (2, 100, 30)}, leverage={"BTC-PERP": 5})
    figures = isolated_figures(state, "BTC-PERP", prices({"USDT-USD": "0.98", "BTC-PERP": 95}), POLICY)
    assert figures.equity == (D(30) + 2 * (95 - 100)) * D("0.98")
    assert figures.collateral_value == figures.equity  # its margin is the settle asset: no haircut
    assert figures.maintenance_margin == D("0.05") * 2 * 95 * D("0.98")
    assert figures.initial_margin == D(2) * 95 / 5 * D("0.98")
    assert not figures.degraded


def test_isolated_when_the_settle_asset_has_a_haircut_then_the_ring_fenced_margin_has_none():
    policy = sample(('index = "USDT-USD"', 'index = "USDT-USD"\ntiers = [{ floor = 0, ratio = 0.5 }]'))
    state = account(isolated={"BTC-PERP": (1, 100, 30)})
    figures = isolated_figures(state, "BTC-PERP", prices({"USDT-USD": 1, "BTC-PERP": 100}), policy)
    assert figures.collateral_value == D(30)


def test_isolated_when_there_is_none_then_a_key_error():
    with pytest.raises(KeyError):
        isolated_figures(account(), "BTC-PERP", prices({}), POLICY)


def test_open_isolated_when_only_margin_is_left_then_it_is_not_open():
    state = account(isolated={"BTC-PERP": (0, 0, 5), "ETH-PERP": (1, 10, 0)})
    assert open_isolated(state) == ["ETH-PERP"]


def test_isolated_when_closed_below_its_margin_then_the_debt_is_judged_bankrupt_until_it_is_settled():
    state = account(isolated={"BTC-PERP": (0, 0, -45)})
    quotes = prices({"USDT-USD": "0.98"})
    assert judged_isolated(state) == ["BTC-PERP"]
    figures = isolated_figures(state, "BTC-PERP", quotes, POLICY)
    assert (figures.equity, figures.maintenance_margin) == (D(-45) * D("0.98"), 0)
    judgement = judge(state, AccountRisk(state.account), quotes, 0, POLICY)
    assert judgement.risk.pools["BTC-PERP"].band is Band.BANKRUPT
    assert EventType.ACCOUNT_BANKRUPT in [event.type for event in judgement.events]
