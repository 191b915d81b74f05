"""Positions of an account as candidates for auto-deleveraging."""

from decimal import Decimal

from engine.liquidation.adl import AdlCandidate
from engine.liquidation.holders import adl_candidates
from tests.support.builders import account, prices, sample

D = Decimal
AT = prices({"USDT-USD": "0.9", "BTC-USD": 30_000, "BTC-PERP": 100, "ETH-PERP": 10})
POLICY = sample()


def test_candidates_when_in_the_shared_pool_then_backed_by_its_equity_without_their_own_profit():
    state = account({"USDT": 1_000}, {"BTC-PERP": (-10, 120), "ETH-PERP": (5, 12)})
    # shorts gain 10 * 20 USDT at 0.9; the pool is worth (1000 + 200 - 10) * 0.9
    assert adl_candidates(state, "BTC-PERP", "short", AT, POLICY) == [
        AdlCandidate("alice", D(-10), D(180), D(900), 1_190 * D("0.9") - 180, "BTC-PERP", isolated=False)
    ]


def test_candidates_when_isolated_then_backed_by_their_own_margin_alone():
    state = account({"USDT": 1_000}, isolated={"BTC-PERP": (4, 90, 50)})
    assert adl_candidates(state, "BTC-PERP", "long", AT, POLICY) == [
        AdlCandidate("alice", D(4), 40 * D("0.9"), 400 * D("0.9"), 50 * D("0.9"), "BTC-PERP", isolated=True)
    ]


def test_candidates_when_the_account_holds_the_other_side_or_another_contract_then_none():
    state = account({"USDT": 1_000}, {"BTC-PERP": (10, 100)})
    assert adl_candidates(state, "BTC-PERP", "short", AT, POLICY) == []
    assert adl_candidates(state, "ETH-PERP", "long", AT, POLICY) == []
