"""The universal scalability law, fitted: what N workers carry, and what keeps it from N times one.

    X(N) = rate * N / (1 + contention * (N - 1) + coherency * N * (N - 1))

Gunther, Guerrilla Capacity Planning (2007). Linear in 1/rate, contention/rate and coherency/rate where it is written as N / X(N), so least
squares give all three and their standard errors. None of them can be below 0: where the measurements would have it so, the
coherency is taken as 0, and then it is Amdahl's law.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


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
    columns = np.column_stack([np.ones_like(n), n - 1, n * (n - 1)])
    wanted = n / np.asarray(rates, float)
    found, errors = _least_squares(columns, wanted)
    if found[2] < 0:
        found, errors = _least_squares(columns[:, :2], wanted)
    one = found[0]
    share, off = [*(found[1:] / one), 0.0], [*(errors[1:] / one), 0.0]
    return Fit(float(1 / one), float(share[0]), float(share[1]), float(off[0]), float(off[1]))


def _least_squares(columns: Array, wanted: Array) -> tuple[Array, Array]:
    """The coefficients and their standard errors."""
    found, *_ = np.linalg.lstsq(columns, wanted, rcond=None)
    left = wanted - columns @ found
    variance = float(left @ left) / (len(wanted) - columns.shape[1])
    return found, np.sqrt(np.diag(np.linalg.inv(columns.T @ columns)) * variance)
