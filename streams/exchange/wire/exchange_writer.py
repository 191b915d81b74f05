"""The exchange's side of Kafka: account inputs by key, prices by symbol, its insurance fund."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from engine.inputs import AccountInput, FillsInput, Mark, MarkBatch
from engine.liquidation.fund_groups import FundBalance
from streams.config.settings import Settings
from streams.exchange.feed_errors import BrokerError
from streams.kafka.clients import producer
from streams.kafka.topic_access import broker_words

INPUT_LINGER_MS = 20
"""Account inputs travel in full batches: a broker in memory hands out one batch a fetch, and a seeding feed that sends
as fast as it can would fill it with crumbs. Prices do not wait."""


class Writer:
    """Encodes and sends; the first failed delivery is raised at the next call."""

    def __init__(
        self,
        prices: AIOKafkaProducer,
        inputs: AIOKafkaProducer,
        settings: Settings,
        marks_per_record: int | None,
    ) -> None:
        self._prices, self._inputs = prices, inputs
        self._settings, self._marks_per_record = settings, marks_per_record
        self._encode = msgspec.json.Encoder().encode
        self._failure: BaseException | None = None
        self._price_partitions: list[int] = []

    async def prepare(self) -> None:
        """Learn the partitions of `prices`. Raises `KafkaError` when the topic cannot be had."""
        partitions = await self._prices.partitions_for(self._settings.topic_prices)
        self._price_partitions = sorted(partitions)

    async def account_input(self, message: AccountInput) -> "asyncio.Future[Any]":
        """Send a fill or ledger entry; the future gives where it lies once it is acknowledged."""
        topic = self._settings.topic_fills if isinstance(message, FillsInput) else self._settings.topic_ledger
        return await self._send(self._inputs, topic, self._encode(message), message.account.encode(), None)

    async def fund(self, fund: FundBalance) -> None:
        """State what the insurance fund has."""
        await self._send(
            self._inputs, self._settings.topic_fund, self._encode(fund), fund.group.encode(), None
        )

    async def marks(self, marks: Sequence[Mark]) -> None:
        """Send marks in this order: as one instant, or one by one, or in batches, as the writer was told.

        A record is an instant. Whole instants share one partition: only there do they stay in order for every symbol.
        """
        if self._marks_per_record is None:
            if marks:
                first = self._price_partitions[0]
                await self._send_marks(self._encode(MarkBatch(tuple(marks))), None, first)
            return
        if self._marks_per_record == 1:
            for mark in marks:
                await self._send_marks(self._encode(mark), mark.symbol.encode(), self._partition(mark.symbol))
            return
        by_partition: dict[int, list[Mark]] = {}
        for mark in marks:
            by_partition.setdefault(self._partition(mark.symbol), []).append(mark)
        for partition, together in by_partition.items():
            for first in range(0, len(together), self._marks_per_record):
                batch = MarkBatch(tuple(together[first : first + self._marks_per_record]))
                await self._send_marks(self._encode(batch), None, partition)

    async def flush(self) -> None:
        """Return once everything sent is acknowledged."""
        await self._inputs.flush()
        await self._prices.flush()
        self._raise_failure()

    def _partition(self, symbol: str) -> int:
        """The partition that Kafka's own partitioner gives the symbol as a key."""
        hashed: int = murmur2(symbol.encode()) & 0x7FFFFFFF
        return self._price_partitions[hashed % len(self._price_partitions)]

    async def _send_marks(self, value: bytes, key: bytes | None, partition: int) -> None:
        await self._send(self._prices, self._settings.topic_prices, value, key, partition)

    async def _send(
        self, connection: AIOKafkaProducer, topic: str, value: bytes, key: bytes | None, partition: int | None
    ) -> "asyncio.Future[Any]":
        self._raise_failure()
        delivery: asyncio.Future[Any] = await connection.send(topic, value, key, partition)
        delivery.add_done_callback(self._delivered)
        return delivery

    def _delivered(self, delivery: "asyncio.Future[Any]") -> None:
        if not delivery.cancelled() and self._failure is None:
            self._failure = delivery.exception()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


@asynccontextmanager
async def open_writer(settings: Settings, marks_per_record: int | None) -> AsyncIterator[Writer]:
    """A writer whose producers run; what was sent is delivered at the end. `marks_per_record` None: whole instants.

    Raises `BrokerError` when the broker cannot be used, then or later.
    """
    prices = producer(settings)
    inputs = producer(settings, linger_ms=INPUT_LINGER_MS)
    try:
        try:
            await prices.start()
            await inputs.start()
            writer = Writer(prices, inputs, settings, marks_per_record)
            await writer.prepare()
            yield writer
        finally:
            await inputs.stop()  # delivers what is still on its way
            await prices.stop()
    except KafkaError as error:
        raise BrokerError(await broker_words(settings, error)) from error
