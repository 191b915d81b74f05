"""The universal scalability law, fitted: what N workers carry, and what keeps it from N times one.

    X(N) = rate * N / (1 + contention * (N - 1) + coherency * N * (N - 1))

Gunther, Guerrilla Capacity Planning (2007). Linear in 1/rate, contention/rate and coherency/rate where it is written as N / X(N), so least
squares give all three and their standard errors.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Fit(NamedTuple):
    """The law's numbers, and by how much each may be off (one standard error)."""

    rate: float
    """Of one worker."""
    contention: float
    """What of the work is done by one at a time, or again by each."""
    coherency: float
    """What each costs every other."""
    contention_error: float
    coherency_error: float


def fitted(workers: Sequence[int], rates: Sequence[float]) -> Fit:
    """Fit at least four measurements at three or more numbers of workers. Raises `ValueError` for fewer."""
    if len(rates) < 4 or len(set(workers)) < 3:
        raise ValueError("the law has three unknowns: measure three numbers of workers, one of them twice")
    n = np.asarray(workers, float)
    base = np.column_stack([np.ones_like(n), n - 1, n * (n - 1)])
    wanted = n / np.asarray(rates, float)
    found, *_ = np.linalg.lstsq(base, wanted, rcond=None)
    left = wanted - base @ found
    variance = float(left @ left) / (len(rates) - 3)
    errors = np.sqrt(np.diag(np.linalg.inv(base.T @ base)) * variance)
    one, contention, coherency = (float(it) for it in found)
    return Fit(1 / one, contention / one, coherency / one, float(errors[1]) / one, float(errors[2]) / one)
