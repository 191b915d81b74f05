"""The book over time: sums that are kept up without a walk over all, and samples that are thinned and bounded."""

from decimal import Decimal

from engine.ladder import Band
from streams.desk.book_course import (
    COARSE_NS,
    COARSE_SAMPLES_MAX,
    FINE_SAMPLES_MAX,
    BookCourse,
    BookTotals,
    Standing,
)

SECOND = 1_000_000_000


def test_totals_when_accounts_change_then_they_are_the_sum_of_what_each_is_now() -> None:
    totals = BookTotals()
    well = Standing(Band.HEALTHY, Decimal("0.1"), Decimal("0.000000000000000001"))
    called = Standing(Band.MARGIN_CALL, Decimal("-7.25"), Decimal(3))
    totals.change(None, well)
    totals.change(None, well)
    totals.change(well, called)
    sample = totals.sample(5)
    assert (sample.time_ns, sample.accounts["healthy"], sample.accounts["margin_call"]) == (5, 1, 1)
    assert (sample.equity, sample.maintenance_margin) == (Decimal("-7.15"), Decimal("3.000000000000000001"))
    totals.change(well, None)
    totals.change(called, None)
    gone = totals.sample(6)
    assert (set(gone.accounts.values()), gone.equity, gone.maintenance_margin) == (
        {0},
        Decimal(0),
        Decimal(0),
    )


def test_course_when_a_day_passes_then_the_newest_quarter_is_by_the_second_and_all_is_bounded() -> None:
    course, totals = BookCourse(), BookTotals()
    for second in range(100_000):
        course.add(totals.sample(second * SECOND))
    report = course.since(0)
    assert len(report.times_ns) == FINE_SAMPLES_MAX + COARSE_SAMPLES_MAX
    steps = [after - before for before, after in zip(report.times_ns, report.times_ns[1:], strict=False)]
    assert set(steps[-FINE_SAMPLES_MAX + 1 :]) == {SECOND}
    assert set(steps[: COARSE_SAMPLES_MAX - 1]) == {COARSE_NS}
    assert course.since(report.times_ns[-3]).times_ns == report.times_ns[-2:]
    assert {len(it) for it in report.accounts.values()} == {len(report.times_ns)} == {len(report.equity)}
