"""The process of the API: its tasks, its address, and its end."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
import uvicorn
from aiokafka.errors import KafkaError
from litestar.types import ASGIApp

from streams.config.settings import Settings, load_policy
from streams.desk.answering import Desk
from streams.desk.api_app import api_app
from streams.desk.api_door import check_open_door
from streams.desk.api_keys import ApiKeys
from streams.desk.api_metrics import ApiMetrics
from streams.desk.book_copy import BookCopy
from streams.desk.escaped_paths import keep_slashes
from streams.desk.event_hub import DropReason, EventHub
from streams.desk.ranking import Ranking
from streams.kafka.fund_follower import FundFollower
from streams.store.redis_access import client_of

CONNECTIONS_MAX = 4_000
"""Above it uvicorn answers 503 by itself: below the file descriptors that a process usually may have."""
BACKLOG = 512
KEEP_ALIVE_SECONDS = 30
RETRY_SECONDS = 2.0
END_SECONDS = 0.2
"""For each task, once the process is told to end."""

_log = structlog.get_logger()


Listening = Callable[[str, int], None]
"""Told the host and the port, once somebody can come in."""


async def run_api(settings: Settings, keys: ApiKeys, listening: Listening = lambda *_: None) -> None:
    """Serve until SIGTERM or SIGINT. Raises `SettingsError`."""
    policy = load_policy(settings.policy_file)
    check_open_door(settings, keys)
    metrics = ApiMetrics()
    async with AsyncExitStack() as stack:
        client = client_of(settings)
        stack.push_async_callback(client.aclose)
        ranking = Ranking(policy)
        copy = BookCopy(
            client,
            settings.redis_prefix,
            settings.api_refresh_seconds,
            ranking.changed,
            metrics.copy_reloads_total.inc,
        )
        hub = EventHub(settings, metrics)
        funds = FundFollower(settings, _keep_nothing)
        desk = Desk(settings, policy, copy, ranking, hub, funds)
        stack.callback(desk.close)
        hub.hears = desk.hear
        for work in (
            copy.run,
            lambda: desk.follow_policy(client),
            lambda: ranking.run(copy),
            hub.run,
            lambda: _insist(funds.run),
            lambda: desk.course.run(ranking.totals, desk.all_ranked),
        ):
            await stack.enter_async_context(_running(work))
        app = api_app(settings, lambda: desk, keys, metrics)
        await serve(app, settings, listening, lambda: hub.drop_all(DropReason.CLOSING))


async def serve(app: ASGIApp, settings: Settings, listening: Listening, closing: Callable[[], None]) -> None:
    """Serve `app` until SIGTERM or SIGINT; `closing` ends what would last longer than that."""
    await _serve(uvicorn.Server(_config(keep_slashes(app), settings)), listening, closing)


def _config(app: object, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=settings.api_host,
        port=settings.api_port,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        # paths name accounts, and nothing else that a log should keep of who asks what
        access_log=False,
        server_header=False,
        # else a header of the client would say where it is
        proxy_headers=False,
        limit_concurrency=CONNECTIONS_MAX,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(settings.shutdown_seconds),
    )


async def _serve(server: uvicorn.Server, listening: Listening, closing: Callable[[], None]) -> None:
    """Serve until a signal comes; streams are told, so that nobody waits for their ends."""
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    config = server.config
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    _log.info("api_listens", host=host, port=port)
    listening(host, port)
    ticking = asyncio.ensure_future(server.main_loop())
    await stopping.wait()
    closing()
    server.should_exit = True
    await ticking
    await server.shutdown()


@asynccontextmanager
async def _running(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work())
    task.add_done_callback(_crashed)
    try:
        yield
    finally:
        task.cancel()
        # whoever waits for a server that is gone is not waited for: nothing of it is written
        await asyncio.wait({task}, timeout=END_SECONDS)
    # so that the process does not end as if it had been told to
    if task.done() and not task.cancelled() and (error := task.exception()) is not None:
        raise error


def _crashed(task: "asyncio.Future[None]") -> None:
    """A task that ends by an error nobody foresaw ends the process: whoever restarts it gets all of it anew."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("api_task_failed", exc_info=error)
        signal.raise_signal(signal.SIGTERM)


async def _insist(run: Callable[[], Awaitable[None]]) -> None:
    """Run it again as long as its broker is away."""
    while True:
        try:
            return await run()
        except (KafkaError, OSError, TimeoutError) as error:
            _log.warning("fund_not_followed", error=repr(error))
        await asyncio.sleep(RETRY_SECONDS)


def _keep_nothing(_: object) -> None:
    """The workers quarantine what is no balance; the API writes nothing."""
