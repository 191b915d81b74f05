"""Processor time and memory of processes, as the kernel tells."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

IDLE_CORES = 0.2


def mebibytes(pids: Iterable[int]) -> float:
    """Resident memory of these processes and all that they started."""
    statuses = [Path(f"/proc/{it}/status").read_text() for pid in pids for it in _tree(pid)]
    return sum(int(it.split("VmRSS:")[1].split()[0]) for it in statuses) / 1024


def processor_s(pids: Iterable[int]) -> float:
    """Processor time of these processes and all that they started, to a hundredth of a second."""
    # fields 14 and 15 of the line; the second, a name in brackets, may hold spaces
    lines = (Path(f"/proc/{it}/stat").read_text() for pid in pids for it in _tree(pid))
    fields = [line.rpartition(")")[2].split() for line in lines]
    return sum(int(it[11]) + int(it[12]) for it in fields) / os.sysconf("SC_CLK_TCK")


def idle(pids: Iterable[int], seconds: float) -> bool:
    """Whether they use next to no processor during so many seconds from now."""
    before = processor_s(pids)
    time.sleep(seconds)
    return processor_s(pids) - before < IDLE_CORES * seconds


def _tree(pid: int) -> list[int]:
    children = [it.read_text().split() for it in Path(f"/proc/{pid}/task").glob("*/children")]
    return [pid, *(it for thread in children for child in thread for it in _tree(int(child)))]
