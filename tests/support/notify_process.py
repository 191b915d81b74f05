"""A real notifier process with rules of its own; it comes back when it is killed."""

import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.hook_receiver import SECRET
from tests.support.workers import Worker


class NotifyProcess(Worker):
    """One notifier that tells one webhook."""

    def __init__(
        self, environment: Mapping[str, str], rules: Path, hook_url: str, log: Path, name: str = "notify"
    ) -> None:
        known = {
            "HOOK_URL": hook_url,
            "HOOK_SECRET": SECRET,
            "UNIMARGIN_NOTIFY_PORT": "0",
            "UNIMARGIN_NOTIFY_FROM": "earliest",
            "UNIMARGIN_KAFKA_FETCH_WAIT_MS": "20",
            "UNIMARGIN_KAFKA_SESSION_TIMEOUT_SECONDS": "6",
            **environment,
        }
        command = (sys.executable, "-m", "streams.cli", "notify", "run", str(rules))
        super().__init__(name, known, log, command=command)
