"""One shard: takes it over, recovers it, and keeps {apply -> commit -> acknowledge -> publish} in order.

Its jobs are `TakingOver`, `InputReader`, `InputSteps` (which applies what was read), `Judging`, and `Committing` (which publishes as well); what they share is in
`ShardParts`. Records and judgements become `Commit` parts in the order in which they changed memory.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

import structlog
from aiokafka.errors import OffsetOutOfRangeError
from redis.exceptions import RedisError

from engine.inputs import Topic
from engine.marks.mark_book import Prices
from engine.policy import Policy
from streams.contract.commit import Commit, Lane
from streams.kafka.log_reader import Uncommitted
from streams.shards.account_copies import AccountCopies
from streams.shards.committing import Committing
from streams.shards.crash import crash_only
from streams.shards.giving_way import AfterPrices
from streams.shards.input_reader import InputReader, Wake
from streams.shards.input_steps import InputSteps
from streams.shards.judging import Judging
from streams.shards.log_memory import LogMemory
from streams.shards.price_watch import PriceWatch
from streams.shards.rebuilding import Rebuilding
from streams.shards.refused_events import RefusedEvents
from streams.shards.shard_parts import ShardParts
from streams.shards.shard_standing import Condition, ShardStopped
from streams.shards.snapshot_writer import SnapshotWriter
from streams.shards.succession import Succession
from streams.shards.taking_over import TakingOver
from streams.store.redis_client import passes
from streams.store.shard_follower import TrailLost
from streams.store.shard_ownership import FenceLost, ShardLost

_log = structlog.get_logger()


class ShardRunner:
    """The life of one shard on this worker."""

    def __init__(
        self,
        parts: ShardParts,
        watch: PriceWatch,
        prices_ready: asyncio.Event,
        *,
        priced_until_ns: Callable[[], int],
        after_prices: AfterPrices,
        loading: asyncio.Lock,
        snapshots: SnapshotWriter,
        copies: AccountCopies,
        succession: Succession,
        partitions: int,
        wake: Wake,
    ) -> None:
        """Wire the parts; nothing runs before `start`. `loading` is held while one shard of this worker loads.

        `partitions` is what accounts are assigned by; `wake` has what was read of a topic handed over, as soon as there is a turn for it.
        """
        self.processor = parts.processor
        self._parts, self._standing, self._prices_ready = parts, parts.standing, prices_ready
        self._watch, self._priced_until_ns = watch, priced_until_ns
        self._store, self._relays, self._queue = parts.store, parts.relays, parts.queue
        self._turn, self._metrics = parts.turn, parts.metrics
        self._snapshots, self._copies, self._succession = snapshots, copies, succession
        self._judging = Judging(parts, after_prices)
        self._memory = memory = LogMemory(self.shard, parts.topics, partitions)
        self._reader = InputReader(parts.open_inputs, self.shard, parts.topics, wake)
        self._inputs = InputSteps(parts, self._judging, self._reader, memory)
        rebuilding = Rebuilding(
            parts.processor.identity,
            parts.store,
            parts.log_ends,
            parts.open_log,
            parts.topics,
            topic=copies.topic,
        )
        self._taking_over = TakingOver(
            parts,
            self._inputs,
            self._judging,
            memory,
            succession,
            loading,
            self._begin_reading,
            rebuilding,
        )
        self._committing = Committing(parts, copies, self._lose)
        self._refused = RefusedEvents(parts.processor, parts.queue, parts.turn, parts.metrics, copies)
        parts.relays.pass_over(self._refused.pass_over)
        self.take, self.seek_reasons, self.operate = (
            self._judging.take,
            self._judging.seek_reasons,
            self._judging.operate,
        )
        self.count_evaluations = self._judging.count_evaluations
        self._returns = False
        """Whether the shard, which was lost, is to be begun anew whoever has it."""
        self._reading: asyncio.Task[None] | None = None
        self._explaining: asyncio.Task[None] | None = None
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
        """No new records, and no reasons: what is due is found by the next owner. The caller holds `turn`, so no judging is cut short."""
        for task in (*self._tasks[:1], self._explaining, self._reading):
            if task is not None:
                task.cancel()

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
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._inputs.forget()
        self._copies.forget()
        self._judging.forget()

    async def rule_by(self, policy: Policy, prices: Prices) -> None:
        """Judge by another policy from now on. The caller holds `turn`; a shard that does not run yet comes to it when it does."""
        self._parts.cascade.rule_by(policy)
        if self._standing.condition is Condition.RUNNING:
            await self._judging.say(self.processor.rule_by(policy, prices))

    async def holds_fence(self) -> bool:
        """Whether nobody has taken the shard over since."""
        return await self._store.holds_fence()

    async def may_return(self) -> bool:
        """Whether this worker should go on with the shard that it has lost."""
        lost = self._standing.condition is Condition.FENCED
        return lost and (self._returns or await self._succession.may_return())

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
        except ShardLost as lost:
            self._lose(lost)
        except (RedisError, OSError) as error:
            if not passes(error):
                raise

    def hand_over(self, topic: Topic) -> None:
        """Take what was read of `topic`."""
        self._reader.hand_over(topic)

    def uncommitted(self, topic: Topic) -> Uncommitted:
        """What of `topic` waits for an open transaction, as far as is known."""
        return self._reader.uncommitted(topic)

    @property
    def durable(self) -> Mapping[Topic, int]:
        """Topic -> offset below which every input is durable; empty before anything was applied."""
        return self._standing.durable

    async def look_at_logs(self) -> None:
        """Stop visibly where the logs are not those any more that the accounts were built from."""
        if self.condition is Condition.RUNNING:
            try:
                await self._inputs.look()
            except ShardStopped as stop:
                self._stop_visibly(str(stop))

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
        self._explaining = asyncio.create_task(self._judging.explain())
        self._tasks += [
            self._explaining,
            asyncio.create_task(self._committing.commit_parts()),
            *(asyncio.create_task(self._committing.publish(lane)) for lane in Lane),
        ]
        try:
            await self._taking_over.take_over()
            await self._prices_ready.wait()
            async with self._turn:
                await self._judging.say(self._watch.join(self.processor, self._priced_until_ns()))
                self._standing.condition = Condition.RUNNING
            self._refused.begin()
            self._tasks.append(asyncio.create_task(self._keep_snapshot()))
            self._tasks.append(asyncio.create_task(self._copies.run(self._queue.durable, self._memory)))
            took_s = time.monotonic() - self._standing.began_s
            self._metrics.recovery_seconds.observe(took_s)
            _log.info("shard_running", shard=self.shard, seconds=round(took_s, 3))
            self._reader.recovering = False
            await self._inputs.run()
        except ShardStopped as stop:
            self._stop_visibly(str(stop))
        except ShardLost as lost:
            self._lose(lost)
        except TrailLost as lost:
            self._standing.condition, self._returns = Condition.FENCED, True
            _log.warning("shard_trail_lost", shard=self.shard, reason=str(lost))

    def _begin_reading(self) -> None:
        self._reading = asyncio.create_task(self._read())
        self._tasks.append(self._reading)

    @crash_only
    async def _read(self) -> None:
        while True:
            try:
                await self._reader.run(self.processor.watermarks)
            except OffsetOutOfRangeError as error:
                _log.warning("input_offset_out_of_range", shard=self.shard, error=repr(error))
            try:
                await self._taking_over.check_begins()
                await self._inputs.look()
            except ShardStopped as stop:
                self._stop_visibly(str(stop))
                return

    def _stop_visibly(self, reason: str) -> None:
        """Data is missing: nothing more is read, applied or judged here until an operator has acted."""
        self._standing.condition, self._standing.stop_reason = Condition.STOPPED, reason
        self.processor.judging = False
        self.take_no_more()
        _log.critical("shard_stopped", shard=self.shard, reason=reason)

    @crash_only
    async def _keep_snapshot(self) -> None:
        await self._snapshots.run(self._queue.durable)

    def _lose(self, lost: ShardLost) -> None:
        """Nothing that we still hold may become durable, or be published, so nobody need wait for it.

        Where Redis was rewound nobody else may know that the shard is to be taken over: we do, if it is still ours by the group.
        """
        returns = not isinstance(lost, FenceLost)
        if self.condition is Condition.FENCED or not self._tasks:
            # a beat, a commit and a round may each have waited for the answer that tells it; a beat's may come after the end
            self._returns = self._returns and returns
            return
        self._standing.condition, self._returns = Condition.FENCED, returns
        self.processor.judging = False
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self._queue.give_up()
        _log.warning("shard_fenced", shard=self.shard, reason=str(lost), returns=self._returns)
