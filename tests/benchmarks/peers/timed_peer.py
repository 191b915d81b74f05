"""What the peers in one process share: read the scenario, take its ticks one by one, write down what crossed and when.

Run by a peer's own interpreter: numpy and the standard library only.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Scenario = dict[str, np.ndarray]
Below = tuple[np.ndarray, np.ndarray]
"""Accounts below a line, and the band of each."""


def run(load: Callable[[Scenario], Callable[[float], Below]]) -> None:
    """`load` takes the scenario and answers a function from the first symbol's price to who is below a line.

    Reads the file of the first argument, writes that of the second.
    """
    with np.load(sys.argv[1]) as file:
        scenario = {name: file[name] for name in file.files}
    below = load(scenario)
    bands = np.zeros(len(scenario["wallets"]), np.int8)
    seconds, processor_s, rows = [], [], []
    for number, price in enumerate(scenario["ticks"].tolist()):
        began, spent = time.perf_counter(), time.process_time()
        accounts, levels = below(price)
        now = np.zeros_like(bands)
        now[accounts] = levels
        worse = np.flatnonzero(now > bands)
        seconds.append(time.perf_counter() - began)
        processor_s.append(time.process_time() - spent)
        rows += [(account, now[account], number) for account in worse]
        bands = now
    np.savez(
        sys.argv[2],
        seconds=seconds,
        processor_s=processor_s,
        rows=np.array(rows, np.int64).reshape(-1, 3),
        mebibytes=_mebibytes(),
    )


def _mebibytes() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024
