"""What becomes of a command whose standard output takes no more: nobody listens, or a disk is full.

Other pipes and files break as well, and what breaks them is not told here: only where standard output itself still refuses what it was
given is it the one.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def listener_may_leave() -> Iterator[None]:
    """Around a command: whoever has heard enough (`| head -1`) ends it, with exit code 0."""
    try:
        yield
    except BrokenPipeError:
        if not _refuses():
            raise
        _discard()
        sys.exit(0)


@contextmanager
def disk_may_be_full() -> Iterator[None]:
    """Around everything: standard output that cannot be written to is told in a sentence, with exit code 1."""
    try:
        yield
    except OSError as error:
        if not _refuses():
            raise
        _discard()
        sys.exit(f"error: standard output cannot be written: {error.strerror}")


def _refuses() -> bool:
    """Whether it does; asked with an empty line, which follows what was printed where it does not."""
    try:
        place = sys.stdout.fileno()
    except OSError:  # no file at all
        return False
    try:
        os.write(place, b"\n")
    except OSError:
        return True
    return False


def _discard() -> None:
    """Python writes what is left at its end, and would complain again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
