"""The parts of the demo, all of them real: a broker and a Redis on loopback, workers, and a simulated exchange."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from pydantic import SecretStr

from engine.events.effects import Stream
from streams.config.connection_settings import embedded_settings, variable
from streams.config.settings import Settings, settings_with
from streams.demo.demo_board import BOARD_EXTRA_MISSING, DemoBoard, board_installed
from streams.demo.demo_options import DemoError, DemoOptions
from streams.demo.exchange_process import ExchangeProcess
from streams.embedded.embedded_broker import EmbeddedBroker
from streams.embedded.embedded_errors import EmbeddedServiceError
from streams.embedded.embedded_redis import EmbeddedRedis
from streams.embedded.ports import LOOPBACK, free_port
from streams.embedded.supervisor import ChildError, ChildProcess, Supervisor, unimargin

PARTITIONS = 4
"""Of every topic but the quarantine: enough to share among a few workers, few enough for one."""
REBALANCE_DELAY_MS = 3_000
"""How long the embedded broker waits for the other workers before it shares out partitions."""
SESSION_SECONDS = 3.0
PRICE_FETCH_WAIT_MS = 5
READY_SECONDS_MAX = 120.0
"""The first start after an installation compiles the engine's kernels; later ones take seconds."""
READY_POLL_SECONDS = 0.1
PROVE_SECONDS = 3.0
"""What a worker needs is there before it: what is away then stays away, and somebody waits for the word."""
STOP_SECONDS_MAX = 8.0
RESTARTS_MAX = 2


