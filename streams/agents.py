"""The Faust agents: thin on purpose. Each takes raw bytes off a stream and hands them on.

Concurrency is 1 everywhere: with more, a kill loses records that a faster sibling's acknowledgement passed over.
"""

import asyncio
from typing import Any

import faust

from engine.inputs import Topic
from streams.crash import crash_only
from streams.inbox import Offered
from streams.pricing import PriceDesk, PriceReader
from streams.processor import Record
from streams.shards import Shards


def add_input_agent(app: faust.App, topic: Topic, name: str, shards: Shards) -> None:
    """Consume one account-keyed topic: every record goes to its shard, which acknowledges it after its commit."""

    @crash_only
    async def on_inputs(stream: Any) -> None:
        async for event in stream.noack().events():
            message = event.message
            record = Record(message.offset, message.key, message.value)
            await shards.offer(message.partition, Offered(topic, record, event.ack))

    source = app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    app.agent(source, name=f"on_{topic}", concurrency=1)(on_inputs)


def add_marks_agent(app: faust.App, channel: Any, reader: PriceReader, desk: PriceDesk) -> None:
    """Judge the batches of price records that wait whenever the price reader wakes us through `channel`."""

    @crash_only
    async def on_marks(stream: Any) -> None:
        async for _ in stream:
            for records in reader.take():
                desk.on_records(records, reader.batches_waiting)
                await asyncio.sleep(0)  # commits, events and inputs have their turn between two batches

    app.agent(channel, name="on_marks", concurrency=1)(on_marks)
