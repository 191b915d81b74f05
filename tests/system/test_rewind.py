"""Redis is put back to an older copy while owners of a shard come and go: whatever the order, an event's id has one meaning."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from engine.book.columnar_book import ColumnarBook
from engine.events.effects import AccountRisk, RiskEvent, Stream
from engine.inputs import Topic
from engine.ladder import Band, LadderState
from engine.ledger.accounts import AccountState, encode
from engine.marks.mark_book import MarkBook
from streams.config.settings import Settings
from streams.contract.cloudevents import outbox_entry
from streams.contract.commit import Commit, Lane
from streams.kafka.clients import relay_producer
from streams.kafka.log_ends import LogEnds
from streams.kafka.log_reader import open_log
from streams.kafka.producer_epochs import raise_shard_epoch
from streams.observe.cascade import Cascade
from streams.observe.metrics import Metrics
from streams.outbox.relays import OutboxRelays
from streams.shards.account_copies import AccountCopies, CopyPace
from streams.shards.commit_queue import CommitQueue
from streams.shards.giving_way import AfterPrices
from streams.shards.price_watch import PriceWatch
from streams.shards.processor import ShardProcessor
from streams.shards.shard import ShardRunner
from streams.shards.shard_parts import ShardParts
from streams.shards.shard_standing import Condition, Standing
from streams.shards.snapshot_writer import SnapshotWriter
from streams.shards.succession import Succession
from streams.store.redis_client import connect
from streams.store.shard_follower import ShardFollower
from streams.store.shard_store import ShardStore
from streams.store.store_reader import StoreReader
from tests.streams.contract.test_cloudevents import EVENT
from tests.support.cluster import PARTITIONS, Cluster
from tests.support.kafka_log import read_topic
from tests.support.transactions import TransactionalSender

pytestmark = pytest.mark.system

ACCOUNT = "alice"
TOPICS = {topic: topic.value for topic in Topic}
WITHIN_S = 20.0


class Owner:
    """An owner of the shard with all of its parts; prices never come, so it says nothing of its own."""

    def __init__(self, cluster: Cluster, client: Redis, producer: AIOKafkaProducer) -> None:
        settings = Settings(kafka_bootstrap_servers=cluster.bootstrap, group=cluster.group)
        policy, self.metrics, turn = cluster.policy, Metrics(), asyncio.Lock()
        self.shard = cluster.partition_of(ACCOUNT.encode())
        marks = MarkBook(policy)
        self.store = ShardStore(client, self.shard, "owner", self.metrics)

        async def raise_epoch(shard: int) -> object:
            return await raise_shard_epoch(settings, shard)

        self.relays = OutboxRelays(
            self.store, dict.fromkeys(Lane, producer), self.metrics, time.time_ns, raise_epoch
        )
        self.processor = ShardProcessor(
            self.shard,
            policy,
            ColumnarBook(policy),
            partition_of=cluster.partition_of,
            topics=TOPICS,
            quarantine_topic="quarantine",
            source="/test",
        )
        self.log_ends = LogEnds(settings, TOPICS)
        parts = ShardParts(
            processor=self.processor,
            store=self.store,
            relays=self.relays,
            queue=CommitQueue(),
            standing=Standing(),
            marks=marks,
            topics=TOPICS,
            log_ends=self.log_ends,
            open_log=lambda: open_log(settings),
            open_whole_log=lambda: open_log(settings, committed=False),
            open_inputs=lambda: open_log(settings),
            turn=turn,
            cascade=Cascade(policy, marks, self.metrics),
            metrics=self.metrics,
        )

        async def wake(topic: Topic) -> None:
            self.runner.hand_over(topic)

        self.runner = ShardRunner(
            parts,
            PriceWatch(policy, marks),
            asyncio.Event(),
            priced_until_ns=time.time_ns,
            after_prices=AfterPrices(turn, lambda: 0),
            loading=asyncio.Lock(),
            snapshots=SnapshotWriter(self.processor, self.store, turn, self.metrics, every_seconds=0),
            copies=AccountCopies(parts, CopyPace(1), topic="", within_seconds=0),
            succession=Succession(
                self.processor,
                self.store,
                ShardFollower(client, self.shard, "unimargin"),
                patience_seconds=None,
            ),
            partitions=PARTITIONS,
            wake=wake,
        )

    async def say(self, *bands: Band, since: int, published: bool) -> None:
        """Commit an event for each of these bands, numbered on; and publish them, or not."""
        events = [event(since + place, band) for place, band in enumerate(bands, 1)]
        risk = AccountRisk(ACCOUNT, {"": events[-1].ladder}, {Stream.MARGIN_EVENTS: events[-1].sequence})
        outbox = tuple(outbox_entry(it, self.shard, "/test") for it in events)
        await self.store.commit(
            Commit(
                accounts={ACCOUNT: encode(AccountState(ACCOUNT))},
                risks={ACCOUNT: msgspec.json.encode(risk)},
                outbox=outbox,
            )
        )
        self.relays.offer(outbox)
        if published:
            await asyncio.wait_for(self.relays.drained(), WITHIN_S)

    async def published(self, reader: StoreReader) -> None:
        """Return once its take-over is through and its outbox empty."""
        async with asyncio.timeout(WITHIN_S):
            await self.runner._relays._licence.given()
            while await reader.outbox_entries(self.shard):  # noqa: ASYNC110 - Redis tells nobody
                await asyncio.sleep(0.02)


def event(sequence: int, band: Band) -> RiskEvent:
    return msgspec.structs.replace(
        EVENT,
        account=ACCOUNT,
        id=f"{ACCOUNT}/{Stream.MARGIN_EVENTS}/{sequence}",
        sequence=sequence,
        time_ns=sequence,
        band=band,
        ladder=LadderState(band=band),
    )


@asynccontextmanager
async def owning(owner: Owner) -> AsyncIterator[Owner]:
    asking = asyncio.create_task(owner.log_ends.run())
    owner.runner.start()
    try:
        yield owner
    finally:
        await owner.runner.stop(within_seconds=1)
        asking.cancel()


async def copied(client: Redis) -> dict[bytes, bytes]:
    return {key: await client.dump(key) async for key in client.scan_iter()}


async def rewind(client: Redis, copy: dict[bytes, bytes]) -> None:
    await client.flushall()
    for key, dumped in copy.items():
        await client.restore(key, 0, dumped)


def meanings(cluster: Cluster) -> dict[str, set[bytes]]:
    """By event id, every content that was ever published under it."""
    found = defaultdict(set)
    for record in read_topic(cluster.bootstrap, Stream.MARGIN_EVENTS):
        found[record.headers["ce_id"]].add(record.value or b"")
    return found


CALL, WARNING, REDUCE = Band.MARGIN_CALL, Band.WARNING, Band.REDUCE_ONLY


@pytest.mark.parametrize("first_is_paused", [True, False])
async def test_ids_when_redis_is_rewound_to_before_an_earlier_rewind_and_two_owners_take_over_then_one_meaning(
    cluster: Cluster, *, first_is_paused: bool
) -> None:
    """The first has inherited what was never published, under ids that were given away since, and loses the shard before it has
    adopted what it finds in the topics.
    """
    settings = Settings(kafka_bootstrap_servers=cluster.bootstrap)
    async with connect(cluster.redis.url) as client, relay_producer(settings) as producer:
        reader = StoreReader(client)
        async with owning(Owner(cluster, client, producer)) as once:
            await once.published(reader)
            await once.say(CALL, published=True, since=0)
            oldest = await copied(client)
        lost = ShardStore(client, once.shard, "owner", Metrics())
        await lost.take_over()
        once.store = lost
        await once.say(REDUCE, CALL, REDUCE, since=1, published=False)
        older = await copied(client)

        await rewind(client, oldest)
        async with owning(Owner(cluster, client, producer)) as after:
            await after.published(reader)
            await after.say(WARNING, CALL, since=1, published=True)

        await rewind(client, older)
        first, second = Owner(cluster, client, producer), Owner(cluster, client, producer)
        never = asyncio.Event()
        if first_is_paused:
            sound = first.store.commit

            async def paused(commit: Commit) -> None:
                await never.wait()
                await sound(commit)

            first.store.commit = paused  # type: ignore[method-assign]
        async with owning(first):
            await asyncio.sleep(1.5)
            async with owning(second):
                await second.published(reader)
                never.set()
                await asyncio.sleep(0.5)
                told = second.processor.book.risk(ACCOUNT)
                await second.say(CALL, since=told.sequences[Stream.MARGIN_EVENTS], published=True)
                assert await second.store.holds_fence()

        found = meanings(cluster)
        assert {name for name, said in found.items() if len(said) > 1} == set()
        numbers = sorted(int(name.rsplit("/", 1)[1]) for name in found)
        assert numbers == [1, 2, 3, 4], "none is missing"
        assert told.pools[""].band is CALL, "what was said last is what is known"


async def test_relay_when_its_owner_was_paused_while_redis_was_rewound_then_it_publishes_nothing(
    cluster: Cluster,
) -> None:
    """It had asked for the fence before the pause, and goes on where it was: only Kafka knows better."""
    settings = Settings(kafka_bootstrap_servers=cluster.bootstrap)
    async with connect(cluster.redis.url) as client, relay_producer(settings) as producer:
        reader, resumed = StoreReader(client), asyncio.Event()
        async with owning(Owner(cluster, client, producer)) as old:
            await old.published(reader)
            await old.say(CALL, since=0, published=True)
            copy = await copied(client)
            send, asked = producer.send_batch, asyncio.Event()

            async def continued_later(*args: object, **options: object) -> object:
                asked.set()
                await resumed.wait()
                return await send(*args, **options)

            producer.send_batch = continued_later  # type: ignore[method-assign]
            await old.say(REDUCE, CALL, since=1, published=False)
            await asyncio.wait_for(asked.wait(), WITHIN_S)
            await rewind(client, copy)

            async with relay_producer(settings) as other, owning(Owner(cluster, client, other)) as new:
                await new.published(reader)
                await new.say(WARNING, since=1, published=True)
                resumed.set()
                async with asyncio.timeout(WITHIN_S):
                    while old.runner.condition is not Condition.FENCED:  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
                await new.say(CALL, since=2, published=True)
        assert {name: len(said) for name, said in meanings(cluster).items()} == {
            f"{ACCOUNT}/{Stream.MARGIN_EVENTS}/{number}": 1 for number in (1, 2, 3)
        }


FOREIGN: Sequence[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]] = [
    (ACCOUNT.encode(), None, []),
    (ACCOUNT.encode(), b"", []),
    (None, b"{}", []),
    (None, b"hello", [("ce_id", b"\xff\xfe")]),
    (ACCOUNT.encode(), b'{"type": "of.a.newer.edition", "sequence": "many"}', [("ce_id", b"")]),
]


async def test_take_over_when_foreign_records_lie_in_an_event_topic_then_passed_over_and_kept(
    cluster: Cluster,
) -> None:
    settings = Settings(kafka_bootstrap_servers=cluster.bootstrap)
    async with connect(cluster.redis.url) as client, relay_producer(settings) as producer:
        reader = StoreReader(client)
        async with owning(Owner(cluster, client, producer)) as old:
            await old.published(reader)
            await old.say(CALL, WARNING, since=0, published=True)
            for key, value, headers in FOREIGN:
                await producer.send_and_wait(
                    Stream.MARGIN_EVENTS, value, key, partition=old.shard, headers=headers
                )
            await old.say(REDUCE, since=2, published=True)
        await client.flushall()
        async with owning(Owner(cluster, client, producer)) as new:
            await new.published(reader)
            risk = new.processor.book.risk(ACCOUNT)
            assert (risk.pools[""].band, risk.sequences) == (REDUCE, {Stream.MARGIN_EVENTS: 3})
        kept = [
            it for it in read_topic(cluster.bootstrap, "quarantine") if it.headers["topic"] == "margin-events"
        ]
        assert len(kept) == len(FOREIGN)


@pytest.mark.parametrize("aborted", [True, False])
async def test_take_over_when_a_stranger_keeps_a_transaction_open_then_what_we_published_behind_it_is_read_back(
    cluster: Cluster, *, aborted: bool
) -> None:
    """Whoever reads what is committed sees the log end where that transaction begins."""
    settings, stranger = (
        Settings(kafka_bootstrap_servers=cluster.bootstrap),
        TransactionalSender(cluster.bootstrap),
    )
    async with connect(cluster.redis.url) as client, relay_producer(settings) as producer:
        reader = StoreReader(client)
        async with owning(Owner(cluster, client, producer)) as old:
            await old.published(reader)
            await asyncio.to_thread(stranger.begin_elsewhere, old.shard, *Stream)
            await old.say(CALL, REDUCE, since=0, published=True)
        await client.flushall()
        async with owning(Owner(cluster, client, producer)) as new:
            await new.published(reader)
            risk = new.processor.book.risk(ACCOUNT)
            assert (risk.pools[""].band, risk.sequences) == (REDUCE, {Stream.MARGIN_EVENTS: 2})
    await asyncio.to_thread(stranger.abort if aborted else stranger.commit)
