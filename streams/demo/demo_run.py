"""One run of the demo, from the first server started to the last picture."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from engine.policy import Policy
from streams.config.settings import Settings
from streams.demo.collector import Collector, Picture
from streams.demo.demo_options import DemoOptions
from streams.demo.demo_stack import Stack
from streams.demo.demo_summary import DemoSummary, Latency, exchanged, named
from streams.demo.demo_view import Heading
from streams.demo.exchange_process import ExchangeProcess
from streams.demo.hold import hold_prices
from streams.demo.scrape import WorkerMetrics
from streams.demo.screen import Screen
from streams.exchange.market.scenario import BOTTOM_FROM, BOTTOM_UNTIL, CALM_UNTIL

CRASH = "flash-crash"
"""The scenario whose phases have names."""
REFRESH_SECONDS = 0.25
DRAIN_SECONDS_MIN, DRAIN_SECONDS_MAX = 2.5, 20.0
"""Workers refresh their gauges once a second: an empty queue is believed only after that."""


class DemoRun:
    """Runs once. `summary` is true at any time, also after the run was cancelled."""

    def __init__(self, options: DemoOptions, settings: Settings, policy: Policy, screen: Screen) -> None:
        """`settings` and `policy`: as the workers will have them."""
        self.completed = False
        self._options, self._screen = options, screen
        self._stack = Stack(options, settings, screen.tell)
        self._symbols = _shown_first(policy)
        self._exchange: ExchangeProcess | None = None
        self._picture: Picture | None = None
        self._moving_since: float | None = None
        self._market_seconds = 0.0

    @property
    def settings(self) -> Settings:
        """The settings with the addresses in use."""
        return self._stack.settings

    @property
    def logs(self) -> Path:
        """Directory with a log of each part; gone after a good end."""
        return self._stack.run_dir

    @property
    def board_address(self) -> str | None:
        """Of the board, with a way in; None where there is none."""
        return self._stack.board_address

    @property
    def keeps(self) -> bool:
        """Whether everything goes on running after the end."""
        return self._options.keep

    async def run(self, at_end: Callable[[], None]) -> None:
        """Run to the end and call `at_end`; with `keep`, hold the market open until cancelled.

        Raises DemoError for what the user must know.
        """
        async with self._stack as stack:
            metrics = WorkerMetrics(stack.metrics_addresses)
            async with Collector(stack.settings, metrics) as collector:
                self._exchange = await stack.start_exchange()
                with self._screen:
                    while not await self._exchange.ended():
                        await self._look(collector)
                    await self._drain(collector)
            self.completed = True
            if self._options.keep:
                holding = asyncio.create_task(hold_prices(stack.settings))
                at_end()
                await holding
        if not self._options.keep:
            at_end()

    def summary(self) -> DemoSummary | None:
        """What has happened so far; None when nothing has."""
        picture, exchange = self._picture, self._exchange
        if picture is None or exchange is None:
            return None
        return DemoSummary(
            completed=self.completed,
            source=str(self._options.data or self._options.scenario),
            seed=self._options.seed,
            accounts=self._options.accounts,
            workers=self._options.workers,
            market_seconds=round(self._market_seconds, 1),
            ticks=picture.ticks,
            fills=picture.fills,
            ledger_entries=picture.ledger_entries,
            events=picture.events,
            events_by_type={str(kind): count for kind, count in picture.events_by_type.items()},
            latency_seconds=Latency(picture.latency_p50_seconds, picture.latency_p99_seconds),
            accounts_by_band={str(band): count for band, count in picture.accounts_by_band.items()},
            accounts_degraded=picture.accounts_degraded,
            breakers_open=picture.breakers_open,
            liquidations_held=picture.liquidations_held,
            marks_refused=picture.marks_refused,
            quarantined=picture.quarantined,
            events_missed=picture.events_missed,
            worker_restarts=self._stack.worker_restarts,
            exchange=exchanged(exchange.progress) if exchange.progress else None,
            newest=named(picture.newest[0]) if picture.newest else None,
            kafka=self.settings.kafka_bootstrap_servers,
            metrics=tuple(self._stack.metrics_addresses),
        )

    async def _look(self, collector: Collector, *, phase: str | None = None) -> None:
        """Take a picture, show it, and pause."""
        self._stack.check_workers()
        if phase is None:
            self._follow_market()
        self._picture = collector.picture()
        self._screen.show(self._picture, self._heading(phase or self._phase()))
        await asyncio.sleep(REFRESH_SECONDS)

    async def _drain(self, collector: Collector) -> None:
        """Let the workers finish what the exchange has sent."""
        began = time.monotonic()
        while (spent := time.monotonic() - began) < DRAIN_SECONDS_MAX:
            await self._look(collector, phase="finishing")
            picture = collector.picture()
            if spent > DRAIN_SECONDS_MIN and not picture.lag_records and not picture.outbox_pending:
                break
        await self._look(collector, phase="ended")

    def _follow_market(self) -> None:
        if self._exchange_phase() not in {"moving", "ended"}:
            return
        if self._moving_since is None:
            self._moving_since = time.monotonic()
        self._market_seconds = time.monotonic() - self._moving_since

    def _exchange_phase(self) -> str:
        told = self._exchange.progress if self._exchange else None
        return told.phase if told else "seeding"

    def _phase(self) -> str:
        if self._moving_since is None:
            return "opening accounts"
        if self._options.data is not None:
            return "replay"
        if self._exchange_phase() == "settling":
            return "settling"
        if self._options.scenario != CRASH:
            return self._options.scenario
        part = self._market_seconds / (self._options.seconds or self._market_seconds or 1)
        phases = (("calm", CALM_UNTIL), ("crash", BOTTOM_FROM), ("bottom", BOTTOM_UNTIL))
        return next((name for name, until in phases if part < until), "rebound")

    def _heading(self, phase: str) -> Heading:
        workers = f"{self._options.workers} worker" + ("s" if self._options.workers > 1 else "")
        return Heading(
            title=f"unimargin demo · {self._options.accounts:,} accounts · {workers}",
            phase=phase,
            elapsed_seconds=self._market_seconds,
            total_seconds=self._options.seconds,
            symbols=self._symbols,
            worker_restarts=self._stack.worker_restarts,
            exchange=self._exchange.progress if self._exchange else None,
        )


def _shown_first(policy: Policy) -> list[str]:
    """The policy's price symbols, contracts before the indexes of assets."""
    contracts = [symbol for symbol in policy.price_symbols if symbol in policy.instruments]
    return contracts + [symbol for symbol in policy.price_symbols if symbol not in policy.instruments]
