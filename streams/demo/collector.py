"""Watches a running pipeline from outside and puts what it sees into one `Picture`.

    events       read from their Kafka topics
    counts       scraped from the workers' /metrics
    prices       the marks that workers saved in Redis: those they believed

Nothing here is told by the parts that are watched in any other way than a deployment would be told.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from types import TracebackType
from typing import NamedTuple, Self

import aiohttp
import msgspec
from redis.exceptions import RedisError

from engine.events.effects import EventType, RiskEvent
from engine.inputs import Mark
from engine.ladder import Band
from streams.config.settings import Settings
from streams.demo.event_log import EventLog
from streams.demo.scrape import WorkerMetrics
from streams.store.redis_access import client_of
from streams.store.store_reader import StoreReader

SAMPLE_SECONDS = 0.5
RATE_WINDOW_SAMPLES = 6
HISTORY_POINTS_MAX = 240
LATENCY = "margin_tick_to_event_seconds"
LATENCY_DEFINITION = (
    "event time of the mark that caused an event until the broker acknowledged the event, over all such events, "
    "interpolated inside the buckets of the workers' histogram " + LATENCY
)


class PriceTrack(msgspec.Struct):
    """The way of one price since the run began."""

    first: Decimal
    last: Decimal
    history: deque[float]
    """One point per sample, oldest first."""


class Picture(msgspec.Struct, frozen=True):
    """All that is known at one moment. Counts are of the whole run, rates of the last seconds."""

    ticks: int
    """Marks that reached a worker, believed or refused (every worker reads all of them)."""
    ticks_per_second: float
    events: int
    events_per_second: float
    fills: int
    ledger_entries: int
    events_by_type: dict[EventType, int]
    marks_refused: dict[str, int]
    """By reason code."""
    quarantined: int
    latency_p50_seconds: float | None
    latency_p99_seconds: float | None
    accounts_by_band: dict[Band, int]
    accounts_degraded: int
    breakers_open: int
    """Shards that hold their liquidations."""
    liquidations_held: int
    """Accounts whose liquidation, or its next plan, waits for an operator."""
    lag_records: int
    outbox_pending: int
    prices: dict[str, PriceTrack]
    newest: tuple[RiskEvent, ...]
    """Calls and liquidations, newest first."""
    events_missed: int


class _Sample(NamedTuple):
    at: float
    ticks: int
    events: int


class Collector:
    """An async context: connects on entry, watches until exit."""

    def __init__(self, settings: Settings, metrics: WorkerMetrics) -> None:
        """`settings`: where broker and Redis are."""
        self._settings, self._metrics = settings, metrics
        self._log = EventLog(settings)
        self._redis = client_of(settings)
        self._store = StoreReader(self._redis, settings.redis_prefix)
        self._prices: dict[str, PriceTrack] = {}
        self._samples: deque[_Sample] = deque(maxlen=RATE_WINDOW_SAMPLES)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Connect and begin."""
        self._tasks = [asyncio.create_task(self._log.run()), asyncio.create_task(self._sample())]
        reading = asyncio.create_task(self._log.reading.wait())
        await asyncio.wait([reading, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        reading.cancel()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._redis.aclose()

    def picture(self) -> Picture:
        """The state as of the last sample. Raises what ended the watching, if something did."""
        for task in self._tasks:
            if task.done():
                task.result()
        metrics, log = self._metrics, self._log
        inputs = metrics.by("topic", "margin_inputs_applied_total")
        bands = metrics.by("state", "margin_accounts")
        refused = metrics.by("reason", "margin_marks_refused_total")
        return Picture(
            ticks=self._ticks(),
            ticks_per_second=self._rate(lambda sample: sample.ticks),
            events=log.counts.total(),
            events_per_second=self._rate(lambda sample: sample.events),
            fills=int(inputs.get(self._settings.topic_fills, 0)),
            ledger_entries=int(inputs.get(self._settings.topic_ledger, 0)),
            events_by_type={kind: log.counts[kind] for kind in EventType if log.counts[kind]},
            marks_refused={reason: int(count) for reason, count in sorted(refused.items())},
            quarantined=int(metrics.total("margin_quarantined_total")),
            latency_p50_seconds=metrics.quantile(LATENCY, 0.5),
            latency_p99_seconds=metrics.quantile(LATENCY, 0.99),
            accounts_by_band={band: int(bands.get(band, 0)) for band in Band},
            accounts_degraded=int(metrics.total("margin_accounts_degraded")),
            breakers_open=int(metrics.total("margin_breaker_open")),
            liquidations_held=int(metrics.total("margin_liquidations_held")),
            lag_records=int(metrics.total("margin_consumer_lag_records")),
            outbox_pending=int(metrics.total("margin_outbox_pending")),
            prices=self._prices,
            newest=tuple(log.newest),
            events_missed=log.missed,
        )

    async def _sample(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                await self._metrics.scrape(session)
                with suppress(RedisError):  # away for a moment: the last prices stay
                    self._follow_prices(await self._store.marks(shard=0))
                self._samples.append(_Sample(time.monotonic(), self._ticks(), self._log.counts.total()))
                await asyncio.sleep(SAMPLE_SECONDS)

    def _follow_prices(self, marks: dict[str, bytes]) -> None:
        for symbol, data in marks.items():
            price = msgspec.json.decode(data, type=Mark).price
            track = self._prices.get(symbol)
            if track is None:
                track = PriceTrack(price, price, deque(maxlen=HISTORY_POINTS_MAX))
                self._prices[symbol] = track
            track.last = price
            track.history.append(float(price))

    def _ticks(self) -> int:
        accepted = self._metrics.of_each_worker("margin_marks_accepted_total")
        refused = self._metrics.of_each_worker("margin_marks_refused_total")
        return int(max(a + r for a, r in zip(accepted, refused, strict=True)))

    def _rate(self, count: Callable[[_Sample], int]) -> float:
        if len(self._samples) < 2:  # noqa: PLR2004 - a rate lies between two points
            return 0.0
        first, last = self._samples[0], self._samples[-1]
        return (count(last) - count(first)) / (last.at - first.at)
