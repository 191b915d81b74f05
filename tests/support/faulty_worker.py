"""A worker with a planted fault: its code raises at one step while the file FAULTY_FLAG exists.

FAULTY_STEP=apply FAULTY_ACCOUNT=alice FAULTY_FLAG=/tmp/flag python -m tests.support.faulty_worker worker

    apply     applying any input to the account raises
    judge     judging it raises
    protocol  merging any commit raises: an invariant of the shard's own, which is nobody's account
"""

import os
import sys
from collections.abc import Callable
from decimal import InvalidOperation
from pathlib import Path
from typing import Any

from engine.book import columnar_book
from streams.cli import unimargin
from streams.shards import commit_queue, input_booking

COMMAND = (sys.executable, "-m", "tests.support.faulty_worker", "worker")
PLANTED = "planted: the engine cannot do this"


def environment(step: str, flag: Path, account: str = "") -> dict[str, str]:
    """What such a worker needs besides its settings."""
    return {"FAULTY_STEP": step, "FAULTY_FLAG": str(flag), "FAULTY_ACCOUNT": account}


def main() -> None:
    """Put the fault in and be a worker."""
    step, flag, account = (os.environ[f"FAULTY_{it}"] for it in ("STEP", "FLAG", "ACCOUNT"))

    def of_account(sound: Callable[..., Any]) -> Callable[..., Any]:
        def faulty(state: Any, *rest: Any, **options: Any) -> Any:
            if state.account == account and Path(flag).exists():
                raise InvalidOperation(PLANTED)
            return sound(state, *rest, **options)

        return faulty

    def of_all(sound: Callable[..., Any]) -> Callable[..., Any]:
        def faulty(*arguments: Any) -> Any:
            if Path(flag).exists():
                raise AssertionError(PLANTED)
            return sound(*arguments)

        return faulty

    if step == "apply":
        input_booking.apply = of_account(input_booking.apply)
    elif step == "judge":
        columnar_book.judge = of_account(columnar_book.judge)
    else:
        commit_queue.merge = of_all(commit_queue.merge)
    unimargin.main()


if __name__ == "__main__":
    main()
