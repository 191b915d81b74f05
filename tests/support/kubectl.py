"""`kubectl`, asked as an operator asks it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).with_name("kubectl")
TIMEOUT_S = 150.0


class KubectlError(RuntimeError):
    """It ended badly; the message carries what it said."""


class Kubectl:
    """Talks to the server that the file `config` names, from the working directory `cwd`; within `env` any other `kubectl` does."""

    def __init__(self, config: Path, cwd: Path) -> None:
        self._cwd = cwd
        self.env = {
            **os.environ,
            "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}",
            "KUBECONFIG": str(config),
            "KUBECACHEDIR": str(config.with_suffix(".cache")),
        }

    def __call__(self, *words: str, given: str | None = None) -> str:
        """What it says on its output. Raises KubectlError."""
        code, said, complaint = self._run(words, given)
        if code:
            raise KubectlError(f"kubectl {' '.join(words)}\n{said}{complaint}")
        return said

    def refusal(self, *words: str, given: str | None = None) -> str:
        """What it complains of; it has to."""
        code, said, complaint = self._run(words, given)
        assert code, f"kubectl {' '.join(words)} was not refused\n{said}"
        return said + complaint

    def resource(self, *words: str) -> Any:
        """What `get` finds: one resource, or a list of those of a kind."""
        found = json.loads(self("get", *words, "--output=json"))
        return found["items"] if found["kind"] == "List" else found

    def start(self, *words: str, log: Path) -> subprocess.Popen[bytes]:
        """Run it in the background; the file `log` has what it says."""
        with log.open("wb") as output:
            return subprocess.Popen(
                [PROGRAM, *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._cwd,
                env=self.env,
            )

    def _run(self, words: Sequence[str], given: str | None) -> tuple[int, str, str]:
        done = subprocess.run(
            [PROGRAM, *words],
            input=given or "",
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
            cwd=self._cwd,
            env=self.env,
        )
        return done.returncode, done.stdout, done.stderr
