from decimal import Decimal
from itertools import pairwise

import pytest

from engine.ladder import SEVERITY, Band, LadderState, advance, band_at
from engine.margin.figures import Figures
from tests.support.builders import sample

D = Decimal
LADDER = sample().ladder
MM = D(100)
BIT = D("1E-18")


def pool(collateral, *, equity=None, maintenance=MM, degraded=False):
    """Figures of a pool whose equity is its collateral value unless said otherwise."""
    value = Decimal(collateral)
    return Figures(value if equity is None else Decimal(equity), value, D(0), Decimal(maintenance), degraded)


@pytest.mark.parametrize(
    ("line", "at", "below"),
    [
        (D("1.5"), Band.HEALTHY, Band.WARNING),
        (D("1.2"), Band.WARNING, Band.MARGIN_CALL),
        (D("1.05"), Band.MARGIN_CALL, Band.REDUCE_ONLY),
        (D("1.0"), Band.REDUCE_ONLY, Band.LIQUIDATION),
    ],
)
def test_line_when_met_exactly_then_the_better_band_and_just_below_the_worse(line, at, below):
    assert band_at(pool(line * MM), LADDER) is at
    assert band_at(pool(line * MM - BIT), LADDER) is below


@pytest.mark.parametrize(
    ("line", "at", "below"),
    [
        (D("1.52"), Band.HEALTHY, Band.WARNING),
        (D("1.22"), Band.WARNING, Band.MARGIN_CALL),
        (D("1.07"), Band.MARGIN_CALL, Band.REDUCE_ONLY),
        (D("1.02"), Band.REDUCE_ONLY, Band.LIQUIDATION),
    ],
)
def test_exit_line_when_met_exactly_then_the_band_is_left_and_just_below_it_is_not(line, at, below):
    assert band_at(pool(line * MM), LADDER, exiting=True) is at
    assert band_at(pool(line * MM - BIT), LADDER, exiting=True) is below


def test_line_when_the_ratio_rounds_up_to_it_then_the_multiplication_still_says_below():
    # 18 places cannot tell C = 3E20 * 1.2 - 1E-18 from the line, the product can
    figures = pool(D("359999999999999999999.999999999999999999"), maintenance=D("3E20"))
    assert figures.ratio == D("1.2")
    assert band_at(figures, LADDER) is Band.MARGIN_CALL


@pytest.mark.parametrize(
    ("figures", "band"),
    [
        (pool(0), Band.BANKRUPT),  # equity 0 with a requirement
        (pool(BIT), Band.LIQUIDATION),
        (pool(-1), Band.BANKRUPT),
        (pool(500, equity=0), Band.BANKRUPT),
        (pool(500, equity=-BIT), Band.BANKRUPT),
        (pool(0, maintenance=0), Band.HEALTHY),  # an empty account
        (pool(5, maintenance=0), Band.HEALTHY),
        (pool(-1, maintenance=0), Band.BANKRUPT),  # a debt and nothing else
        (pool(-5, equity=10), Band.LIQUIDATION),  # haircuts ate the collateral, equity is left
    ],
)
def test_bankrupt_when_equity_is_gone_then_with_a_requirement_at_zero_and_without_one_below_zero(
    figures, band
):
    assert band_at(figures, LADDER) is band


RATIOS = {
    Band.HEALTHY: D("1.6"),
    Band.WARNING: D("1.3"),
    Band.MARGIN_CALL: D("1.1"),
    Band.REDUCE_ONLY: D("1.03"),
    Band.LIQUIDATION: D("0.5"),
    Band.BANKRUPT: D("-0.1"),
}


@pytest.mark.parametrize("after", Band)
@pytest.mark.parametrize("before", Band)
def test_advance_when_figures_say_another_band_then_down_at_once_and_up_only_after_the_hold(before, after):
    figures = pool(RATIOS[after] * MM)
    stands = LadderState(before, "episode")
    at_once = advance(stands, figures, 0, LADDER)
    if SEVERITY[after] >= SEVERITY[before]:
        assert at_once == LadderState(after, "episode")
    else:
        assert at_once == LadderState(before, "episode", exit_since_ns=0)
        assert advance(at_once, figures, 5_000_000_000, LADDER) == LadderState(after, "episode")


@pytest.mark.parametrize("before", Band)
@pytest.mark.parametrize(
    ("says", "withheld"), [(Band.LIQUIDATION, Band.REDUCE_ONLY), (Band.BANKRUPT, Band.REDUCE_ONLY)]
)
def test_degraded_when_figures_say_liquidation_then_it_is_withheld_and_said_after_recovery(
    before, says, withheld
):
    figures = pool(RATIOS[says] * MM, degraded=True)
    during = advance(LadderState(before), figures, 0, LADDER)
    stays_worse = SEVERITY[before] > SEVERITY[withheld]
    assert during == LadderState(before if stays_worse else withheld, degraded=True)
    after = advance(during, pool(RATIOS[says] * MM), 1, LADDER)
    assert after.band is max(before, says, key=SEVERITY.__getitem__)
    assert not after.degraded


@pytest.mark.parametrize("says", [Band.LIQUIDATION, Band.BANKRUPT])
def test_degraded_when_the_policy_does_not_withhold_then_it_is_entered_at_once(says):
    ladder = sample(
        ("exit_band = 0.02", "exit_band = 0.02\nwithhold_liquidation_when_degraded = false")
    ).ladder
    assert advance(LadderState(), pool(RATIOS[says] * MM, degraded=True), 0, ladder).band is says


@pytest.mark.parametrize("says", [Band.WARNING, Band.MARGIN_CALL, Band.REDUCE_ONLY])
def test_degraded_when_figures_say_a_call_then_it_is_made_and_flagged(says):
    after = advance(LadderState(), pool(RATIOS[says] * MM, degraded=True), 0, LADDER)
    assert after == LadderState(says, degraded=True)


def test_severity_when_listed_then_each_band_is_worse_than_the_one_before():
    assert [SEVERITY[worse] - SEVERITY[better] for better, worse in pairwise(Band)] == [1] * 5


def test_line_when_no_requirement_but_liabilities_exceed_collateral_then_liquidation():
    # {BTC: -1, USD: 31,000} at 30,000 with liability factor 1.05: equity 1,000, C = 31,000 - 31,500 = -500, no MM
    assert (
        band_at(pool(D(31_000) - D(30_000) * D("1.05"), equity=1_000, maintenance=0), LADDER)
        is Band.LIQUIDATION
    )
    assert band_at(pool(0, equity=1_000, maintenance=0), LADDER) is Band.HEALTHY
