"""Commands whose standard output takes no more: a full disk, and somebody who has heard enough."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")
CLI = [sys.executable, "-m", "streams.cli"]


@pytest.mark.parametrize("words", [("policy", "list"), ("schemas", "asyncapi"), ("--help",)], ids=" ".join)
def test_output_when_the_disk_is_full_then_a_sentence_and_no_traceback(words: tuple[str, ...]) -> None:
    with FULL.open("w") as full:
        said = subprocess.run([*CLI, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert said.returncode == 1
    assert said.stderr == "error: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    "words", [("policy", "list"), ("schemas", "asyncapi"), ("policy", "list", "--json")], ids=" ".join
)
def test_output_when_nobody_listens_any_more_then_it_ends_quietly_with_0(words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        said = subprocess.run([*CLI, *words], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writing)
    assert (said.returncode, said.stderr) == (0, "")
