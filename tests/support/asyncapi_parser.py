"""AsyncAPI's own parser, installed by npm once into `.cache/asyncapi` of this checkout.

    python -m tests.support.asyncapi_parser

does it ahead of the tests. `asyncapi/package-lock.json` pins every package by its digest; a change of it installs anew.
"""

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parent / "asyncapi"
FILES = ("package.json", "package-lock.json", "validate.mjs")
CACHE = Path(__file__).parents[2] / ".cache" / "asyncapi"
# Written last: says of which files the packages are complete.
STAMP = CACHE / "complete.sha256"
# 55 MB over a slow line.
INSTALL_TIMEOUT_S = 600
PARSE_TIMEOUT_S = 120


class AsyncApiParserError(RuntimeError):
    """The parser could not be installed or did not run; the message carries what npm or node said."""


def asyncapi_verdict(document: str) -> dict[str, Any]:
    """What the parser says about the text of a document; `asyncapi/validate.mjs` states the shape."""
    _install()
    return json.loads(_run(["node", "validate.mjs"], PARSE_TIMEOUT_S, document))


def _install() -> None:
    """Install the packages where they are not there. Safe to call from many processes."""
    wanted = hashlib.sha256(b"".join((PROJECT / name).read_bytes() for name in FILES)).hexdigest()
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if STAMP.exists() and STAMP.read_text() == wanted:
            return
        for name in FILES:
            shutil.copy(PROJECT / name, CACHE)
        # No package's own script is run: none of them has anything to build.
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], INSTALL_TIMEOUT_S)
        STAMP.write_text(wanted)


def _run(command: list[str], timeout_s: float, given: str = "") -> str:
    program = shutil.which(command[0])
    if program is None:
        raise AsyncApiParserError(
            f"{command[0]} is not on PATH: .ci/services installs it (Debian packages nodejs, npm)"
        )
    try:
        done = subprocess.run(
            [program, *command[1:]],
            cwd=CACHE,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise AsyncApiParserError(f"{' '.join(command)} did not finish in {timeout_s} s") from error
    if done.returncode != 0:
        raise AsyncApiParserError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


if __name__ == "__main__":
    try:
        _install()
    except AsyncApiParserError as error:
        sys.exit(str(error))
