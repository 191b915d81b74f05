"""Taking one shard over: from the fence to the point where its inputs are applied up to the end of their logs.

1. take the fence: from here on no older owner can write
2. load states, risk records and unpublished events, by a snapshot where one fits (`streams.store.snapshot_store`), one shard of a
   worker at a time, so that neither its loop nor Redis is held for long; before 1, where the owner is followed (`succession`). Where Redis
   holds nothing, it is put there first from the second copies of the accounts (`rebuilding`)
3. compare both input topics with what Redis remembers of them (`streams.shards.log_memory`): another topic, another number of partitions,
   a watermark below the log's first offset or beyond its end means lost data and the shard *stops visibly*, with nothing applied of
   either; otherwise the logs are read from the watermarks to their ends (from 0 when Redis holds nothing: it is new, or it was emptied and
   there are no copies)
4. have the broker shut out older owners (`streams.kafka.producer_epochs`); then read the event topics from the last position known
   to Redis (`read_back`): what was published but is not in Redis (it was rewound) is adopted, so that an event's identity never
   means two things. Nothing is published before that is durable. They are read beyond what is committed: a stranger's open transaction
   would hide what we have published behind it, never in one
5. when prices have caught up, judge every account, and run; what the breaker held is still held
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import nullcontext

import msgspec
import structlog

from engine.events.effects import Stream
from engine.inputs import Mark, Topic
from engine.ladder.breaker import BreakerState
from engine.liquidation.adl_risk import AdlState
from engine.strict_decoding import UNREADABLE, StrictDecoder
from streams.contract.commit import Commit, Lane
from streams.kafka.log_reader import LogReader
from streams.shards.giving_way import give_way
from streams.shards.input_steps import RECOVER_RECORDS_MAX, InputSteps
from streams.shards.judging import Judging
from streams.shards.log_memory import LogMemory
from streams.shards.read_back import ReadBack
from streams.shards.rebuilding import Rebuilding, rebuilt_to
from streams.shards.shard_parts import ShardParts
from streams.shards.shard_standing import Condition, ShardStopped
from streams.shards.succession import Succession, decoded_risks
from streams.store.shard_ownership import StoreRefused
from streams.store.snapshot_store import Snapshot

CATCH_UP_PASSES = 2
"""The second reads what came to one topic while the other was read, so that both end at about the same instant."""

_log = structlog.get_logger()
_breaker_decoder = StrictDecoder[BreakerState](BreakerState)
_adl_decoder = StrictDecoder[dict[str, AdlState]](dict[str, AdlState])


class TakingOver:
    """One take-over of one shard."""

    def __init__(
        self,
        parts: ShardParts,
        inputs: InputSteps,
        judging: Judging,
        memory: LogMemory,
        succession: Succession,
        loading: asyncio.Lock,
        begin_reading: Callable[[], None],
        rebuilding: Rebuilding,
    ) -> None:
        """`loading` is held while one shard of this worker loads; `begin_reading` has the inputs read from the watermarks on."""
        self.processor, self._store, self._relays = parts.processor, parts.store, parts.relays
        self._queue, self._standing, self._marks = parts.queue, parts.standing, parts.marks
        self._topics, self._open_whole_log, self._metrics = parts.topics, parts.open_whole_log, parts.metrics
        self._turn, self._inputs, self._judging = parts.turn, inputs, judging
        self._succession, self._loading = succession, loading
        self._memory, self._begin_reading, self._rebuilding = memory, begin_reading, rebuilding
        self._rebuilt: Mapping[str, str] = {}
        self._copies: Mapping[Lane, Sequence[int]] = {}
        """Second copies that were found in the outboxes: places."""
        self._read_back = ReadBack(parts.processor.identity, parts.metrics)

    @property
    def shard(self) -> int:
        """Partition number."""
        return self.processor.shard

    async def take_over(self) -> None:
        """Become the owner and catch up. Raises ShardStopped, `UnlistedHolding`, ShardLost and TrailLost."""
        try:
            known, published = await self._load_all()
        except StoreRefused as refused:
            raise ShardStopped(str(refused)) from refused
        except UNREADABLE as error:
            raise ShardStopped(
                f"shard {self.shard}: a state in Redis cannot be read, and would be written back with a loss: {error}"
            ) from error
        async with self._open_whole_log() as log:
            await self._check_logs(log, known)
            self.processor.inputs.rebuilt_to |= rebuilt_to(self._rebuilt, self._memory.stored)
            self._begin_reading()
            for _ in range(CATCH_UP_PASSES):
                count = await self._inputs.advance(RECOVER_RECORDS_MAX)
                self._metrics.recovered_records_total.inc(count)
            await self._adopt_published(log, published)
        await self._relays.inherited()

    def _wait(self) -> None:
        if self._standing.condition is not Condition.STANDBY:
            self._standing.condition = Condition.STANDBY
            _log.info(
                "shard_followed",
                shard=self.shard,
                seconds=round(time.monotonic() - self._standing.began_s, 3),
            )

    async def _load_all(self) -> tuple[AbstractSet[str], dict[str, int]]:
        """Become the owner and take what is stored; returns the topics that were ever committed, and how far what is published is known.

        One shard of a worker at a time, piece by piece: the machine has no more to give, and each would wait for its answers too long.
        """
        cold = await self._succession.is_cold()
        async with self._loading if cold else nullcontext():
            began = time.monotonic()
            image = await self._succession.take(self._wait)
            if not image.watermarks and await self._rebuilding.rebuild(self._memory):
                image = await self._store.take_over(self.processor.book.edition)
            self._rebuilt = image.rebuilt
            if self._standing.condition is Condition.STANDBY:
                self._standing.condition, self._standing.began_s = (
                    Condition.RECOVERING,
                    self._succession.known_s,
                )
                self._metrics.standby_takeovers_total.inc()
                _log.warning("shard_owner_gone", shard=self.shard, fence=image.fence)
            risks = decoded_risks(image.risks)
            watermarks = {Topic(topic): offset for topic, offset in image.watermarks.items()}
            breaker = None if image.breaker is None else _breaker_decoder.decode(image.breaker)
            snapshot, stored = image.snapshot or Snapshot([], frozenset()), image.accounts
            # what a snapshot says of accounts that are not well is of no use
            outdated = snapshot.outdated.union(name for name, risk in risks.items() if risk.pools)
            if image.snapshot is not None:
                stored = await self._store.states(sorted(outdated))
            for _ in self.processor.load_in_parts(
                list(stored.values()), risks, watermarks, breaker, snapshot.parts, outdated
            ):
                await give_way()
            self.processor.adl.load({} if image.adl is None else _adl_decoder.decode(image.adl))
        _log.info(
            "shard_loaded",
            shard=self.shard,
            states_read=len(stored),
            snapshot=image.snapshot is not None,
            seconds=round(time.monotonic() - began, 3),
        )
        self._judging.loaded()
        self._standing.durable |= watermarks
        self._memory.load(image.logs)
        if not image.logs:
            self._memory.check_layout(await self._store.logs_of_first())
        self._relays.inherit(image.outboxes)
        self._copies = self._rebuilding.copies_among(image.outboxes)
        self._read_back.inherit(image.outboxes)
        async with self._turn:
            for data in image.marks.values():
                self._marks.prime(msgspec.json.decode(data, type=Mark))
        return watermarks.keys(), image.published

    async def _check_logs(self, log: LogReader, known: AbstractSet[str]) -> None:
        """Both logs must fit before anything of either is applied; then it is durable which ones they are."""
        watermarks = self.processor.watermarks
        ends = (await self._inputs.look()).ends
        await self._check_begins(log)
        for topic, name in self._topics.items():
            if topic not in known and ends[topic] > watermarks[topic] == 0:
                _log.warning("shard_rebuilt_from_log", shard=self.shard, topic=name, records=ends[topic])
        await self._store.remember_logs(self._memory.stored)

    async def check_begins(self) -> None:
        """Look whether the logs still hold what comes next. Raises ShardStopped."""
        async with self._open_whole_log() as log:
            await self._check_begins(log)

    async def _check_begins(self, log: LogReader) -> None:
        begins = {topic: (await log.bounds(name, self.shard))[0] for topic, name in self._topics.items()}
        self._memory.check_begins(begins, self.processor.watermarks)

    async def _adopt_published(self, log: LogReader, published: dict[str, int]) -> None:
        await self._relays.shut_out()
        for stream in Stream:
            begin, end = await log.bounds(stream, self.shard)
            start = max(begin, published.get(stream, 0))
            async for records in log.read(stream, self.shard, start, end):
                self._read_back.take(stream, records)
        adopted = self.processor.adopt(self._read_back.conclude())
        self._queue.add([*adopted, Commit(outbox=tuple(self._read_back.quarantined))])
        self._queue.hurry()
        await self._queue.durable()
        contradicted = self._read_back.withdrawn()
        self._metrics.outbox_withdrawn_total.inc(sum(map(len, contradicted.values())))
        await self._relays.withdraw(
            {lane: sorted({*places, *self._copies.get(lane, ())}) for lane, places in contradicted.items()}
        )
        self._relays.adopted()
        if adopted:
            _log.warning("published_events_adopted", shard=self.shard, accounts=len(adopted))
