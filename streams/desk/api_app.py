"""The HTTP API in one constructor: the door, the routes, the problems, the schema."""

import inspect
import time
from collections.abc import Awaitable, Callable

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware, DefineMiddleware
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from engine.edition import ENGINE_VERSION
from streams.config.settings import Settings
from streams.desk.account_routes import (
    list_accounts,
    may_open,
    show_account,
    show_withdrawable,
    stress_account,
)
from streams.desk.answering import Desk
from streams.desk.api_door import OPEN, ApiDoor, check_role
from streams.desk.api_keys import ApiKeys
from streams.desk.api_metrics import ApiMetrics
from streams.desk.board.board_routes import find_board, serve_board
from streams.desk.caller_routes import show_caller, show_day
from streams.desk.change_routes import ask_what_if, simulate
from streams.desk.course_routes import show_cascade, show_course
from streams.desk.event_routes import follow_events, list_events
from streams.desk.health_routes import live, show_health, show_metrics
from streams.desk.market_routes import (
    list_episodes,
    list_liquidations,
    list_symbols,
    show_breaker,
    show_heat_map,
    show_symbol,
    stress_book,
)
from streams.desk.operator_routes import release_breaker, void_breaker
from streams.desk.problem_details import problem_of
from streams.desk.query_names import query_guard
from streams.desk.rate_limits import RateLimits

BODY_BYTES_MAX = 1_000_000
"""A portfolio of thousands of positions is a tenth of it."""

ROUTES = [
    *(list_accounts, show_account, may_open, show_withdrawable, stress_account),
    *(ask_what_if, simulate, stress_book, show_heat_map),
    *(list_episodes, list_liquidations, list_symbols, show_symbol),
    *(list_events, follow_events, show_breaker, release_breaker, void_breaker),
    *(show_health, live, show_metrics),
    *(show_caller, show_day, show_course, show_cascade, find_board, serve_board),
]


class Measured(ASGIMiddleware):
    """Counts and times every request, by route and status."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, metrics: ApiMetrics) -> None:
        """Measure into `metrics`."""
        self._metrics = metrics

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """See Litestar's middleware."""
        begun_s, status = time.monotonic(), "none"

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await next_app(scope, receive, noted)
        finally:
            route: str = scope.get("path_template") or "unknown"
            self._metrics.requests_total.labels(route, status).inc()
            if route != "/stream":
                self._metrics.request_seconds.labels(route).observe(time.monotonic() - begun_s)


def api_app(
    settings: Settings,
    desk_of: Callable[..., Desk | Awaitable[Desk]],
    keys: ApiKeys,
    metrics: ApiMetrics,
    *,
    recorded: bool = False,
) -> Litestar:
    """The ASGI application that answers each request from the desk that `desk_of` names; it starts and stops nothing.

    `recorded`: it is of a recorded day, and any question may name a moment of it.
    """
    door = DefineMiddleware(ApiDoor, settings=settings, keys=keys, limits=RateLimits())
    return Litestar(
        route_handlers=ROUTES,
        dependencies={
            "desk": Provide(desk_of, sync_to_thread=None if inspect.iscoroutinefunction(desk_of) else False),
            "metrics": Provide(lambda: metrics, sync_to_thread=False),
        },
        guards=[check_role, query_guard(recorded=recorded)],
        middleware=[Measured(metrics), door],
        exception_handlers={Exception: problem_of},
        openapi_config=_schema(),
        request_max_body_size=BODY_BYTES_MAX,
        logging_config=None,
        debug=False,
    )


def _schema() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="unimargin desk",
        version=ENGINE_VERSION,
        description="What a desk asks of margin accounts. Amounts are strings with every digit; errors are RFC 9457 problem details.",
        use_handler_docstrings=True,
        security=[{"key": []}],
        components=Components(
            security_schemes={
                "key": SecurityScheme(type="http", scheme="bearer", description="A key of this API.")
            }
        ),
        openapi_router=Router(path="/schema", route_handlers=[], opt={OPEN: True}, include_in_schema=False),
        render_plugins=[JsonRenderPlugin(path="/")],
    )
