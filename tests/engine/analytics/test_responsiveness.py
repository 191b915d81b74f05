"""The steepest rises of a requirement, and its peak over its trough, by hand and against every pair."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from engine.analytics.responsiveness import MarginSample, responsiveness
from engine.numbers import ONE, divide

D = Decimal


def course(*margins, every=10):
    return [MarginSample(place * every, D(margin)) for place, margin in enumerate(margins)]


def test_responsiveness_when_it_falls_and_rises_then_each_window_by_hand():
    found = responsiveness(course(100, 80, 90, 120, 60, 75), (10, 20, 1_000))
    assert (found.first, found.last, found.samples, found.length_ns) == (100, 75, 6, 50)
    assert (found.peak, found.peak_ns, found.trough, found.trough_ns, found.peak_to_trough) == (
        120,
        30,
        60,
        40,
        2,
    )
    one, two, whole = found.rises
    # 120 / 90 from one look to the next; 120 / 80 over two
    assert (one.rise, one.from_ns, one.to_ns, one.shorter) == (D("0.333333333333333333"), 20, 30, False)
    assert (two.rise, two.from_ns, two.to_ns) == (D("0.5"), 10, 30)
    assert (whole.rise, whole.window_ns, whole.shorter) == (D("0.5"), 1_000, True)


def test_responsiveness_when_it_only_falls_then_no_rise():
    (rise,) = responsiveness(course(100, 80, 70), (100,)).rises
    assert (rise.rise, rise.from_ns, rise.to_ns) == (0, 0, 0)


def test_responsiveness_when_nothing_is_required_then_no_ratio():
    found = responsiveness(course(0, 0), (10,))
    assert (found.peak_to_trough, found.rises[0].rise) == (None, None)
    # out of nothing there is no rise: 90 out of 50
    assert responsiveness(course(0, 50, 75, 0, 90), (100,)).rises[0].rise == D("0.8")


@given(margins=st.lists(st.integers(1, 40), min_size=1, max_size=30), window=st.integers(0, 12))
def test_responsiveness_when_held_against_every_pair_then_the_largest(margins, window):
    samples = course(*margins, every=1)
    wanted = max(
        divide(late.margin, early.margin) - ONE
        for place, late in enumerate(samples)
        for early in samples[: place + 1]
        if late.time_ns - early.time_ns <= window
    )
    assert responsiveness(samples, (window,)).rises[0].rise == wanted
