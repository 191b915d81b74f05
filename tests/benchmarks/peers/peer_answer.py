"""What a peer answered, and the figures and differences that are printed of it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.benchmarks.peers.peer_scenario import LINES, WARM_TICKS

TICK = WARM_TICKS
"""Number of the tick; before it are the warm ones, after it the steps of the fall."""
Row = tuple[int, int]
"""An account, and the band that it entered from above."""
LIQUIDATED = len(LINES)
"""The worst band. Who folds marks may say it of an account without having said the one above: that row is passed over."""


class Answer(NamedTuple):
    """What crossed, and when it was known."""

    rows: dict[Row, tuple[int, float]]
    """By row: number of the tick that caused it, seconds from sending that tick until the row was known."""
    processor_s: float
    """Processor time of its processes from the tick until its last row, without the broker: what others do hardly changes it."""
    mebibytes: float
    """Resident memory of its processes after the fall, without the broker."""
    note: str = ""


def figures(answer: Answer, expected: dict[Row, int]) -> dict[str, float | str]:
    """Times in ms; how many rows are not as linear margin has them, at the tick and in the whole."""
    tick = [seconds for number, seconds in answer.rows.values() if number == TICK]
    fall = [seconds for number, seconds in answer.rows.values() if number > TICK]
    at_tick = {row for row, (number, _) in answer.rows.items() if number <= TICK}
    wanted = {row for row, number in expected.items() if number <= TICK}
    missing = expected.keys() - answer.rows.keys()
    found: dict[str, float | str] = {
        "rows_at_tick": len(at_tick),
        "missing_at_tick": len(wanted - at_tick),
        "besides_at_tick": len(at_tick - wanted),
        "rows_in_all": len(answer.rows),
        "missing_in_all": len(missing),
        "passed_over_in_all": sum((account, LIQUIDATED) in answer.rows for account, _ in missing),
        "besides_in_all": len(answer.rows.keys() - expected.keys()),
        "processor_ms": 1000 * answer.processor_s,
        "mebibytes": answer.mebibytes,
        "note": answer.note,
    }
    if tick:
        found |= {"first_row_ms": 1000 * min(tick), "last_row_ms": 1000 * max(tick)}
    if fall:
        p50, p99 = np.percentile(fall, (50, 99)).tolist()
        found |= {"fall_row_p50_ms": 1000 * p50, "fall_row_p99_ms": 1000 * p99}
    return found


def lines_of_code(*files: Path) -> int:
    """Lines that are neither empty nor a comment; docstrings count."""
    lines = (line.strip() for file in files for line in file.read_text().splitlines())
    return sum(1 for line in lines if line and not line.startswith(("#", "//", "/*", "*")))
