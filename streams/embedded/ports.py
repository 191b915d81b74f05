"""Loopback ports that a server can keep across a kill and a restart."""

import os
import random
import socket
from collections import deque

from streams.embedded.embedded_errors import EmbeddedServiceError

LOOPBACK = "127.0.0.1"

# Linux takes the ports of outgoing connections from 32768 up, macOS from 49152 up. A server's port must lie below:
# while the server is down its port could otherwise be given to a reconnecting client, which can even connect to
# itself, and the restart would fail with "address already in use".
PORTS = range(20_000, 32_768)
ATTEMPTS_MAX = 200
PROCESSES = 8
"""Programs side by side look among different ports, so that one does not take what another has found and not bound yet."""
_found: deque[int] = deque(maxlen=100)
"""By this process, lately: some of them are not bound yet."""


def free_port() -> int:
    """Return a loopback TCP port that nothing is bound to now.

    The port is not reserved: another process may take it before the caller does, though one of this project hardly will.
    Raises EmbeddedServiceError when `ATTEMPTS_MAX` random ports were all taken.
    """
    dice, ours = random.SystemRandom(), PORTS[os.getpid() % PROCESSES :: PROCESSES]
    for _ in range(ATTEMPTS_MAX):
        port = dice.choice(ours)
        if port in _found:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            _found.append(port)
            return port
    raise EmbeddedServiceError(f"no free port found on {LOOPBACK} in {PORTS.start}-{PORTS.stop - 1}")
