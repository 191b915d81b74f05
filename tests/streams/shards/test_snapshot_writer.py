"""A shard that writes snapshots while inputs come, behind a real Redis: a start from one is a start from all states."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import chain
from random import Random

import msgspec
import pytest
from redis.asyncio import Redis

from engine.book.columnar_book import ColumnarBook
from engine.book.packed_accounts import PACKED_TOGETHER
from engine.events.effects import AccountRisk
from engine.inputs import AccountInput, Topic
from streams.contract.commit import Commit
from streams.contract.record import Record
from streams.observe.metrics import Metrics
from streams.shards.commit_queue import CommitQueue
from streams.shards.processor import ShardProcessor
from streams.shards.snapshot_writer import SnapshotWriter
from streams.store.redis_client import connect
from streams.store.shard_store import ShardStore
from tests.support.builders import mark, prices, sample
from tests.support.inputs import deposit, fill
from tests.support.instants import singly

POLICY = sample(("exit_hold_seconds = 5", "exit_hold_seconds = 0"))
FRESH = prices({"BTC-PERP": 50000, "BTC-USD": 50000, "USDT-USD": 1, "ETH-PERP": 3000})
ACCOUNTS = 2 * PACKED_TOGETHER + 100
TOGETHER = 50


@pytest.fixture
async def client(redis_url_db: str) -> AsyncIterator[Redis]:
    async with connect(redis_url_db) as client:
        yield client


class Shard:
    """Processor, queue and store, wired as a runner does; commits wait while they are `held`."""

    def __init__(self, client: Redis) -> None:
        self.metrics = Metrics()
        self.store = ShardStore(client, 0, "worker", self.metrics)
        self.processor = ShardProcessor(
            0,
            POLICY,
            ColumnarBook(POLICY),
            partition_of=lambda _: 0,
            topics={topic: topic.value for topic in Topic},
            quarantine_topic="quarantine",
            source="/test",
        )
        self.queue, self.released = CommitQueue(), asyncio.Event()
        self.released.set()

    async def load(self, edition: str) -> int:
        """Take the shard over; how many states were read."""
        image = await self.store.take_over(edition)
        risks = {name: msgspec.json.decode(data, type=AccountRisk) for name, data in image.risks.items()}
        parts, outdated, stored = [], frozenset[str](), image.accounts
        if image.snapshot is not None:
            outdated = image.snapshot.outdated.union(name for name, risk in risks.items() if risk.pools)
            parts, stored = image.snapshot.parts, await self.store.states(sorted(outdated))
        watermarks = {Topic(topic): offset for topic, offset in image.watermarks.items()}
        for _ in self.processor.load_in_parts(
            list(stored.values()), risks, watermarks, None, parts, outdated
        ):
            pass
        return len(stored)

    async def commit(self) -> None:
        """Until cancelled."""
        while True:
            commit = await self.queue.next()
            await self.released.wait()
            if commit:
                await self.store.commit(commit)
                self.processor.on_committed(commit)
            for acknowledge in self.queue.committed():
                acknowledge()

    def apply(self, topic: Topic, messages: Sequence[AccountInput]) -> None:
        """Queue what these inputs make of their accounts."""
        start = self.processor.watermarks[topic]
        records = [
            Record(start + number, it.account.encode(), msgspec.json.encode(it))
            for number, it in enumerate(messages)
        ]
        self.queue.add([self.processor.apply(topic, self.processor.decode(topic, records)).commit])

    def settle(self) -> None:
        """Judge who has changed, and queue what is to be said."""
        self.queue.add(chain.from_iterable(self.processor.settle()))

    def writer(self) -> SnapshotWriter:
        """Of its snapshots."""
        return SnapshotWriter(self.processor, self.store, asyncio.Lock(), self.metrics, every_seconds=0.01)


def judged_from(shard: Shard) -> list[Commit]:
    """What is said at the start, and as the price falls, whatever the order of equals."""
    said = list(chain.from_iterable(shard.processor.start_judging(FRESH)))
    for number, price in enumerate((49000, 47000, 44000, 43000), start=2):
        instants = singly([mark("BTC-PERP", price, number, at=number)])
        said += chain.from_iterable(shard.processor.on_instants(instants))
    return said


def random_inputs(random: Random, count: int) -> tuple[list[AccountInput], list[AccountInput]]:
    """Deposits, and fills of as much or less as they bear."""
    names = random.sample(range(ACCOUNTS), count)
    deposits = [deposit(f"a-{name:05}", str(random.randint(500, 9000))) for name in names]
    return deposits, [fill(it.account, f"0.{random.randint(1, 9)}") for it in deposits]


async def test_snapshot_when_written_while_inputs_come_then_a_start_from_it_is_one_from_all_states(
    client: Redis,
) -> None:
    random, shard = Random(7), Shard(client)
    edition = shard.processor.book.edition
    await shard.load(edition)
    committing = asyncio.create_task(shard.commit())
    for topic, inputs in zip((Topic.LEDGER, Topic.FILLS), random_inputs(random, ACCOUNTS), strict=True):
        shard.apply(topic, inputs)
    shard.queue.add(chain.from_iterable(shard.processor.start_judging(FRESH)))
    await shard.queue.idle()

    writing = asyncio.create_task(shard.writer().run(shard.queue.durable))
    while shard.metrics.snapshots_written_total._value.get() < 2:
        # some are durable and not yet judged, some judged and not yet durable
        shard.released.clear() if random.random() < 0.3 else shard.released.set()
        for topic, inputs in zip((Topic.LEDGER, Topic.FILLS), random_inputs(random, TOGETHER), strict=True):
            shard.apply(topic, inputs)
        await asyncio.sleep(0.01)
        if random.random() < 0.5:
            shard.settle()
        shard.released.set()
        await asyncio.sleep(0.005)
    writing.cancel()
    await shard.queue.idle()
    committing.cancel()
    await asyncio.gather(writing, committing, return_exceptions=True)
    newest = {name: shard.processor.state(name) for name in shard.processor.book.accounts()}

    packed, full = Shard(client), Shard(client)
    assert await packed.load(edition) < ACCOUNTS / 2
    assert await full.load("") == ACCOUNTS

    assert {name: packed.processor.state(name) for name in packed.processor.book.accounts()} == newest
    assert packed.processor.watermarks == full.processor.watermarks == shard.processor.watermarks
    said = judged_from(packed)
    assert said == judged_from(full)
    assert len(said) > ACCOUNTS / 10


async def test_snapshot_when_a_state_is_durable_and_not_yet_judged_then_it_is_left_out(client: Redis) -> None:
    shard = Shard(client)
    edition = shard.processor.book.edition
    await shard.load(edition)
    committing = asyncio.create_task(shard.commit())
    shard.apply(Topic.LEDGER, [deposit("alice", "100"), deposit("bob", "100"), deposit("carol", "100")])
    list(shard.processor.start_judging(FRESH))
    shard.apply(Topic.LEDGER, [deposit("alice", "1")])
    await shard.queue.idle()
    writing = asyncio.create_task(shard.writer().run(shard.queue.durable))
    while not shard.metrics.snapshots_written_total._value.get():  # noqa: ASYNC110 - a counter wakes nobody
        await asyncio.sleep(0.01)
    for task in (writing, committing):
        task.cancel()
    await asyncio.gather(writing, committing, return_exceptions=True)

    successor = Shard(client)
    assert await successor.load(edition) == 1
    assert successor.processor.state("alice") == shard.processor.state("alice")
    assert str(successor.processor.state("alice").balances["USDT"]) == "101"


async def test_snapshot_when_commits_do_not_become_durable_then_it_is_not_put_in_place(client: Redis) -> None:
    shard = Shard(client)
    edition = shard.processor.book.edition
    await shard.load(edition)
    committing = asyncio.create_task(shard.commit())
    shard.apply(Topic.LEDGER, [deposit("alice", "100"), deposit("bob", "100"), deposit("carol", "100")])
    await shard.queue.idle()
    # in memory alice has 101, and that is not durable before the process ends
    shard.released.clear()
    shard.apply(Topic.LEDGER, [deposit("alice", "1")])
    writing = asyncio.create_task(shard.writer().run(shard.queue.durable))
    while await client.llen("unimargin:{shard-0}:snapshot-next") < 1:  # noqa: ASYNC110 - nor does Redis
        await asyncio.sleep(0.01)
    # all parts are there: what is left is to wait
    await asyncio.sleep(0.1)
    for task in (writing, committing):
        task.cancel()
    await asyncio.gather(writing, committing, return_exceptions=True)

    successor = Shard(client)
    assert await successor.load(edition) == 3
    assert str(successor.processor.state("alice").balances["USDT"]) == "100"