class Stack:
    """An async context: on entry everything starts but the exchange, on exit everything has ended.

    Raises DemoError with the last words of what could not be started. The logs are removed unless something failed.
    """

    def __init__(self, options: DemoOptions, settings: Settings, tell: Callable[[str], None]) -> None:
        """`settings`: topics, policy and names come from here; `tell` gets a line for each step."""
        self.settings = settings
        self.workers: list[Supervisor] = []
        self.metrics_addresses: list[str] = []
        self.board_address: str | None = None
        """With a way in; None where there is no board."""
        self.run_dir = Path(tempfile.mkdtemp(prefix="unimargin-demo-"))
        """Logs, and Redis' data."""
        self._options, self._tell = options, tell
        self._running = AsyncExitStack()

    @property
    def worker_restarts(self) -> int:
        """Crashes of workers that were made good."""
        return sum(worker.restarts for worker in self.workers)

    async def __aenter__(self) -> Self:
        """Start broker, Redis and workers, and wait until the workers are ready."""
        try:
            await self._start()
        except BaseException as error:
            await self._close(keep_logs=isinstance(error, Exception))
            if not isinstance(error, EmbeddedServiceError | ChildError):
                raise
            raise DemoError(str(error)) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything, the exchange first, the servers last."""
        await self._close(keep_logs=isinstance(error, Exception))

    async def start_exchange(self) -> ExchangeProcess:
        """Let the exchange open: accounts first, then the market."""
        exchange = ExchangeProcess(
            self._options.exchange_arguments(),
            log=self.run_dir / "exchange.log",
            environment=self._environment(),
        )
        await exchange.start()
        self._running.push_async_callback(exchange.child.stop, within_seconds=STOP_SECONDS_MAX)
        return exchange

    def check_workers(self) -> None:
        """Raise DemoError when a worker has ended for good."""
        for worker in self.workers:
            if worker.status is not None:
                raise DemoError(
                    f"{worker.child.name} ended with status {worker.status}; it said:\n{worker.child.last_words()}"
                )

    async def _close(self, *, keep_logs: bool) -> None:
        await self._running.aclose()
        if not keep_logs:
            shutil.rmtree(self.run_dir, ignore_errors=True)

    async def _start(self) -> None:
        changed: dict[str, object] = {}
        if self._options.kafka is None:
            broker = await self._start_broker()
            changed |= embedded_settings("kafka") | {
                "kafka_bootstrap_servers": broker.bootstrap_servers,
                "kafka_session_timeout_seconds": SESSION_SECONDS,
                "kafka_fetch_wait_ms": PRICE_FETCH_WAIT_MS,
                "fund_topic_enabled": True,
            }
            self._tell(f"Kafka broker in memory at {broker.bootstrap_servers}")
        else:
            changed["kafka_bootstrap_servers"] = self._options.kafka
        if self._options.redis is None:
            server = EmbeddedRedis(self.run_dir / "redis")
            self._running.callback(server.close)
            await asyncio.to_thread(server.start)
            changed |= embedded_settings("redis") | {"redis_url": SecretStr(server.url)}
            self._tell(f"redis-server at {server.url}")
        else:
            changed["redis_url"] = SecretStr(self._options.redis)
        self.settings = settings_with(self.settings, changed)
        await self._start_workers()
        if self._options.board:
            await self._start_board()

    async def _start_board(self) -> None:
        """Not waited for: it is there in a few seconds, while accounts are being opened."""
        if not board_installed():
            self._tell(BOARD_EXTRA_MISSING)
            return
        board = DemoBoard(self.run_dir, self._environment())
        await board.child.start()
        self._running.push_async_callback(board.child.stop, within_seconds=STOP_SECONDS_MAX)
        self.board_address = board.address
        self._tell(f"board at {board.address}")

    async def _start_broker(self) -> EmbeddedBroker:
        settings = self.settings
        names = [settings.topic_prices, settings.topic_fills, settings.topic_ledger, *Stream]
        topics = dict.fromkeys(map(str, names), PARTITIONS)
        topics |= {settings.topic_quarantine: 1, settings.topic_fund: 1}
        several = self._options.workers > 1
        broker = EmbeddedBroker(topics, rebalance_delay_ms=REBALANCE_DELAY_MS if several else 0)
        self._running.callback(broker.stop)
        await asyncio.to_thread(broker.start)
        return broker

    async def _start_workers(self) -> None:
        self._running.push_async_callback(self._stop_workers)
        for number in range(1, self._options.workers + 1):
            name, port = f"worker-{number}", free_port()
            child = ChildProcess(
                name,
                unimargin("worker"),
                log=self.run_dir / f"{name}.log",
                environment={
                    **self._environment(),
                    "UNIMARGIN_WORKER_ID": f"demo-{name}",
                    "UNIMARGIN_METRICS_HOST": LOOPBACK,
                    "UNIMARGIN_METRICS_PORT": str(port),
                },
            )
            self.metrics_addresses.append(f"http://{LOOPBACK}:{port}/metrics")
            worker = Supervisor(child, restarts_max=RESTARTS_MAX)
            self.workers.append(worker)
            await worker.start()
        await self._until_ready()
        addresses = ", ".join(self.metrics_addresses)
        self._tell(f"{self._options.workers} worker(s) ready, metrics at {addresses}")

    async def _stop_workers(self) -> None:
        await asyncio.gather(*(worker.stop(within_seconds=STOP_SECONDS_MAX) for worker in self.workers))

    async def _until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS_MAX
        async with aiohttp.ClientSession() as session:
            waiting = [address.removesuffix("/metrics") + "/readyz" for address in self.metrics_addresses]
            while waiting:
                self.check_workers()
                if not await _ready(session, waiting[0]):
                    if time.monotonic() > deadline:
                        words = self.workers[-len(waiting)].child.last_words()
                        raise DemoError(
                            f"a worker was not ready after {READY_SECONDS_MAX:g} s; it said:\n{words}"
                        )
                    await asyncio.sleep(READY_POLL_SECONDS)
                else:
                    waiting.pop(0)

    def _environment(self) -> dict[str, str]:
        """Where the servers are, for a child; all other settings it has from ours."""
        settings, options = self.settings, self._options
        # credentials for other servers are nothing for ours: "" is as if they were not given
        embedded = embedded_settings("kafka") if options.kafka is None else {}
        embedded |= embedded_settings("redis") if options.redis is None else {}
        return {
            **dict.fromkeys(map(variable, embedded), ""),
            "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
            "UNIMARGIN_KAFKA_SESSION_TIMEOUT_SECONDS": str(settings.kafka_session_timeout_seconds),
            "UNIMARGIN_KAFKA_FETCH_WAIT_MS": str(settings.kafka_fetch_wait_ms),
            "UNIMARGIN_FUND_TOPIC_ENABLED": str(settings.fund_topic_enabled),
            "UNIMARGIN_REDIS_URL": settings.redis_url.get_secret_value(),
            "UNIMARGIN_PROVE_SECONDS": str(PROVE_SECONDS),
            # a stack for some minutes needs no second copy, and the broker in memory cannot keep one
            "UNIMARGIN_ACCOUNT_STATE_MINUTES": "0",
        }


async def _ready(session: aiohttp.ClientSession, address: str) -> bool:
    try:
        async with session.get(address, timeout=aiohttp.ClientTimeout(total=2)) as response:
            return response.ok
    except (aiohttp.ClientError, TimeoutError):
        return False
