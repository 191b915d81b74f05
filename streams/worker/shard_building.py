"""Building the shards of one worker: what they share is made once, and of all else each has its own."""

import asyncio
import time
from collections.abc import Mapping
from functools import partial

from aiokafka import AIOKafkaProducer

from engine.book.columnar_book import ColumnarBook
from engine.marks.mark_book import MarkBook
from streams.contract.commit import Lane
from streams.kafka.clients import account_partitioner
from streams.kafka.log_ends import LogEnds
from streams.kafka.log_reader import FOLLOW_WAIT_MS, open_log
from streams.kafka.producer_epochs import raise_shard_epoch
from streams.observe.cascade import Cascade
from streams.outbox.relays import OutboxRelays
from streams.prices.price_reader import PriceReader
from streams.shards.account_copies import AccountCopies, CopyPace
from streams.shards.commit_queue import CommitQueue
from streams.shards.giving_way import AfterPrices
from streams.shards.input_reader import Wake
from streams.shards.price_watch import PriceWatch
from streams.shards.processor import ShardProcessor
from streams.shards.shard import ShardRunner
from streams.shards.shard_parts import ShardParts
from streams.shards.shard_standing import Standing
from streams.shards.snapshot_writer import SnapshotWriter
from streams.shards.succession import Succession
from streams.store.shard_follower import Role, ShardFollower
from streams.store.shard_store import ShardStore
from streams.worker.policy_switch import PolicySwitch
from streams.worker.room import Room


class ShardBuilding:
    """What the shards share, and how one of them is built: after `attach`."""

    def __init__(
        self,
        room: Room,
        partitions: int,
        switch: PolicySwitch,
        marks: MarkBook,
        events: Mapping[Lane, AIOKafkaProducer],
        *,
        standby: bool,
    ) -> None:
        """`events` publish, by lane; `partitions` is what accounts are assigned by."""
        self._room, self._partitions, self._standby = room, partitions, standby
        self._switch, self._marks, self._events = switch, marks, events
        self.turn = asyncio.Lock()
        """Held while anybody on this worker judges."""
        self.prices_ready = asyncio.Event()
        """Whether prices have caught up."""
        self.watch = PriceWatch(switch.now.policy, marks)
        self.log_ends = LogEnds(room.settings, room.topics)
        self._loading, self._snapshot_turn = asyncio.Lock(), asyncio.Lock()
        self._copy_pace = CopyPace(room.settings.account_state_bytes_per_second)
        self._after_prices = AfterPrices(self.turn, lambda: self._price_reader.batches_waiting)

    def attach(self, price_reader: PriceReader, wake: Wake) -> None:
        """Who reads the prices, and who has what was read of an input topic handed over: made after this, before any shard."""
        self._price_reader, self._wake = price_reader, wake

    def priced_until_ns(self) -> int:
        """Up to when all prices were taken (wall clock, Unix ns)."""
        return self._price_reader.taken_until_ns(time.time_ns())

    def build(self, shard: int) -> ShardRunner:
        """One shard, which does nothing before it is started."""
        settings, metrics = self._room.settings, self._room.metrics
        store, processor = self._store(shard), self._processor(shard)
        parts = self._parts(processor, store)
        return ShardRunner(
            parts,
            self.watch,
            self.prices_ready,
            priced_until_ns=self.priced_until_ns,
            after_prices=self._after_prices,
            loading=self._loading,
            snapshots=SnapshotWriter(
                processor, store, self._snapshot_turn, metrics, every_seconds=settings.snapshot_seconds
            ),
            copies=AccountCopies(
                parts,
                self._copy_pace,
                topic=settings.topic_account_state if settings.account_state_minutes else "",
                within_seconds=60 * settings.account_state_minutes,
            ),
            succession=Succession(
                processor,
                store,
                ShardFollower(self._room.redis, shard, settings.redis_prefix),
                patience_seconds=settings.standby_patience_seconds if self._standby else None,
            ),
            partitions=self._partitions,
            wake=self._wake,
        )

    def _store(self, shard: int) -> ShardStore:
        settings = self._room.settings
        return ShardStore(
            self._room.redis,
            shard,
            settings.worker_id,
            self._room.metrics,
            prefix=settings.redis_prefix,
            role=Role.STANDBY if self._standby else Role.WORKER,
            retry_for_s=settings.redis_retry_seconds,
        )

    def _processor(self, shard: int) -> ShardProcessor:
        settings, policy = self._room.settings, self._switch.now.policy
        return ShardProcessor(
            shard,
            policy,
            ColumnarBook(policy),
            booking=self._switch.timeline.booking,
            partition_of=account_partitioner(self._partitions),
            topics=self._room.topics,
            quarantine_topic=settings.topic_quarantine,
            source=f"/unimargin/{settings.group}/{shard}",
            operator_topic=settings.topic_operator if settings.operator_topic_enabled else None,
        )

    def _parts(self, processor: ShardProcessor, store: ShardStore) -> ShardParts:
        settings, metrics, traces = self._room.settings, self._room.metrics, self._room.traces
        return ShardParts(
            processor=processor,
            store=store,
            relays=OutboxRelays(
                store, self._events, metrics, time.time_ns, partial(raise_shard_epoch, settings), traces
            ),
            queue=CommitQueue(),
            standing=Standing(),
            marks=self._marks,
            topics=self._room.topics,
            log_ends=self.log_ends,
            open_log=lambda: open_log(settings),
            open_whole_log=lambda: open_log(settings, committed=False),
            open_inputs=lambda: open_log(settings, fetch_wait_ms=FOLLOW_WAIT_MS),
            turn=self.turn,
            cascade=Cascade(processor.policy, self._marks, metrics),
            metrics=metrics,
            rulings=self._switch,
            traces=traces,
        )
