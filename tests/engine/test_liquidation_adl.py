from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.liquidation.adl import AdlCandidate, cover_deficit, ranked, total_deficit

D = Decimal


def short(account, pnl, equity, notional=1000, quantity=-1):
    return AdlCandidate(account, D(quantity), D(pnl), D(notional), D(equity))


def names(candidates):
    return [candidate.account for candidate in candidates]


def test_total_deficit_when_some_pools_end_above_zero_then_they_do_not_pay_for_the_others():
    assert total_deficit([D(-300), D(50), D(-20), D(0)]) == 300 + 20


@pytest.mark.parametrize(
    ("ranking", "order"),
    [
        ("pnl_ratio", ["small", "large", "wide"]),  # 40 / 10 = 4, 210 / 100 = 2.1, 70 / 1,000
        (
            "leverage_weighted",
            ["large", "small", "wide"],
        ),  # 40 * 25 / 10 = 100, 210 * 150 / 100 = 315, 70 * 0.4
        ("position_size", ["wide", "large", "small"]),  # 1, 4, 12 contracts
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
        ranked([short("flat", 0, 10), short("loser", -1, 10), short("winner", 1, 10)], "pnl_ratio")
    ) == ["winner"]


def test_ranking_when_scores_tie_then_candidates_keep_their_order():
    # 10 / 30 and 20 / 60 are equal only as fractions
    assert names(ranked([short("b", 10, 30), short("a", 20, 60)], "pnl_ratio")) == ["b", "a"]


@pytest.mark.parametrize("ranking", ["pnl_ratio", "leverage_weighted"])
def test_ranking_when_a_winner_has_no_equity_of_its_own_then_it_is_first_by_profit(ranking):
    candidates = [short("backed", 999, 1), short("owing", 5, -10), short("bare", 6, 0)]
    assert names(ranked(candidates, ranking)) == ["bare", "owing", "backed"]


def test_cover_when_the_fund_suffices_then_no_winner_pays():
    cover = cover_deficit(D(480), D(900), [short("w", 700, 100)])
    assert (cover.from_fund, cover.fund_after, cover.cuts, cover.uncovered) == (480, 900 - 480, (), 0)


def test_cover_when_the_fund_runs_out_then_winners_pay_in_order_and_keep_the_rest():
    cover = cover_deficit(D(480), D(80), [short("a", 250, 10), short("b", 700, 20), short("c", 50, 30)])
    a, b = cover.cuts
    assert cover.fund_after == 0
    assert (a.account, a.forgone, a.equity_after) == ("a", 250, 10 + 250 - 250)
    # 480 - 80 - 250 = 150 is left; b keeps 550 of its 700
    assert (b.account, b.forgone, b.equity_after) == ("b", 150, 20 + 700 - 150)
    assert cover.uncovered == 0


def test_cover_when_nobody_can_pay_then_the_rest_is_told():
    cover = cover_deficit(D(480), D(80), [short("a", 250, 10)])
    assert cover.uncovered == 480 - 80 - 250


@given(
    deficit=st.integers(0, 1000),
    fund=st.integers(0, 1000),
    profits=st.lists(st.integers(1, 500), max_size=5),
)
def test_cover_when_any_deficit_is_spread_then_no_money_is_made_or_lost(deficit, fund, profits):
    winners = [short(str(place), profit, 10) for place, profit in enumerate(profits)]
    cover = cover_deficit(D(deficit), D(fund), winners)
    forgone = sum(cut.forgone for cut in cover.cuts)
    assert cover.from_fund + forgone + cover.uncovered == deficit
    assert cover.from_fund + cover.fund_after == fund
    assert all(
        0 < cut.forgone <= winner.unrealised_pnl for cut, winner in zip(cover.cuts, winners, strict=False)
    )
    assert not cover.uncovered or len(cover.cuts) == len(winners)
