"""The simulated exchange on Kafka: it sends marks and inputs, hears what the engine says, and keeps its own books.

Life of a run
-------------
1. topics that hold an exchange already are read again (`restart.py`); else every account is opened, ledger entries first, then
   fills, as `unimargin feed` does
2. the market moves, a step at its time; what it writes is sent, and the broker's answers tell where each message lies
3. events come in through a reader outside any group: liquidations from the first one on (what was executed before is known
   by its tag), margin events from now on
4. once a second, and at the end, it states what its insurance fund has, where the settings have a topic for that
5. at the end the market stands still until no pool is in liquidation, its prices have stood for a while, and the engine has been
   silent for as long
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from engine.events.effects import Stream
from engine.inputs import AccountInput, FillsInput
from engine.rejections import Rejection
from streams.config.settings import Settings
from streams.contract.cloudevents import Event
from streams.contract.published_event import decode_event
from streams.exchange.clearing.input_desk import topic_of
from streams.exchange.simulation import Simulation
from streams.exchange.simulation_report import SimulationSummary, summarised
from streams.exchange.wire.exchange_writer import Writer, open_writer
from streams.exchange.wire.feed import PACE_SECONDS_MAX, REPEAT_SECONDS, SEEDED_PER_LOOK
from streams.exchange.wire.fund_statement import fund_statement
from streams.exchange.wire.restart import resumed
from streams.exchange.wire.taken_in import until_taken_in
from streams.kafka.clients import open_reader, partition_counts

QUIET_SECONDS, SETTLE_SECONDS_MAX = 3.0, 120.0
"""How long prices and the engine must have stood at the end, and how long that is waited for at most: a worker that was killed is
replaced meanwhile; an engine that is gone, or waits for a person, is not waited for for ever."""
POLL_MS = 100
SETTLE_INPUTS_SECONDS = 1.0
"""Pause between the opening ledger entries and fills: workers read the two topics in no fixed order."""

_log = structlog.get_logger()


class LiveOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the market is played."""

    source: str
    speed: float | None = 1.0
    """Seconds of the market per second; None: as fast as it goes."""
    await_workers: bool = False
    """Let the market move only when the workers' group has taken in every account."""


