from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from engine.liquidation.adl import AdlCandidate
from tests.conformance.rules.profit_forgone import money_cover

D = Decimal


def short(account, pnl, equity):
    return AdlCandidate(account, D(-1), D(pnl), D(1000), D(equity), D(0))


def test_cover_when_the_fund_suffices_then_no_winner_pays():
    cover = money_cover(D(480), D(900), [short("w", 700, 100)])
    assert (cover.from_fund, cover.fund_after, cover.cuts, cover.uncovered) == (480, 900 - 480, (), 0)


def test_cover_when_the_fund_runs_out_then_winners_pay_in_order_and_keep_the_rest():
    cover = money_cover(D(480), D(80), [short("a", 250, 10), short("b", 700, 20), short("c", 50, 30)])
    a, b = cover.cuts
    assert cover.fund_after == 0
    assert (a.account, a.forgone, a.equity_after) == ("a", 250, 10 + 250 - 250)
    # 480 - 80 - 250 = 150 is left; b keeps 550 of its 700
    assert (b.account, b.forgone, b.equity_after) == ("b", 150, 20 + 700 - 150)
    assert cover.uncovered == 0


def test_cover_when_nobody_can_pay_then_the_rest_is_told():
    cover = money_cover(D(480), D(80), [short("a", 250, 10)])
    assert cover.uncovered == 480 - 80 - 250


@given(
    deficit=st.integers(0, 1000),
    fund=st.integers(0, 1000),
    profits=st.lists(st.integers(1, 500), max_size=5),
)
def test_cover_when_any_deficit_is_spread_then_no_money_is_made_or_lost(deficit, fund, profits):
    winners = [short(str(place), profit, 10) for place, profit in enumerate(profits)]
    cover = money_cover(D(deficit), D(fund), winners)
    forgone = sum(cut.forgone for cut in cover.cuts)
    assert cover.from_fund + forgone + cover.uncovered == deficit
    assert cover.from_fund + cover.fund_after == fund
    assert all(
        0 < cut.forgone <= winner.unrealised_pnl for cut, winner in zip(cover.cuts, winners, strict=False)
    )
    assert not cover.uncovered or len(cover.cuts) == len(winners)
