"""Loopback ports that a server can keep across a kill and a restart."""

import random
import socket

from streams.embedded.embedded_errors import EmbeddedServiceError

LOOPBACK = "127.0.0.1"

# Linux takes the ports of outgoing connections from 32768 up, macOS from 49152 up. A server's port must lie below:
# while the server is down its port could otherwise be given to a reconnecting client, which can even connect to
# itself, and the restart would fail with "address already in use".
PORTS = range(20_000, 32_768)
ATTEMPTS_MAX = 200


def free_port() -> int:
    """Return a loopback TCP port that nothing is bound to now.

    The port is not reserved: another process may take it before the caller does.
    Raises EmbeddedServiceError when `ATTEMPTS_MAX` random ports were all taken.
    """
    dice = random.SystemRandom()
    for _ in range(ATTEMPTS_MAX):
        port = dice.choice(PORTS)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise EmbeddedServiceError(f"no free port found on {LOOPBACK} in {PORTS.start}-{PORTS.stop - 1}")
