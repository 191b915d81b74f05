"""Processor time of processes: what other work on the machine changes little, unlike rates and latencies."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def processor_seconds(pid: int) -> float:
    """What a process has used since its start, user and system, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def spent(pids: Mapping[str, int], act: Callable[[], object]) -> dict[str, float]:
    """Processor seconds of each process while `act` runs."""
    before = {key: processor_seconds(pid) for key, pid in pids.items()}
    act()
    return {key: processor_seconds(pid) - before[key] for key, pid in pids.items()}
