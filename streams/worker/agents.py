"""The Faust agents: thin on purpose. Each takes raw bytes off a stream and hands them on.

Concurrency is 1 everywhere: with more, a kill loses records that a faster sibling's acknowledgement passed over.
"""

import asyncio
from typing import Any

import faust

from engine.inputs import Topic
from streams.contract.record import Record, taken_in_ns
from streams.prices.price_desk import PriceDesk
from streams.prices.price_reader import PriceReader
from streams.shards.crash import crash_only
from streams.shards.inbox import Offered
from streams.shards.shards import Shards


def add_input_agent(app: faust.App, topic: Topic, name: str, shards: Shards) -> None:
    """Consume one account-keyed topic: every record goes to its shard, which acknowledges it after its commit."""

    @crash_only
    async def on_inputs(stream: Any) -> None:
        async for event in stream.noack().events():
            message = event.message
            # Faust turns the log's milliseconds into seconds
            stamp_ms = None if message.timestamp is None else message.timestamp * 1000
            record = Record(message.offset, message.key, message.value, taken_in_ns(stamp_ms))
            await shards.offer(message.partition, Offered(topic, record, event.ack))

    source = app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    app.agent(source, name=f"on_{topic}", concurrency=1)(on_inputs)


def add_marks_agent(app: faust.App, channel: Any, reader: PriceReader, desk: PriceDesk) -> None:
    """Judge the batches of price records that wait whenever the price reader wakes us through `channel`."""

    @crash_only
    async def on_marks(stream: Any) -> None:
        async for _ in stream:
            for records in reader.take():
                await desk.on_records(records, reader.batches_waiting)
                await asyncio.sleep(
                    0
                )  # commits, events and inputs have their turn after a batch that says nothing

    app.agent(channel, name="on_marks", concurrency=1)(on_marks)
