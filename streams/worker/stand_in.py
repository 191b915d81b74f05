"""A standby's place: outside of the group, behind the owner of every shard.

Why outside: a member without shards would need an assignor of its own, would stop every other member at its start and its end
(rebalances are eager), and could still be given nothing before the session of the dead had run out.
"""

import asyncio

from engine.inputs import Topic
from streams.prices.price_desk import PriceDesk
from streams.prices.price_reader import PriceReader
from streams.shards.crash import crash_only
from streams.shards.shards import Shards


class StandIn:
    """Follows every shard; the runners see for themselves when an owner is gone."""

    def __init__(self, shards: Shards, desk: PriceDesk, shard_count: int) -> None:
        """Nothing is followed before `start`."""
        self._shards, self._desk, self._shard_count = shards, desk, shard_count
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def wake(self) -> None:
        """Have the prices taken that wait."""
        self._woken.set()

    async def wake_inputs(self, topic: Topic) -> None:
        """Have the inputs of a topic taken that wait."""
        self._shards.hand_over(topic)

    async def start(self, reader: PriceReader) -> None:
        """Follow the shards, and keep the prices that `reader` reads."""
        await self._shards.assigned(set(range(self._shard_count)))
        self._task = asyncio.create_task(crash_only(self._take_prices)(reader))

    async def stop(self) -> None:
        """Take no more prices."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _take_prices(self, reader: PriceReader) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            for records in reader.take():
                await self._desk.on_records(records, reader.batches_waiting, reader.polled_ns)
                await asyncio.sleep(0)
