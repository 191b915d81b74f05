"""A process's own HTTP address: /metrics, /livez, /readyz. Faust's web server stays off."""

from collections.abc import Callable

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

_log = structlog.get_logger()


class HealthServer:
    """Serves metrics and health until closed.

    - /livez is 200 as long as the event loop answers: restart the process when it does not.
    - /readyz is 200 when it was admitted to the group (`proving`, `policy_gate`), prices have caught up and every assigned shard runs, or is followed by a standby, and says which; else 503
      with what is missing.
    """

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        not_ready: Callable[[], dict[str, str]],
        standing: Callable[[], str] = lambda: "ready",
    ) -> None:
        """`not_ready` names what is missing, empty when nothing is, and `standing` what it is then; port 0 takes a free one."""
        self._host, self.port, self._registry = host, port, registry
        self.not_ready, self.standing = not_ready, standing
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/livez", self._live),
                web.get("/readyz", self._ready),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self.port).start()
        self.port = self._runner.addresses[0][1]
        _log.info("health_listens", host=self._host, port=self.port)

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _ready(self, _: web.Request) -> web.Response:
        missing = self.not_ready()
        status = self.standing() if not missing else "not ready"
        return web.json_response({"status": status, **missing}, status=503 if missing else 200)
