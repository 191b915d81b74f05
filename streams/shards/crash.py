"""Crash-only: what nobody foresaw ends the process before anything more is acknowledged.

`os._exit` is deliberate: no handler, no flush of half-done work. What was committed stays, what was not is read
again from Kafka by whoever comes next.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, NoReturn, ParamSpec

import structlog

EXIT_CRASH = 70
"""sysexits' EX_SOFTWARE; a supervisor restarts on it."""

_P = ParamSpec("_P")
_log = structlog.get_logger()


def end_process(reason: str, error: BaseException | None = None) -> NoReturn:
    """Say why, on the log, and end the process at once."""
    _log.critical("worker_ends", reason=reason, exc_info=error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_CRASH)


def crash_only(
    body: Callable[_P, Coroutine[Any, Any, None]],
) -> Callable[_P, Coroutine[Any, Any, None]]:
    """Wrap a task or agent so that an unexpected exception ends the process instead of being supervised away."""

    @wraps(body)
    async def guarded(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            await body(*args, **kwargs)
        except (asyncio.CancelledError, GeneratorExit, StopAsyncIteration):
            raise
        except BaseException as error:  # noqa: BLE001 - this is the last handler there is
            end_process(f"{body.__qualname__} failed", error)

    return guarded
