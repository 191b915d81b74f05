from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from engine.ladder import SEVERITY, Band, LadderState, advance, band_at
from engine.margin.figures import Figures
from tests.support.builders import sample, seconds

D = Decimal
LADDER = sample().ladder


def walk(state, *steps, ladder=LADDER):
    """The states at each (seconds, ratio) in turn."""
    states = []
    for at, ratio in steps:
        value = Decimal(ratio) * 100
        state = advance(state, Figures(value, value, D(0), D(100), degraded=False), seconds(at), ladder)
        states.append(state)
    return states


CALLED = LadderState(Band.MARGIN_CALL, "episode")


def test_exit_when_above_the_line_but_inside_the_band_then_nothing_starts():
    assert walk(CALLED, (0, "1.2"), (100, "1.2199")) == [CALLED, CALLED]


def test_exit_when_held_for_the_hold_time_then_the_band_is_left_at_that_instant():
    states = walk(CALLED, (10, "1.22"), ("14.999999999", "1.22"), (15, "1.22"))
    assert [state.band for state in states] == [Band.MARGIN_CALL, Band.MARGIN_CALL, Band.WARNING]
    assert [state.exit_since_ns for state in states] == [seconds(10), seconds(10), None]


def test_exit_when_interrupted_then_the_hold_starts_again():
    states = walk(CALLED, (0, "1.3"), (4, "1.21"), (6, "1.3"), (10, "1.3"), (11, "1.3"))
    assert [state.exit_since_ns for state in states] == [0, None, seconds(6), seconds(6), None]
    assert states[-1].band is Band.WARNING  # 11 - 6 = 5 s


def test_exit_when_it_gets_worse_during_the_hold_then_it_escalates_and_the_hold_is_gone():
    states = walk(CALLED, (0, "1.3"), (4, "1.04"), (5, "1.3"))
    assert [state.band for state in states] == [Band.MARGIN_CALL, Band.REDUCE_ONLY, Band.REDUCE_ONLY]
    assert states[-1].exit_since_ns == seconds(5)


def test_exit_when_several_exit_lines_are_held_then_it_goes_over_all_of_them_at_once():
    assert walk(LadderState(Band.LIQUIDATION, "e"), (0, 2), (5, 2))[-1] == LadderState(Band.HEALTHY, "e")


def test_exit_when_the_best_line_is_met_only_at_the_end_then_the_band_follows_the_figures_of_that_instant():
    assert walk(LadderState(Band.LIQUIDATION), (0, "1.03"), (5, 2))[-1].band is Band.HEALTHY
    assert walk(LadderState(Band.LIQUIDATION), (0, 2), (5, "1.03"))[-1].band is Band.REDUCE_ONLY


def test_exit_when_time_does_not_move_then_neither_does_the_hold():
    assert {state.band for state in walk(CALLED, *[(7, 2)] * 50)} == {Band.MARGIN_CALL}


def test_exit_when_there_is_no_hold_time_then_at_once():
    ladder = sample(("exit_hold_seconds = 5", "exit_hold_seconds = 0")).ladder
    assert walk(CALLED, (0, "1.3"), ladder=ladder)[-1].band is Band.WARNING


def changes(states):
    return sum(one.band is not other.band for one, other in pairwise(states))


def test_price_when_straddling_a_line_ten_thousand_times_then_one_change():
    # a millisecond apart, a hundredth around the entry line of the call
    steps = [(D(i) / 1000, "1.21" if i % 2 else "1.19") for i in range(10_000)]
    states = walk(LadderState(), *steps)
    assert states[0].band is Band.MARGIN_CALL
    assert changes(states) == 0


def test_price_when_straddling_the_exit_line_ten_thousand_times_then_no_change():
    steps = [(D(i) / 1000, "1.23" if i % 2 else "1.21") for i in range(10_000)]
    assert changes([CALLED, *walk(CALLED, *steps)]) == 0


ratios = st.decimals(min_value="-0.5", max_value=2, places=3)
paths = st.lists(st.tuples(st.integers(1, 4_000), ratios), max_size=40)


@given(paths)
def test_band_when_walked_over_any_path_then_never_better_than_the_figures_and_never_silently_worse(path):
    state, now_ms = LadderState(), 0
    for waited_ms, ratio in path:
        now_ms += waited_ms
        value = ratio * 100
        figures = Figures(value, value, D(0), D(100), degraded=False)
        after = advance(state, figures, now_ms * 1_000_000, LADDER)
        said = band_at(figures, LADDER)
        assert SEVERITY[after.band] >= SEVERITY[said]
        if SEVERITY[said] > SEVERITY[state.band]:
            assert after.band is said
        elif SEVERITY[after.band] < SEVERITY[state.band]:
            assert (now_ms * 1_000_000 - state.exit_since_ns) >= seconds(5)
        state = after


@given(paths)
def test_band_when_a_path_ends_well_then_every_state_is_left_after_one_hold(path):
    steps, now_ms = [], 0
    for waited_ms, ratio in path:
        now_ms += waited_ms
        steps.append((D(now_ms) / 1000, ratio))
    end = D(now_ms) / 1000
    assert walk(LadderState(), *steps, (end, 2), (end + 5, 2))[-1] == LadderState()
