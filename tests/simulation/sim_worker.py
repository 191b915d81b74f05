"""A worker as `streams.worker.serving` builds it, of one shard, without Faust: what the group tells it the scenario tells it here."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import copy_context
from functools import partial
from typing import NamedTuple

from engine.book.columnar_book import ColumnarBook
from engine.inputs import Topic
from engine.marks.instants import MarksRecord
from engine.marks.mark_book import MarkBook
from engine.policy import Policy
from engine.rejections import Rejection
from streams.contract.codec import decode_prices
from streams.contract.commit import Lane
from streams.kafka.log_reader import LogReader
from streams.kafka.topic_identity import TopicIdentity
from streams.observe.cascade import Cascade
from streams.observe.metrics import Metrics
from streams.outbox.relays import OutboxRelays
from streams.shards.account_copies import AccountCopies, CopyPace
from streams.shards.commit_queue import CommitQueue
from streams.shards.crash import crash_only
from streams.shards.giving_way import AfterPrices
from streams.shards.price_watch import PriceWatch
from streams.shards.processor import ShardProcessor
from streams.shards.shard import ShardRunner
from streams.shards.shard_parts import ShardParts
from streams.shards.shard_standing import Standing
from streams.shards.shards import Shards
from streams.shards.snapshot_writer import SnapshotWriter
from streams.shards.succession import Succession
from streams.store.shard_follower import ShardFollower
from streams.store.shard_store import ShardStore
from streams.worker.worker_loops import BEAT_SECONDS, CLOCK_SECONDS, LOGS_SECONDS
from tests.simulation.seeded_loop import PROCESS, Process, SeededLoop
from tests.simulation.sim_kafka import COPIES_TOPIC, Broker, Consumer, LogEndsOf, Producer
from tests.simulation.sim_redis import RedisClient

SHARD = 0
TOPICS = {topic: topic.value for topic in Topic}
SNAPSHOT_SECONDS = 2.0
COPIED_WITHIN_SECONDS = 1.0
COPIED_BYTES_PER_SECOND = 64 * 1024
PRICE_RECORDS_MAX = 8
LOST_WAKES = 0.1
"""Of the agents' wake-ups, as at a rebalance."""


class Surroundings(NamedTuple):
    """What all workers share."""

    loop: SeededLoop
    rng: random.Random
    policy: Policy
    broker: Broker
    redis: RedisClient


class SimLogReader(LogReader):
    """It is always the same topic."""

    async def identity(self, _: str) -> TopicIdentity:
        """As of a broker that never loses one."""
        return TopicIdentity("same", 1)


