"""A directory with a `package.json`, a lock and a script, installed by npm once into `.cache` of this checkout.

`package-lock.json` pins every package by its digest; a change of any of its files installs anew.
"""

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".cache"
FILES = ("package.json", "package-lock.json", "validate.mjs")
# Written last: says of which files the packages are complete.
STAMP = "complete.sha256"
# 55 MB over a slow line.
INSTALL_TIMEOUT_S = 600
RUN_TIMEOUT_S = 120


class NpmProjectError(RuntimeError):
    """It could not be installed or did not run; the message carries what npm or node said."""


class NpmProject:
    """The one in `directory`; its script is `validate.mjs`."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._cache = directory, CACHE / directory.name

    def validate(self, given: str) -> str:
        """What the script writes when it reads `given`."""
        self.install()
        return self._run(["node", "validate.mjs"], RUN_TIMEOUT_S, given)

    def install(self) -> None:
        """Install the packages where they are not there. Safe to call from many processes."""
        wanted = hashlib.sha256(b"".join((self._directory / name).read_bytes() for name in FILES)).hexdigest()
        stamp = self._cache / STAMP
        self._cache.mkdir(parents=True, exist_ok=True)
        with (self._cache / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if stamp.exists() and stamp.read_text() == wanted:
                return
            for name in FILES:
                shutil.copy(self._directory / name, self._cache)
            # No package's own script is run: none of them has anything to build.
            self._run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], INSTALL_TIMEOUT_S)
            stamp.write_text(wanted)

    def _run(self, command: list[str], timeout_s: float, given: str = "") -> str:
        program = shutil.which(command[0])
        if program is None:
            raise NpmProjectError(
                f"{command[0]} is not on PATH: .ci/services installs it (Debian packages nodejs, npm)"
            )
        try:
            done = subprocess.run(
                [program, *command[1:]],
                cwd=self._cache,
                input=given,
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout_s,
            )
        except subprocess.TimeoutExpired as error:
            raise NpmProjectError(f"{' '.join(command)} did not finish in {timeout_s} s") from error
        if done.returncode != 0:
            raise NpmProjectError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-4000:]}")
        return done.stdout
