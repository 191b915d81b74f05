"""A receiver of webhooks that takes messages, refuses them, hangs, goes away and comes back at the same address."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self

from standardwebhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Got(NamedTuple):
    """One message that it took."""

    id: str
    body: Any


class HookReceiver:
    """Listens on loopback; what it answers is `status`, after `hang_s`."""

    def __init__(self, *, signed: bool = True) -> None:
        self.status, self.hang_s, self._signed = 200, 0.0, signed
        self.got: list[Got] = []
        self.attempts = 0
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def start(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.attempts += 1
                status = receiver.status
                time.sleep(receiver.hang_s)
                if receiver._signed:
                    Webhook(SECRET).verify(body, dict(self.headers))
                if status < 300:
                    receiver.got.append(Got(self.headers.get("webhook-id", ""), json.loads(body)))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def event_ids(self) -> list[str]:
        """Of every event told, alone or in a digest, as often as it was."""
        return [it for got in self.got for it in got.body["data"]["event_ids"]]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
