"""Positions of an account as candidates for auto-deleveraging."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from engine.liquidation.adl import AdlCandidate
from engine.liquidation.adl_holders import adl_candidates
from engine.policy.rules.deleveraging_rules import DeleveragingRules
from tests.support.builders import account, prices, sample

D = Decimal
AT = prices({"USDT-USD": "0.9", "BTC-USD": 30_000, "BTC-PERP": 100, "ETH-PERP": 10})
POLICY = sample()


def test_candidates_when_in_the_shared_pool_then_backed_by_its_equity_without_their_own_profit():
    state = account({"USDT": 1_000}, {"BTC-PERP": (-10, 120), "ETH-PERP": (5, 12)})
    # shorts gain 10 * 20 USDT at 0.9; the pool is worth (1000 + 200 - 10) * 0.9
    assert adl_candidates(state, "BTC-PERP", "short", AT, POLICY) == [
        AdlCandidate("alice", D(-10), D(180), D(900), 1_190 * D("0.9") - 180, D(-1_200), "BTC-PERP")
    ]


def test_candidates_when_isolated_then_backed_by_their_own_margin_alone():
    state = account({"USDT": 1_000}, isolated={"BTC-PERP": (4, 90, 50)})
    assert adl_candidates(state, "BTC-PERP", "long", AT, POLICY) == [
        AdlCandidate(
            "alice", D(4), 40 * D("0.9"), 400 * D("0.9"), 50 * D("0.9"), D(360), "BTC-PERP", isolated=True
        )
    ]


def test_candidates_when_the_account_holds_the_other_side_or_another_contract_then_none():
    state = account({"USDT": 1_000}, {"BTC-PERP": (10, 100)})
    assert adl_candidates(state, "BTC-PERP", "short", AT, POLICY) == []
    assert adl_candidates(state, "ETH-PERP", "long", AT, POLICY) == []


HEDGED = replace(POLICY, deleveraging=DeleveragingRules(neutral_last=True))


@pytest.mark.parametrize(
    ("coins", "neutral"),
    [
        # net 0.027 * 30,000 - 900 = -90, at most a tenth of 810 + 900 = 1,710
        ("0.027", True),
        # net 0.02 * 30,000 - 900 = -300, of 600 + 900 = 1,500
        ("0.02", False),
        # net 0.04 * 30,000 - 900 = 300, of 1,200 + 900 = 2,100
        ("0.04", False),
    ],
)
def test_candidates_when_the_policy_cuts_hedged_accounts_last_then_told_by_net_of_gross_delta(coins, neutral):
    state = account({"USDT": 1_000, "BTC": coins}, {"BTC-PERP": (-10, 120)})
    (candidate,) = adl_candidates(state, "BTC-PERP", "short", AT, HEDGED)
    assert candidate.neutral is neutral


def test_candidates_when_the_other_leg_is_isolated_then_hedged_as_well():
    # long 9 isolated against short 10: net 1 * 100 of gross 19 * 100, at 0.9
    state = account({"USDT": 1_000}, {"BTC-PERP": (-10, 120)}, isolated={"BTC-PERP": (9, 90, 50)})
    assert [it.neutral for it in adl_candidates(state, "BTC-PERP", "short", AT, HEDGED)] == [True]
    assert [it.neutral for it in adl_candidates(state, "BTC-PERP", "short", AT, POLICY)] == [False]
