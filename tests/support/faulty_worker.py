"""A worker with a planted fault: applying the input named by FAULTY_INPUT_ID raises while the file FAULTY_FLAG exists.

FAULTY_INPUT_ID=t-1 FAULTY_FLAG=/tmp/flag python -m tests.support.faulty_worker worker
"""

import os
import sys
from pathlib import Path
from typing import Any

from streams.cli import unimargin
from streams.shards import processor

COMMAND = (sys.executable, "-m", "tests.support.faulty_worker", "worker")


def main() -> None:
    """Put the fault in and be a worker."""
    input_id, flag = os.environ["FAULTY_INPUT_ID"], Path(os.environ["FAULTY_FLAG"])
    sound = processor.apply

    def faulty(state: Any, message: Any, *rest: Any) -> Any:
        if message.input_id == input_id and flag.exists():
            raise RuntimeError(f"planted: {input_id} cannot be applied")
        return sound(state, message, *rest)

    processor.apply = faulty
    unimargin.main()


if __name__ == "__main__":
    main()
