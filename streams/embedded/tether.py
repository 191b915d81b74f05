"""Run a command that ends when whoever started this script ends. Run by path; uses the standard library only.

    python -I tether.py COMMAND [ARGUMENT ...]

1. Start COMMAND, its output on this script's standard error.
2. Print its process id as one line on standard output.
3. When standard input reaches its end (the starter closed it or died, however it died), kill COMMAND.
4. Exit with COMMAND's status, 128 + N if signal N ended it.

Why not only PR_SET_PDEATHSIG in the starter: the kernel sends that signal when the starting *thread* ends, so a server
restarted from a thread pool would vanish with the pool. This script's main thread lives as long as the command,
so here the call is safe; it covers the case that this script itself is killed.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1


def _die_with_tether() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _kill_at_end_of_input(service: "subprocess.Popen[bytes]") -> None:
    # Not sys.stdin: its lock, held here, would abort the interpreter when the main thread ends first.
    while os.read(0, 4096):
        pass
    service.kill()


def main() -> int:
    """Run the command of `sys.argv` to its end and return the exit status to pass on."""
    service = subprocess.Popen(  # noqa: S603  the starter's own command, no shell
        sys.argv[1:],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        preexec_fn=_die_with_tether,  # noqa: PLW1509  this process has one thread when it forks
    )
    sys.stdout.write(f"{service.pid}\n")
    sys.stdout.flush()
    threading.Thread(target=_kill_at_end_of_input, args=(service,), daemon=True).start()
    status = service.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
