"""Plant every bug, one at a time, in a copy of the tree, and run the test that must catch it.

    python -m tests.planted [--skip-sound] [--only WORDS]

First the same tests run on the unchanged copy and must pass. Exit status 1 if a bug survives or a sound test fails.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.planted.bugs import BUGS, Bug

TREE = Path(__file__).resolve().parents[2]
TEST_SECONDS_MAX = 400
PYTEST_TESTS_FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted")
    parser.add_argument(
        "--skip-sound", action="store_true", help="do not run the tests on the sound tree first"
    )
    parser.add_argument("--only", default="", help="bugs whose name contains these words")
    options = parser.parse_args(arguments)
    bugs = [bug for bug in BUGS if options.only in bug.name]
    with tempfile.TemporaryDirectory(prefix="unimargin-planted-") as directory:
        tree = Path(directory)
        _copy_tree(tree)
        if not options.skip_sound:
            status, said = _run_tests(tree, sorted({bug.test for bug in bugs}))
            if status != 0:
                _tell(f"the tests do not pass without any bug (status {status}):\n{said}")
                return 1
            _tell("without any bug: all named tests pass")
        survivors = [bug for bug in bugs if not _is_caught(tree, bug)]
    _tell(f"{len(bugs) - len(survivors)} of {len(bugs)} planted bugs were caught")
    return 1 if survivors else 0


def _is_caught(tree: Path, bug: Bug) -> bool:
    file = tree / bug.file
    sound = file.read_text()
    file.write_text(planted(sound, bug))
    try:
        status, said = _run_tests(tree, [bug.test])
    finally:
        file.write_text(sound)
    caught = status == PYTEST_TESTS_FAILED and "failed" in said.splitlines()[-1]
    _tell(f"{'caught  ' if caught else 'SURVIVED'}  {bug.name}\n          {bug.test}")
    if not caught:
        _tell(f"pytest ended with {status}:\n{said[-2000:]}")
    return caught


def planted(sound: str, bug: Bug) -> str:
    """The source with the bug. Raises ValueError when its place is not there exactly once any more."""
    if sound.count(bug.search) != 1:
        raise ValueError(f"{bug.name}: its place occurs {sound.count(bug.search)} times in {bug.file}")
    return sound.replace(bug.search, bug.replace)


def _copy_tree(tree: Path) -> None:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    for name in filter(None, subprocess.check_output(listed, cwd=TREE, text=True).split("\0")):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if (TREE / name).exists():
            shutil.copy(TREE / name, tree / name)
    # Kafka's jars are fetched once a checkout.
    (tree / ".cache").symlink_to(TREE / ".cache")


def _run_tests(tree: Path, tests: Sequence[str]) -> tuple[int, str]:
    said = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "--no-header",
            "--tb=line",
            "-p",
            "no:cacheprovider",
            *tests,
        ],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=TEST_SECONDS_MAX * max(1, len(tests) // 4),
    )
    return said.returncode, said.stdout


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
