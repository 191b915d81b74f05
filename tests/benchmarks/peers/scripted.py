"""Peers in one Python process: a script of this folder, run by an interpreter of its own."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.benchmarks.peers import environments
from tests.benchmarks.peers.peer_answer import TICK, Answer
from tests.benchmarks.peers.peer_scenario import Scenario
from tests.support.commands import output_of

TIMEOUT_S = 600


def answer(script: Path, packages: Sequence[str], scenario: Scenario, directory: Path) -> Answer:
    """A row is known when the call that its tick made has returned."""
    python = environments.interpreter(script.stem, packages)
    given, made = directory / "scenario.npz", directory / "answer.npz"
    scenario.save(given)
    # what is set for our numpy is not meant for the peer's
    environment = {
        name: it for name, it in os.environ.items() if not name.startswith(("OPENBLAS_", "PYTHON"))
    }
    command = [str(python), str(script), str(given), str(made)]
    failure = environments.UnavailableError
    output_of(command, timeout_s=TIMEOUT_S, failure=failure, env=environment, cwd=directory)
    with np.load(made) as file:
        seconds = file["seconds"].tolist()
        rows = {(account, band): (number, seconds[number]) for account, band, number in file["rows"].tolist()}
        per_step_ms = 1000 * float(np.median(seconds[TICK + 1 :]))
        return Answer(
            rows,
            float(file["processor_s"][TICK]),
            float(file["mebibytes"]),
            f"a step of the fall {per_step_ms:.1f} ms",
        )
