"""Children of a command: bounded lives, restarts after crashes, no orphans."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.embedded.supervisor import ChildError, ChildProcess, Supervisor


def child(tmp_path: Path, code: str, **environment: str) -> ChildProcess:
    return ChildProcess(
        "child", [sys.executable, "-c", code], log=tmp_path / "child.log", environment=environment
    )


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - it is another process's doing
            await asyncio.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


SLEEP = "import time; time.sleep(600)"
IGNORES_SIGTERM = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


async def test_child_when_it_ends_tells_its_status_and_its_words(tmp_path: Path) -> None:
    process = child(tmp_path, "import os, sys; print(os.environ['GREETING']); sys.exit(3)", GREETING="hello")
    await process.start()
    assert await process.wait() == 3
    assert not process.running
    assert process.last_words() == "hello"


async def test_child_when_stopped_ends_by_sigterm(tmp_path: Path) -> None:
    process = child(tmp_path, SLEEP)
    await process.start()
    pid = process.pid
    assert await process.stop(within_seconds=10) == 128 + signal.SIGTERM
    assert not is_alive(pid)
    with pytest.raises(ChildError, match="not running"):
        _ = process.pid


async def test_child_when_it_ignores_sigterm_is_killed_after_the_bound(tmp_path: Path) -> None:
    process = child(tmp_path, IGNORES_SIGTERM)
    await process.start()
    await until(lambda: process.last_words() == "deaf")
    began = time.monotonic()
    assert await process.stop(within_seconds=0.3) == 128 + signal.SIGKILL
    assert time.monotonic() - began < 5


async def test_child_when_its_command_does_not_exist_says_so(tmp_path: Path) -> None:
    process = ChildProcess("ghost", ["/no/such/command"], log=tmp_path / "ghost.log")
    with pytest.raises(ChildError, match=r"(?s)ghost could not be started.*No such file"):
        await process.start()


async def test_child_when_running_refuses_a_second_start(tmp_path: Path) -> None:
    process = child(tmp_path, SLEEP)
    await process.start()
    with pytest.raises(ChildError, match="already runs"):
        await process.start()
    await process.kill()


def test_child_when_its_starter_is_killed_ends_too(tmp_path: Path) -> None:
    code = f"""
import asyncio, sys
from pathlib import Path
from streams.embedded.supervisor import ChildProcess

async def main():
    process = ChildProcess("child", [sys.executable, "-c", {SLEEP!r}], log=Path({str(tmp_path / "log")!r}))
    await process.start()
    print(process.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        assert is_alive(pid)
        starter.kill()
    deadline = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(pid)


async def test_supervisor_when_the_child_crashes_starts_it_again(tmp_path: Path) -> None:
    supervisor = Supervisor(child(tmp_path, SLEEP), backoff_first_seconds=0.05)
    await supervisor.start()
    first = supervisor.child.pid
    os.kill(first, signal.SIGKILL)
    await until(lambda: supervisor.restarts == 1)
    assert supervisor.child.pid != first
    assert supervisor.status is None
    await supervisor.stop(within_seconds=10)
    assert supervisor.restarts == 1
    assert not supervisor.child.running


@pytest.mark.parametrize("status", [0, 2])
async def test_supervisor_when_the_child_ends_for_good_leaves_it(tmp_path: Path, status: int) -> None:
    supervisor = Supervisor(child(tmp_path, f"raise SystemExit({status})"), backoff_first_seconds=0.01)
    await supervisor.start()
    await until(lambda: supervisor.status is not None)
    assert (supervisor.status, supervisor.restarts) == (status, 0)


async def test_supervisor_when_the_child_always_crashes_gives_up_after_the_bound(tmp_path: Path) -> None:
    supervisor = Supervisor(
        child(tmp_path, "print('down'); raise SystemExit(70)"), restarts_max=3, backoff_first_seconds=0.01
    )
    await supervisor.start()
    await until(lambda: supervisor.status is not None)
    assert (supervisor.status, supervisor.restarts) == (70, 3)
    assert supervisor.child.last_words() == "\n".join(["down"] * 4)


async def test_supervisor_when_stopped_while_it_waits_to_restart_starts_nothing(tmp_path: Path) -> None:
    supervisor = Supervisor(child(tmp_path, "raise SystemExit(70)"), backoff_first_seconds=60)
    await supervisor.start()
    await until(lambda: not supervisor.child.running)
    await asyncio.wait_for(supervisor.stop(within_seconds=5), 5)
    assert supervisor.restarts == 0
    assert not supervisor.child.running
