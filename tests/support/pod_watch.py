"""What becomes of pods over time: each change as the API server tells it, so that nothing between two looks is missed."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.kubectl import Kubectl
from tests.support.waiting import wait_for

STOP_S = 10.0


class PodWatch:
    """The pods of one component, watched from entry to exit; `start` of them are there on entry."""

    def __init__(self, kubectl: Kubectl, namespace: str, component: str, log: Path) -> None:
        self._kubectl, self._log = kubectl, log
        self._which = (
            *("pods", f"--namespace={namespace}", f"--selector=app.kubernetes.io/component={component}"),
            "--output=json",
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._start = 0

    def ready_counts(self) -> list[int]:
        """How many were ready and not about to go: at first, and after each change."""
        ready: dict[str, bool] = {}
        counts = []
        for position, (kind, pod) in enumerate(self._changes(), start=1):
            ready[pod["metadata"]["name"]] = kind != "DELETED" and is_ready(pod)
            if position >= self._start:
                counts.append(sum(ready.values()))
        return counts

    def made(self) -> list[str]:
        """Names of the pods that came to be, in their order."""
        later = list(self._changes())[self._start :]
        return [pod["metadata"]["name"] for kind, pod in later if kind == "ADDED"]

    def __enter__(self) -> Self:
        self._start = len(self._kubectl.resource(*self._which))
        self._process = self._kubectl.start(
            "get", *self._which, "--watch", "--output-watch-events", log=self._log
        )
        wait_for("the watch tells of all", lambda: len(list(self._changes())) >= self._start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            if error is None:
                wait_for("the watch tells of all that became of them", self._caught_up)
            self._process.terminate()
            self._process.wait(STOP_S)

    def _caught_up(self) -> bool:
        told = {pod["metadata"]["name"]: _version(pod) for kind, pod in self._changes() if kind != "DELETED"}
        return all(
            told.get(pod["metadata"]["name"]) == _version(pod) for pod in self._kubectl.resource(*self._which)
        )

    def _changes(self) -> Iterator[tuple[str, dict[str, Any]]]:
        text, decoder = self._log.read_text().lstrip(), json.JSONDecoder()
        while text:
            try:
                change, end = decoder.raw_decode(text)
            except json.JSONDecodeError:
                return  # the last one is being written
            yield change["type"], change["object"]
            text = text[end:].lstrip()


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether it serves: ready, and not told to end."""
    conditions = {it["type"]: it["status"] for it in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def _version(pod: dict[str, Any]) -> str:
    return str(pod["metadata"]["resourceVersion"])
