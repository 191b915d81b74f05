"""A relay between clients and a server that keeps every byte which passed, as somebody on the wire would."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from streams.embedded.ports import LOOPBACK, free_port

READ_BYTES = 65536
CONNECT_S = 5.0


class Relay:
    """Listens on `port` from entry to exit; each connection is passed on to the port it was made for."""

    def __init__(self, to: int) -> None:
        self.port, self._to = free_port(), to
        self._seen = bytearray()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None

    def forget(self) -> None:
        """Keep only what passes from now on."""
        with self._lock:
            self._seen.clear()

    @property
    def seen(self) -> bytes:
        """Everything that passed, in both directions."""
        with self._lock:
            return bytes(self._seen)

    def __enter__(self) -> Self:
        self._listener = socket.create_server((LOOPBACK, self.port))
        threading.Thread(target=self._accept, name="relay", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()  # type: ignore[union-attr]
            except OSError:
                return
            try:
                server = socket.create_connection((LOOPBACK, self._to), timeout=CONNECT_S)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(READ_BYTES):
                with self._lock:
                    self._seen += data
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            with suppress(OSError):
                end.close()
