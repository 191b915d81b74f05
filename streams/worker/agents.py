"""The Faust agents: thin on purpose. Each is woken through a channel, takes the batches that wait, and hands them on.

The batches wait with who read them and not in the channels, which Faust clears at a rebalance: a lost wake-up is repeated.
"""

import asyncio
from typing import Any

import faust

from engine.inputs import Topic
from streams.prices.price_desk import PriceDesk
from streams.prices.price_reader import PriceReader
from streams.shards.crash import crash_only
from streams.shards.shards import Shards


def add_input_agent(app: faust.App, topic: Topic, channel: Any, shards: Shards) -> None:
    """Hand the batches of one account-keyed topic to their shards whenever a shard's reader wakes us through `channel`.

    It never waits for a shard: each has room for what its reader has read.
    """

    @crash_only
    async def on_inputs(stream: Any) -> None:
        async for _ in stream:
            shards.hand_over(topic)

    app.agent(channel, name=f"on_{topic}", concurrency=1)(on_inputs)


def add_marks_agent(app: faust.App, channel: Any, reader: PriceReader, desk: PriceDesk) -> None:
    """Judge the batches of price records that wait whenever the price reader wakes us through `channel`."""

    @crash_only
    async def on_marks(stream: Any) -> None:
        async for _ in stream:
            for records in reader.take():
                await desk.on_records(records, reader.batches_waiting, reader.polled_ns)
                await asyncio.sleep(
                    0
                )  # commits, events and inputs have their turn after a batch that says nothing

    app.agent(channel, name="on_marks", concurrency=1)(on_marks)
