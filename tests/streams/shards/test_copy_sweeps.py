"""Sweeps of second copies, on a real Redis: whom they copy, and when they say that all is there."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace

import msgspec
import pytest
from redis.asyncio import Redis

from engine.inputs import Topic
from streams.contract.account_copy import SHARD_KEY, ShardCovered, read_copy
from streams.contract.commit import Commit
from streams.observe.metrics import Metrics
from streams.shards import account_copies
from streams.shards.account_copies import AccountCopies, CopyPace
from streams.shards.commit_queue import CommitQueue
from streams.shards.log_memory import LogMemory
from streams.store.redis_client import connect
from tests.streams.shards.test_rebuilding import ACCOUNTS, COPIES, EVERY, HERE, INPUTS, Logs, Shard, traded
from tests.support.inputs import deposit


class Relays:
    """Everything is published as soon as it is durable."""

    waiting = 0

    async def drained(self) -> None:
        """It is."""


class Owner(Shard):
    """An owner with its queue and its copies."""

    def __init__(self, client: Redis, logs: Logs) -> None:
        super().__init__(client, logs)
        self.queue, self.durable = CommitQueue(), dict[Topic, int]()
        self.memory = LogMemory(0, INPUTS, 1)
        self.memory.load(dict.fromkeys(Topic, str(HERE)))
        self.turn = asyncio.Lock()
        parts = SimpleNamespace(
            processor=self.processor,
            store=self.store,
            queue=self.queue,
            relays=Relays(),
            standing=SimpleNamespace(durable=self.durable),
            metrics=Metrics(),
            open_log=logs.open,
            turn=self.turn,
        )
        self.copies = AccountCopies(parts, CopyPace(1e9), topic=COPIES, within_seconds=600)  # type: ignore[arg-type]

    async def on_durable(self, commit: Commit) -> None:
        """As `Committing` does it; what is to be published is in its topic at once."""
        self.copies.on_committed(commit)
        for entry in commit.outbox:
            self.logs.add(entry.topic, entry.key, entry.value)

    async def commit_queued(self) -> None:
        while True:
            commit = await self.queue.next()
            if commit:
                await self.store.commit(commit)
                await self.on_durable(commit)
            for acknowledge in self.queue.committed():
                acknowledge()

    async def take(self, to: int) -> None:
        """Apply both logs up to an offset."""
        for topic in Topic:
            before = dict(self.processor.watermarks)
            await self.apply(topic, min(to, len(self.logs.records[topic])))
            names = {(it.key or b"").decode() for it in self.logs.records[topic][before[topic] : to]}
            changed = {name: b"" for name in sorted(names) if self.processor.state(name) is not None}
            await self.on_durable(Commit(accounts=changed))
            self.durable[topic] = self.processor.watermarks[topic]

    async def sweep(self) -> dict[bytes, bytes]:
        """One sweep; what it has written, by key."""
        before = len(self.logs.records[COPIES])
        await self.copies._copy(self.queue.durable, self.memory)
        return {it.key or b"": it.value or b"" for it in self.logs.records[COPIES][before:]}


@pytest.fixture
async def client(redis_url_db: str) -> AsyncIterator[Redis]:
    async with connect(redis_url_db) as client:
        yield client


@asynccontextmanager
async def owning(client: Redis, logs: Logs) -> AsyncIterator[Owner]:
    """The shard is taken over and loaded."""
    owner = Owner(client, logs)
    image = await owner.store.take_over()
    marks = {Topic(topic): offset for topic, offset in image.watermarks.items()}
    owner.processor.load(image.accounts.values(), {}, marks)
    owner.durable |= marks
    task = asyncio.create_task(owner.commit_queued())
    try:
        yield owner
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def names(written: dict[bytes, bytes]) -> set[str]:
    return {key.decode() for key in written if key != SHARD_KEY}


def reached(written: dict[bytes, bytes]) -> tuple[int, int] | None:
    if SHARD_KEY not in written:
        return None
    said = read_copy(written[SHARD_KEY])
    assert isinstance(said, ShardCovered)
    return said.fills, said.ledger


def one_more(logs: Logs, account: str) -> None:
    logs.add(Topic.LEDGER, account.encode(), msgspec.json.encode(deposit(account)))


async def test_sweep_when_accounts_are_judged_then_it_waits_for_that_but_not_without_end(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = Logs()
    traded(random.Random(4), logs, 300)
    async with owning(client, logs) as owner:
        await owner.take(300)
        async with owner.turn:
            sweep = asyncio.create_task(owner.sweep())
            await asyncio.sleep(0.3)
            assert not logs.records[COPIES]
        assert names(await sweep)

        # whom to copy is known by now
        one_more(logs, "acct-1")
        await owner.take(301)
        before = len(logs.records[COPIES])
        async with owner.turn:
            sweep = asyncio.create_task(owner.sweep())
            await asyncio.sleep(0.3)
            assert len(logs.records[COPIES]) == before
        assert names(await sweep) == {"acct-1"}

        one_more(logs, "acct-2")
        await owner.take(302)
        monkeypatch.setattr(account_copies, "PASSED_SECONDS_MAX", 0.05)
        async with owner.turn:
            assert names(await owner.sweep()) == {"acct-2"}


async def test_sweep_when_another_owner_makes_it_then_who_has_changed_since_is_copied_and_all_can_be_rebuilt(
    client: Redis,
) -> None:
    logs = Logs()
    traded(random.Random(4), logs, 300)
    async with owning(client, logs) as first:
        await first.take(100)
        written = await first.sweep()
        assert (names(written), reached(written)) == (set(EVERY), (100, 100))
        assert await first.sweep() == {}
        assert first.copies.age_seconds() == 0
        one_more(logs, "acct-9")
        await first.take(1_000)
        assert first.copies.age_seconds() > 0
    async with owning(client, logs) as second:
        written = await second.sweep()
        moved = {(it.key or b"").decode() for topic in Topic for it in logs.records[topic][100:]} - {""}
        assert names(written) >= {"acct-9"}
        assert names(written) <= moved | set(ACCOUNTS)
        assert reached(written) == tuple(len(logs.records[topic]) for topic in Topic)
        one_more(logs, "acct-8")
        await second.take(1_000)
        assert names(await second.sweep()) == {"acct-8"}
        there = await second.contents()
    await client.flushdb()
    for topic in Topic:
        logs.begins[topic] = len(logs.records[topic])
    rebuilt = Shard(client, logs)
    assert await rebuilt.rebuild()
    assert await rebuilt.contents() == there


@pytest.mark.parametrize("change", ["topic", "begin", "inputs"])
async def test_sweep_when_the_topic_or_the_inputs_are_others_then_everybody_is_copied(
    client: Redis, change: str
) -> None:
    logs = Logs()
    traded(random.Random(5), logs, 50)
    async with owning(client, logs) as first:
        await first.take(1_000)
        assert names(await first.sweep()) == set(EVERY)
    if change == "topic":
        logs.copies_are = logs.copies_are._replace(topic_id="another")
    elif change == "begin":
        logs.begins[COPIES] = 3
    async with owning(client, logs) as second:
        if change == "inputs":
            second.memory.load(dict.fromkeys(Topic, "another/1"))
        written = await second.sweep()
        assert names(written) == set(EVERY)
        assert reached(written) is not None


async def test_sweep_when_kafka_does_not_take_a_copy_then_nothing_is_said_to_be_there_until_it_does(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = Logs()
    traded(random.Random(6), logs, 50)
    async with owning(client, logs) as owner:
        await owner.take(1_000)

        async def refuse(_: object) -> None:
            owner.copies.refused(SimpleNamespace(key=b"acct-2"))  # type: ignore[arg-type]

        with monkeypatch.context() as patched:
            patched.setattr(Relays, "drained", refuse)
            assert reached(await owner.sweep()) is None
            assert owner.copies.age_seconds() > 0
        written = await owner.sweep()
        assert reached(written) is not None
        assert "acct-2" in names(written)
        assert owner.copies.age_seconds() == 0
