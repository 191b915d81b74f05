"""One shard: takes it over, recovers it, and keeps {apply -> commit -> acknowledge -> publish} in order.

Its jobs are `TakingOver`, `InputSteps` (reading and applying), `Judging`, and `Committing` (which publishes as well); what they share is in
`ShardParts`. Records and judgements become `Commit` parts in the order in which they changed memory.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

import structlog
from redis.exceptions import RedisError

from engine.book.account_book import UnlistedHolding
from streams.contract.commit import Commit, Lane
from streams.shards.commit_queue import Acknowledge
from streams.shards.committing import Committing
from streams.shards.crash import crash_only
from streams.shards.giving_way import AfterPrices
from streams.shards.inbox import INBOX_RECORDS_MAX, Offered
from streams.shards.input_steps import InputSteps
from streams.shards.judging import Judging
from streams.shards.own_feed import feed_from_log
from streams.shards.shard_parts import ShardParts
from streams.shards.shard_standing import Condition, ShardStopped
from streams.shards.snapshot_writer import SnapshotWriter
from streams.shards.succession import Succession
from streams.shards.taking_over import TakingOver
from streams.store.redis_client import passes
from streams.store.shard_follower import TrailLost
from streams.store.shard_store import FenceLost

_log = structlog.get_logger()


class ShardRunner:
    """The life of one shard on this worker."""

    def __init__(
        self,
        parts: ShardParts,
        prices_ready: asyncio.Event,
        *,
        after_prices: AfterPrices,
        loading: asyncio.Lock,
        snapshots: SnapshotWriter,
        succession: Succession,
        feeds_itself: bool,
    ) -> None:
        """Wire the parts; nothing runs before `start`. `loading` is held while one shard of this worker loads.

        `feeds_itself`: inputs are read from the log, not offered.
        """
        self.processor = parts.processor
        self._parts, self._standing, self._prices_ready = parts, parts.standing, prices_ready
        self._store, self._relays, self._queue = parts.store, parts.relays, parts.queue
        self._turn, self._marks, self._metrics = parts.turn, parts.marks, parts.metrics
        self._snapshots, self._succession, self._feeds_itself = snapshots, succession, feeds_itself
        self._judging = Judging(parts, after_prices)
        self._inputs = InputSteps(parts, self._judging)
        self._taking_over = TakingOver(parts, self._inputs, self._judging, succession, loading)
        self._committing = Committing(parts, self._lose_fence)
        self.take, self.seek_reasons, self.operate = (
            self._judging.take,
            self._judging.seek_reasons,
            self._judging.operate,
        )
        self.count_evaluations = self._judging.count_evaluations
        self._owed: Sequence[Acknowledge] = ()
        self._trail_lost = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def condition(self) -> Condition:
        """What the shard is doing."""
        return self._standing.condition

    @property
    def stop_reason(self) -> str:
        """Why it is stopped; "" where it is not."""
        return self._standing.stop_reason

    @property
    def shard(self) -> int:
        """Partition number."""
        return self.processor.shard

    def start(self) -> None:
        """Begin taking over, in the background."""
        self._tasks = [asyncio.create_task(self._run())]

    def take_no_more(self) -> None:
        """No new records; the caller holds `turn`, so no judging is cut short."""
        if self._tasks:
            self._tasks[0].cancel()

    async def stop(self, *, within_seconds: float) -> None:
        """Finish what is in memory (bounded), then stop. Nothing is lost if the bound is hit."""
        if self._standing.condition is Condition.RUNNING:
            try:
                async with asyncio.timeout(within_seconds):
                    await self._queue.idle()
                    await self._relays.drained()
            except TimeoutError:
                _log.warning("shard_stop_unfinished", shard=self.shard)
        self._standing.condition = Condition.STOPPED
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._inputs.forget()
        self._judging.forget()

    async def holds_fence(self) -> bool:
        """Whether nobody has taken the shard over since."""
        return await self._store.holds_fence()

    async def may_return(self) -> bool:
        """Whether this worker should go on with the shard that it has lost."""
        lost = self._standing.condition is Condition.FENCED
        return lost and (self._trail_lost or await self._succession.may_return())

    def owed(self) -> list[Acknowledge]:
        """What Faust waits to hear of records that this runner, now stopped, was given: its successor has to tell it.

        A hole would keep the group's offsets where they are for as long as the assignment lasts.
        """
        return [*self._owed, *self._queue.unacknowledged(), *self._inputs.unapplied()]

    def owe(self, calls: Sequence[Acknowledge]) -> None:
        """Tell Faust so once the shard runs: all these records are in the log that it has caught up with by then."""
        self._owed = calls

    @property
    def known_s(self) -> float:
        """When a standby last knew all that was committed (monotonic clock)."""
        return self._succession.known_s

    async def beat(self) -> None:
        """Say that the shard's owner lives, if that is us. Not said is not lost: nothing is repeated."""
        if not self._store.owned or self._standing.condition is Condition.FENCED:
            return
        try:
            await self._store.beat()
        except FenceLost:
            self._lose_fence()
        except (RedisError, OSError) as error:
            if not passes(error):
                raise

    async def offer(self, offered: Offered) -> None:
        """Take a record from Faust; waits while the inbox is full. A stopped shard never acknowledges.

        One that was lost may have a successor here that will, so it keeps what it has room for.
        """
        if self._standing.condition in {Condition.RECOVERING, Condition.RUNNING} or (
            self._standing.condition is Condition.FENCED
            and self._inputs.inbox.waiting(offered.topic) < INBOX_RECORDS_MAX
        ):
            await self._inputs.inbox.put(offered)

    def take_along(self, part: Commit) -> bool:
        """Commit something that belongs to no account with the next commit; False if this shard commits nothing."""
        if self._standing.condition is Condition.RUNNING:
            self._queue.add([part])
        return self._standing.condition is Condition.RUNNING

    async def save_marks(self, marks: Mapping[str, bytes]) -> None:
        """Keep the newest marks (by symbol) in Redis: what queries value accounts with, and a new owner starts from."""
        if self._standing.condition is Condition.RUNNING:
            await self._store.save_marks(marks)

    @crash_only
    async def _run(self) -> None:
        self._standing.began_s = time.monotonic()
        self._tasks += [
            asyncio.create_task(self._committing.commit_parts()),
            asyncio.create_task(self._judging.explain()),
            *(asyncio.create_task(self._committing.publish(lane)) for lane in Lane),
        ]
        try:
            await self._taking_over.take_over()
        except (ShardStopped, UnlistedHolding) as stop:
            self._standing.condition, self._standing.stop_reason = Condition.STOPPED, str(stop)
            _log.critical("shard_stopped", shard=self.shard, reason=str(stop))
            return
        except TrailLost as lost:
            self._standing.condition, self._trail_lost = Condition.FENCED, True
            _log.warning("shard_trail_lost", shard=self.shard, reason=str(lost))
            return
        await self._prices_ready.wait()
        async with self._turn:
            await self._judging.say(self.processor.start_judging(self._marks.prices))
            self._standing.condition = Condition.RUNNING
        self._tasks.append(asyncio.create_task(self._keep_snapshot()))
        self._queue.acknowledge(self._owed)
        self._owed = ()
        took_s = time.monotonic() - self._standing.began_s
        self._metrics.recovery_seconds.observe(took_s)
        _log.info("shard_running", shard=self.shard, seconds=round(took_s, 3))
        if self._feeds_itself:
            self._tasks.append(asyncio.create_task(self._feed()))
        await self._inputs.run()

    @crash_only
    async def _feed(self) -> None:
        await feed_from_log(
            self._parts.open_log,
            self.shard,
            self._parts.topics,
            self.processor.watermarks,
            self._inputs.inbox.put,
        )

    @crash_only
    async def _keep_snapshot(self) -> None:
        await self._snapshots.run(self._queue.durable)

    def _lose_fence(self) -> None:
        """Another worker owns the shard: nothing that we still hold may become durable, so nobody need wait for it."""
        self._standing.condition = Condition.FENCED
        self.processor.judging = False
        self._tasks[0].cancel()
        self._queue.give_up()
        _log.warning("shard_fenced", shard=self.shard)