class SimWorker(Process):
    """One process."""

    def __init__(self, name: str, around: Surroundings, clock_ns: Callable[[], int]) -> None:
        """`clock_ns` is its wall clock."""
        super().__init__(name)
        self._around, self._clock_ns = around, clock_ns
        self.ended = ""
        """Why it ended by itself."""
        self.tasks: list[asyncio.Task[None]] = []
        policy, self._metrics = around.policy, Metrics()
        self._marks, self._turn, self._ready = MarkBook(policy), asyncio.Lock(), asyncio.Event()
        self._loading, self._snapshot_turn = asyncio.Lock(), asyncio.Lock()
        self._copy_pace = CopyPace(COPIED_BYTES_PER_SECOND)
        self._watch = PriceWatch(policy, self._marks)
        self._priced = 0
        self.shards = Shards(
            self._built,
            self._marks,
            self._watch,
            self._metrics,
            self._turn,
            priced_until_ns=self._priced_until_ns,
            shutdown_seconds=5,
        )

    def start(self) -> None:
        """Run all of it as a process of its own."""
        for body in (self._prices, self._clock, self._beats, self._looks):
            self.do(crash_only(body)())

    def do(self, work: object) -> None:
        """Have this process do something."""
        context = copy_context()
        context.run(PROCESS.set, self)
        self.tasks.append(self._around.loop.create_task(work, context=context))  # type: ignore[arg-type]

    def _built(self, shard: int) -> ShardRunner:
        policy, broker, rng, redis = (
            self._around.policy,
            self._around.broker,
            self._around.rng,
            self._around.redis,
        )
        store = ShardStore(redis, shard, self.name, self._metrics)  # type: ignore[arg-type]
        processor = ShardProcessor(
            shard,
            policy,
            ColumnarBook(policy),
            partition_of=lambda _: SHARD,
            topics=TOPICS,
            quarantine_topic="quarantine",
            source="/simulation",
        )

        @asynccontextmanager
        async def open_log(*, committed: bool = True) -> AsyncIterator[LogReader]:
            await broker.trip()
            yield SimLogReader(Consumer(broker, rng, committed=committed))  # type: ignore[arg-type]

        producers = {lane: Producer(broker, rng) for lane in Lane}
        relays = OutboxRelays(store, producers, self._metrics, self._clock_ns, broker.raise_epoch)  # type: ignore[arg-type]
        relays._licence._clock_s = self._around.loop.time
        parts = ShardParts(
            processor=processor,
            store=store,
            relays=relays,
            queue=CommitQueue(),
            standing=Standing(),
            marks=self._marks,
            topics=TOPICS,
            log_ends=LogEndsOf(broker, TOPICS),  # type: ignore[arg-type]
            open_log=open_log,
            open_whole_log=partial(open_log, committed=False),
            open_inputs=open_log,
            turn=self._turn,
            cascade=Cascade(policy, self._marks, self._metrics),
            metrics=self._metrics,
        )
        return ShardRunner(
            parts,
            self._watch,
            self._ready,
            priced_until_ns=self._priced_until_ns,
            after_prices=AfterPrices(self._turn, lambda: 0),
            loading=self._loading,
            snapshots=SnapshotWriter(
                processor, store, self._snapshot_turn, self._metrics, every_seconds=SNAPSHOT_SECONDS
            ),
            copies=AccountCopies(
                parts, self._copy_pace, topic=COPIES_TOPIC, within_seconds=COPIED_WITHIN_SECONDS
            ),
            succession=Succession(
                processor,
                store,
                ShardFollower(redis, shard, "unimargin"),  # type: ignore[arg-type]
                patience_seconds=None,
            ),
            partitions=1,
            wake=self._wake,
        )

    async def _wake(self, topic: Topic) -> None:
        if self._around.rng.random() >= LOST_WAKES:
            self._around.loop.call_soon(partial(self.shards.hand_over, topic))

    def _priced_until_ns(self) -> int:
        entries = self._around.broker.partition("prices").entries
        now_ns = self._clock_ns()
        return min(now_ns, entries[self._priced].timestamp * 10**6) if self._priced < len(entries) else now_ns

    async def _prices(self) -> None:
        entries = self._around.broker.partition("prices").entries
        while True:
            await self._around.broker.trip()
            while self._priced < len(entries):
                async with self._turn:
                    instants = []
                    for entry in entries[self._priced : self._priced + PRICE_RECORDS_MAX]:
                        marks = decode_prices(entry.value)
                        assert not isinstance(marks, Rejection)
                        instant, _ = self._marks.accept(
                            MarksRecord(marks, SHARD, entry.offset), entry.timestamp * 10**6
                        )
                        instants += [] if instant is None else [instant]
                        self._priced += 1
                    await self.shards.on_instants(instants)
            self._ready.set()
            await asyncio.sleep(self._around.rng.uniform(0.01, 0.08))

    async def _clock(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_SECONDS)
            await self.shards.on_clock()
            await self.shards.renew()

    async def _beats(self) -> None:
        while True:
            await self.shards.beat()
            await asyncio.sleep(BEAT_SECONDS)

    async def _looks(self) -> None:
        while True:
            await asyncio.sleep(LOGS_SECONDS)
            await self.shards.look_at_logs()
