"""Programs that are run to their end, and what they say."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

WORDS_MAX = 4_000
"""Characters of what a program said that a failure quotes: the last ones."""


def output_of(
    command: Sequence[str],
    *,
    timeout_s: float,
    failure: type[Exception],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Run a program and return what it said. Raises `failure`, with its last words, unless it ends well in time."""
    told = " ".join(command)
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout_s,
            env=env,
            cwd=cwd,
        )
    except subprocess.TimeoutExpired as error:
        raise failure(f"not done within {timeout_s:g} s: {told}") from error
    if done.returncode:
        raise failure(f"{told}\n{done.stdout[-WORDS_MAX:]}")
    return done.stdout