class Live:
    """One run. Cancel `run` to end it early: what was sent is delivered, `summary` is true."""

    def __init__(
        self,
        settings: Settings,
        simulation: Simulation,
        options: LiveOptions,
        on_progress: Callable[[SimulationSummary], None] = lambda _: None,
    ) -> None:
        """Nothing is connected before `run`. `on_progress` is called about once a second and at each change of phase."""
        self._settings, self._simulation, self._options = settings, simulation, options
        self._on_progress = on_progress
        self._phase = "seeding"
        self._late_seconds_max = 0.0
        self._heard: deque[Event] = deque()
        self._heard_at = self._told_at = self._moved_at = 0.0

    def summary(self, *, cascade: bool = False) -> SimulationSummary:
        """What has happened until now."""
        return summarised(
            self._simulation,
            self._options.source,
            self._phase,
            late_seconds_max=round(self._late_seconds_max, 3),
            cascade=cascade,
        )

    async def run(self) -> None:
        """Open the exchange and play the market to its end.

        Raises `BrokerError` when the broker cannot be used, `FeedError` where its topics hold another exchange, `NotConserved`.
        """
        fetch_wait_ms = self._settings.kafka_fetch_wait_ms
        async with (
            open_writer(self._settings, None) as writer,
            open_reader(self._settings, fetch_max_wait_ms=fetch_wait_ms) as consumer,
        ):
            await self._seek(consumer)
            hearing = asyncio.create_task(self._hear(consumer))
            try:
                began = await self._open(writer)
                await self._move(writer, hearing, began)
            finally:
                hearing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await hearing
        self._enter("ended")

    async def _open(self, writer: Writer) -> float:
        """Open every account, or take up the exchange that is there; return the second at which the market goes on."""
        self._enter("seeding")
        second = await resumed(self._settings, self._simulation, self._options.speed or 1.0)
        await writer.marks(self._simulation.start_marks(time.time_ns()))
        later = await self._send_opening(writer)
        if later:
            await self._repeating(writer, SETTLE_INPUTS_SECONDS)
        for number, message in enumerate(later, 1):
            await self._send(writer, message)
            await self._look(writer, number)
        await writer.flush()
        self._simulation.open(second)
        if self._options.await_workers:
            await until_taken_in(self._settings, lambda: self._repeat_when_due(writer))
        return second

    async def _send_opening(self, writer: Writer) -> list[AccountInput]:
        """Send the ledger entries of the opening; return its fills."""
        later: list[AccountInput] = []
        for number, message in enumerate(self._simulation.opening(time.time_ns()), 1):
            if isinstance(message, FillsInput):
                later.append(message)
            else:
                await self._send(writer, message)
            await self._look(writer, number)
        await writer.flush()
        return later

    async def _move(self, writer: Writer, hearing: "asyncio.Task[None]", second: float) -> None:
        """The market, a step at its time, until its end and until the engine has nothing more to say."""
        self._enter("moving")
        options = self._simulation.options
        step_seconds, speed = 1 / options.steps_per_second, self._options.speed
        began, first, steps = time.monotonic(), second, 0.0
        while not (second >= options.seconds and self._settled()):
            if hearing.done():
                hearing.result()
            steps += 1 / options.crowd(second)
            if speed is None and second < options.seconds:
                second += step_seconds / options.crowd(second)
                await asyncio.sleep(0)
            else:
                due = began + steps * step_seconds / (speed or 1.0)
                now = time.monotonic()
                if now > due:  # the schedule moves: the market has no burst to catch up
                    self._late_seconds_max = max(self._late_seconds_max, now - due)
                    steps = int((now - began) * (speed or 1.0) / step_seconds)
                await asyncio.sleep(max(due - now, 0.0))
                second = max(second, first + (time.monotonic() - began) * (speed or 1.0))
            if second >= options.seconds:
                self._enter("settling")
            await self._step(writer, second)
        await self._state_fund(writer)
        await writer.flush()

    async def _step(self, writer: Writer, second: float) -> None:
        events = [self._heard.popleft() for _ in range(len(self._heard))]
        self._simulation.take(events)
        if not self._simulation.at_rest:
            self._moved_at = time.monotonic()
        said = self._simulation.step(second, time.time_ns())
        await writer.marks(said.marks)
        for message in said.inputs:
            await self._send(writer, message)
        if time.monotonic() - self._told_at >= REPEAT_SECONDS:
            await self._state_fund(writer)
            self._tell()

    async def _state_fund(self, writer: Writer) -> None:
        if self._settings.fund_topic_enabled:
            await writer.fund(fund_statement(self._simulation, time.time_ns()))

    def _settled(self) -> bool:
        """Whether nobody waits for the exchange and nothing moves, or it was waited for long enough."""
        last = max(self._heard_at, self._moved_at)
        quiet = self._simulation.at_rest and time.monotonic() - last > QUIET_SECONDS
        return self._phase == "settling" and (
            quiet or self._simulation.second > self._simulation.options.seconds + self._settle_max()
        )

    def _settle_max(self) -> float:
        return SETTLE_SECONDS_MAX * (self._options.speed or 1.0)

    async def _send(self, writer: Writer, message: AccountInput) -> None:
        delivery = await writer.account_input(message)
        topic = topic_of(message)

        def lies(done: "asyncio.Future[Any]") -> None:
            if not done.cancelled() and done.exception() is None:
                self._simulation.fence.acknowledged(message.account, topic, done.result().offset)

        delivery.add_done_callback(lies)

    async def _seek(self, consumer: AIOKafkaConsumer) -> None:
        counts = await partition_counts(self._settings, list(Stream))
        places = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
        consumer.assign(places)
        begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        for place in places:
            consumer.seek(place, (begins if place.topic == Stream.LIQUIDATIONS else ends)[place])

    async def _hear(self, consumer: AIOKafkaConsumer) -> None:
        """Take in events until cancelled."""
        while True:
            try:
                polled = await consumer.getmany(timeout_ms=POLL_MS)
            except OffsetOutOfRangeError as error:  # a broker in memory dropped the oldest
                await consumer.seek_to_beginning(*error.args[0])
                continue
            for records in polled.values():
                for record in records:
                    event = decode_event(record.value)
                    if isinstance(event, Rejection):  # the topic is open to others
                        _log.warning("foreign_event_passed_over", offset=record.offset, reason=event.code)
                    else:
                        self._heard.append(event)
                self._heard_at = time.monotonic()

    async def _look(self, writer: Writer, number: int) -> None:
        if number % SEEDED_PER_LOOK == 0:
            await self._repeat_when_due(writer)

    async def _repeating(self, writer: Writer, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await asyncio.sleep(PACE_SECONDS_MAX)
            await self._repeat_when_due(writer)

    async def _repeat_when_due(self, writer: Writer) -> None:
        """Keep the first prices fresh until the market moves."""
        if time.monotonic() - self._told_at >= REPEAT_SECONDS:
            await writer.marks(self._simulation.start_marks(time.time_ns()))
            self._tell()

    def _enter(self, phase: str) -> None:
        if phase != self._phase or phase == "seeding":
            self._phase = phase
            self._heard_at = time.monotonic()
            self._tell()

    def _tell(self) -> None:
        self._told_at = time.monotonic()
        self._on_progress(self.summary())
