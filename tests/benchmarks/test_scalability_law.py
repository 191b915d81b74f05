"""The fit of the scalability law."""

import pytest

from tests.benchmarks.scalability_law import fitted


def law(workers: int, rate: float, contention: float, coherency: float) -> float:
    return rate * workers / (1 + contention * (workers - 1) + coherency * workers * (workers - 1))


def test_fit_when_rates_follow_the_law_then_its_numbers_are_found() -> None:
    workers = [1, 1, 2, 2, 4, 4]
    found = fitted(workers, [law(it, 1000, 0.2, 0.01) for it in workers])
    assert found.rate == pytest.approx(1000)
    assert (found.contention, found.coherency) == (pytest.approx(0.2), pytest.approx(0.01))
    assert found.contention_error == pytest.approx(0, abs=1e-6)


def test_fit_when_rates_scatter_then_the_error_covers_it() -> None:
    workers, scatter = [1, 1, 2, 2, 4, 4], [1.02, 0.98, 0.98, 1.02, 1.02, 0.98]
    rates = [law(it, 1000, 0.2, 0.01) * off for it, off in zip(workers, scatter, strict=True)]
    found = fitted(workers, rates)
    assert abs(found.contention - 0.2) < 3 * found.contention_error


def test_fit_when_coherency_would_be_below_0_then_amdahl() -> None:
    workers = [1, 1, 2, 2, 4, 4]
    found = fitted(workers, [law(it, 1000, 0.3, -0.01) for it in workers])
    assert found.coherency == 0
    assert 0.2 < found.contention < 0.3


def test_fit_when_there_are_too_few_measurements_then_refused() -> None:
    with pytest.raises(ValueError, match="three unknowns"):
        fitted([1, 2, 4], [1.0, 2.0, 3.0])
