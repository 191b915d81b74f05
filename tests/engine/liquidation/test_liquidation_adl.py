from decimal import Decimal

import pytest

from engine.liquidation.adl import AdlCandidate, ranked
from engine.policy.rules.policy_switches import AdlRanking

D = Decimal


def short(account, pnl, equity, notional=1000, quantity=-1):
    return AdlCandidate(account, D(quantity), D(pnl), D(notional), D(equity), D(0))


def names(candidates):
    return [candidate.account for candidate in candidates]


@pytest.mark.parametrize(
    ("ranking", "order"),
    [
        (AdlRanking.PNL_RATIO, ["small", "large", "wide"]),  # 40 / 10 = 4, 210 / 100 = 2.1, 70 / 1,000
        (
            AdlRanking.LEVERAGE_WEIGHTED,
            ["large", "small", "wide"],
        ),  # 40 * 25 / 10 = 100, 210 * 150 / 100 = 315, 70 * 0.4
        (AdlRanking.POSITION_SIZE, ["wide", "large", "small"]),  # 1, 4, 12 contracts
    ],
)
def test_ranking_when_the_strategy_changes_then_so_does_who_is_closed_first(ranking, order):
    candidates = [
        short("small", 40, 10, notional=25, quantity=-1),
        short("large", 210, 100, notional=150, quantity=-4),
        short("wide", 70, 1000, notional=400, quantity=-12),
    ]
    assert names(ranked(candidates, ranking)) == order


def test_ranking_when_a_position_is_not_in_profit_then_it_is_never_closed():
    assert names(
        ranked([short("flat", 0, 10), short("loser", -1, 10), short("winner", 1, 10)], AdlRanking.PNL_RATIO)
    ) == ["winner"]


def test_ranking_when_scores_tie_then_candidates_keep_their_order():
    # 10 / 30 and 20 / 60 are equal only as fractions
    assert names(ranked([short("b", 10, 30), short("a", 20, 60)], AdlRanking.PNL_RATIO)) == ["b", "a"]


@pytest.mark.parametrize("ranking", [AdlRanking.PNL_RATIO, AdlRanking.LEVERAGE_WEIGHTED])
def test_ranking_when_a_winner_has_no_equity_of_its_own_then_it_is_first_by_profit(ranking):
    candidates = [short("backed", 999, 1), short("owing", 5, -10), short("bare", 6, 0)]
    assert names(ranked(candidates, ranking)) == ["bare", "owing", "backed"]
