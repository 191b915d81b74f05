"""A random fault every 30 to 60 seconds under a light load, and a report: `make soak ARGS="--minutes 30 --seed 7"`.

The load is 200 inputs a second, about a tenth of what two workers apply of a burst (half of that where it is less than 200): what is sought is what faults
break, and every event is computed anew at the end. What much load breaks is sought by tests/benchmarks and tests/system/test_overload.py.

Exit status 1 where there was an anomaly, a fault after which service did not come back, or a worker that grew.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.soak.soak_report import problems_of, write_report
from tests.soak.soak_run import soak

MINUTES = 30.0
HERE = Path(__file__).parent


def main() -> int:
    """Run, write the report, and say what it says."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument(
        "--report", type=Path, default=HERE, help="directory for last-run.json and last-run.md"
    )
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    with tempfile.TemporaryDirectory(prefix="unimargin-soak-") as directory:
        ran = soak(Path(directory), minutes=options.minutes, seed=seed)
    told = write_report(ran, options.report)
    sys.stdout.write(told)
    return 1 if problems_of(ran) else 0


if __name__ == "__main__":
    sys.exit(main())
