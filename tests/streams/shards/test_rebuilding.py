"""A shard rebuilt from second copies and the rest of its logs, on a real Redis: it ends with what it had, to the byte."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import msgspec
import pytest
from redis.asyncio import Redis

from engine.book.plain_book import PlainBook
from engine.inputs import AccountInput, OrderUpdate, Topic
from engine.ledger.accounts import AccountState, Progress, Remembered, encode
from engine.ledger.orders_apart import INLINE_MAX
from streams.contract.account_copy import SHARD_KEY, AccountCopy, ShardCovered, copy_entry
from streams.contract.commit import Commit
from streams.contract.record import Record
from streams.kafka.log_ends import LogLook
from streams.kafka.topic_identity import TopicIdentity
from streams.observe.metrics import Metrics
from streams.shards.log_memory import LogMemory
from streams.shards.processor import ShardProcessor
from streams.shards.rebuilding import Rebuilding, rebuilt_to
from streams.shards.shard_standing import ShardStopped
from streams.store.redis_client import connect
from streams.store.shard_store import ShardStore
from streams.store.store_format import FORMAT
from tests.support.builders import sample, seconds
from tests.support.inputs import deposit, fill, resume

POLICY = sample(("[prices]", "[inputs]\nremembered_ids_max = 40\nremember_ms = 60000\n[prices]"))
INPUTS = {topic: topic.value for topic in Topic}
COPIES = "account-state"
HERE = TopicIdentity("here", 1)
ACCOUNTS = [f"acct-{number}" for number in range(6)]
MANY = "many"
EVERY = [*ACCOUNTS, MANY]
STRANGE = b"health-check"
"""A key at home in another shard."""


class Logs:
    """Kafka, as far as a rebuild asks it."""

    def __init__(self) -> None:
        self.records: dict[str, list[Record]] = {COPIES: [], **{name: [] for name in INPUTS.values()}}
        self.begins = dict.fromkeys(self.records, 0)
        self.inputs_are = self.copies_are = HERE

    def add(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        self.records[topic].append(Record(len(self.records[topic]), key, value))

    async def bounds(self, topic: str, _: int) -> tuple[int, int]:
        return self.begins[topic], len(self.records[topic])

    async def read(self, topic: str, _: int, start: int, end: int) -> AsyncIterator[list[Record]]:
        for first in range(start, end, 7):
            yield self.records[topic][first : min(first + 7, end)]

    async def identity(self, _: str) -> TopicIdentity:
        return self.copies_are

    async def of(self, _: int) -> LogLook:
        ends = {topic: len(self.records[name]) for topic, name in INPUTS.items()}
        return LogLook(ends, dict.fromkeys(Topic, self.inputs_are), 0.0)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Logs"]:
        yield self


class Shard:
    """A processor and its store, taken over, with nothing in it."""

    def __init__(self, client: Redis, logs: Logs) -> None:
        self.logs, self.client = logs, client
        self.store = ShardStore(client, 0, "owner", Metrics())
        self.processor = ShardProcessor(
            0,
            POLICY,
            PlainBook(POLICY),
            partition_of=lambda key: int(key == STRANGE),
            topics=INPUTS,
            quarantine_topic="quarantine",
            source="/test",
        )

    async def apply(self, topic: Topic, to: int) -> None:
        """Apply the log up to an offset, in batches."""
        while (start := self.processor.watermarks[topic]) < to:
            batch = self.logs.records[topic][start : min(to, start + 9)]
            decoded = self.processor.decode(topic, batch)
            sought = self.processor.ids_to_ask(topic, decoded)
            self.processor.take_ids(topic, await self.store.applied_ids(sought))
            commit = self.processor.apply(topic, decoded).commit
            commit = msgspec.structs.replace(commit, outbox=())
            if not commit.advance or self.processor.watermarks[topic] < batch[-1].offset + 1:
                await self.store.commit(commit)
                commit = self.processor.skip_to(topic, batch[-1].offset + 1)
            await self.store.commit(commit)
            self.processor.on_committed(commit)

    async def copy(self, *accounts: str) -> None:
        """Copy these accounts as they are now."""
        known = [self.processor.state(it) or AccountState(it) for it in accounts]
        for said in (await self.store.copies().read(known, FORMAT)).values():
            if said is not None:
                self._say(said)

    def cover(self, accounts: int) -> None:
        """Say that all of them reach to where the shard is."""
        fills, ledger = (self.processor.watermarks[it] for it in Topic)
        self._say(ShardCovered(0, FORMAT, fills, ledger, dict.fromkeys(Topic, str(HERE)), accounts, 1))

    def _say(self, said: AccountCopy | ShardCovered) -> None:
        entry = copy_entry(COPIES, 0, said)
        self.logs.add(COPIES, entry.key, entry.value)

    async def rebuild(self) -> bool:
        """Take the shard over and rebuild it; what is in Redis is loaded."""
        await self.store.take_over()
        rebuilding = Rebuilding(
            self.processor.identity, self.store, self.logs, self.logs.open, INPUTS, topic=COPIES
        )  # type: ignore[arg-type]
        done = await rebuilding.rebuild(LogMemory(0, INPUTS, 1))
        image = await self.store.take_over()
        marks = {Topic(topic): offset for topic, offset in image.watermarks.items()}
        self.processor.load(image.accounts.values(), {}, marks)
        self.processor.inputs.rebuilt_to |= rebuilt_to(image.rebuilt, image.logs)
        return done

    async def contents(self) -> dict[bytes, object]:
        """States, orders and ids in Redis."""
        found: dict[bytes, object] = {}
        async for key in self.client.scan_iter(match="unimargin:{shard-0}:*"):
            if any(it in key for it in (b":accounts", b":orders:", b":ids:")):
                found[key] = await self.client.hgetall(key)
            elif b":seen:" in key:
                found[key] = await self.client.lrange(key, 0, -1)
        return found


@pytest.fixture
async def client(redis_url_db: str) -> AsyncIterator[Redis]:
    async with connect(redis_url_db) as client:
        yield client


def traded(rng: random.Random, logs: Logs, count: int) -> None:
    """Inputs of all kinds: numbered or not, again, contradicting, with gaps, unreadable; and operators who let accounts go on."""
    numbers: dict[tuple[str, Topic], int] = {}
    sent: list[tuple[Topic, AccountInput]] = []
    for n in range(2 * INLINE_MAX):
        _many_orders(logs, n)
    for n in range(count):
        if n % 10 == 0:
            _many_orders(logs, n)
        account, topic, number = rng.choice(ACCOUNTS), rng.choice(list(Topic)), None
        if account in ACCOUNTS[:3]:
            number = numbers[account, topic] = numbers.get((account, topic), 0) + rng.choice((1, 1, 1, 1, 2))
        message: AccountInput = deposit(account, str(10 + n), entry_id=f"d-{n}")
        if topic is Topic.FILLS and rng.random() < 0.3:
            message = fill(account, "0.1", trade_id=f"t-{n}")
        elif topic is Topic.FILLS:
            message = _order(account, n % 5, rng.choice((0, 1)), time_ns=0)
        message = msgspec.structs.replace(message, account_seq=number, time_ns=seconds(100 + n))
        fate = rng.random()
        if fate < 0.08 and sent:
            topic, message = rng.choice(sent)
        elif fate < 0.09 and sent:
            topic, message = rng.choice(sent)
            message = msgspec.structs.replace(message, time_ns=seconds(90))
        elif fate < 0.35:
            told = None if number is None else number + 1
            message = msgspec.structs.replace(
                resume(account, next_account_seq=told), entry_id=f"r-{n}", time_ns=seconds(100 + n)
            )
        sent.append((topic, message))
        value = b"{" if 0.35 <= fate < 0.37 else msgspec.json.encode(message)
        key = rng.choice(ACCOUNTS) if fate > 0.99 else message.account
        logs.add(topic, key.encode(), value)


def _many_orders(logs: Logs, n: int) -> None:
    """An order more, or again and again one less, of an account with more than lie in a state."""
    order = _order(MANY, n, n % 20 > 0, time_ns=seconds(50 + n))
    logs.add(Topic.FILLS, MANY.encode(), msgspec.json.encode(order))


def _order(account: str, number: int, quantity: int, time_ns: int) -> OrderUpdate:
    return OrderUpdate(
        account=account,
        time_ns=time_ns,
        update_id=f"u-{number}-{time_ns}",
        order_id=f"o-{number}",
        symbol="BTC-PERP",
        side="buy",
        quantity=Decimal(quantity),
        price=Decimal(100),
    )


@pytest.mark.parametrize("seed", range(6))
async def test_rebuild_when_copies_are_of_many_moments_then_what_was_there_before_to_the_byte(
    client: Redis, seed: int
) -> None:
    rng, logs = random.Random(seed), Logs()
    traded(rng, logs, 1000)
    before = Shard(client, logs)
    await before.store.take_over()
    await client.rpush("unimargin:{shard-0}:seen:fills:old", "t-a", "t-b")
    old = AccountState("old", {"USDT": Decimal(5)}, fills=Progress(offset=0))
    before.processor.load([encode(old)], {}, {})
    await before.store.commit(Commit(accounts={"old": encode(old)}))
    ends = {topic: len(logs.records[topic]) for topic in Topic}
    for step in range(1, 9):
        for topic, end in ends.items():
            await before.apply(topic, end * step // 8)
        await before.copy(*rng.sample(EVERY, 4))
        if step == 5:
            await before.copy("old", *EVERY)
            before.cover(len(EVERY) + 1)
            covered = dict(before.processor.watermarks)
    there = await before.contents()
    assert any(b":orders:" in it for it in there), f"nobody has {INLINE_MAX} orders"
    assert any(b":ids:" in it for it in there)
    await client.flushdb()
    for topic, offset in covered.items():
        logs.begins[topic] = offset
    after = Shard(client, logs)
    assert await after.rebuild()
    assert after.processor.watermarks == covered
    for topic, end in ends.items():
        await after.apply(topic, end)
    assert await after.contents() == there


def remade(logs: Logs) -> None:
    logs.inputs_are = TopicIdentity("another", 1)


def cut_further(logs: Logs) -> None:
    logs.begins[Topic.LEDGER] += 1


def cut_short(logs: Logs) -> None:
    del logs.records[Topic.FILLS][40:]


def damaged(logs: Logs) -> None:
    logs.add(COPIES, b"acct-1", b"{}")


def of_somebody_else(logs: Logs) -> None:
    logs.add(COPIES, b"acct-1", next(it.value for it in logs.records[COPIES] if it.key == b"acct-2"))


def without_an_id(logs: Logs) -> None:
    value = next(it.value for it in reversed(logs.records[COPIES]) if it.key == b"acct-4") or b""
    told = msgspec.json.decode(value)
    told["ids"]["fills"].pop()
    logs.add(COPIES, b"acct-4", msgspec.json.encode(told))


def with_a_field_of_tomorrow(logs: Logs) -> None:
    value = next(it.value for it in reversed(logs.records[COPIES]) if it.key == b"acct-4") or b""
    told = msgspec.json.decode(value)
    told["state"]["margin_mode_of_tomorrow"] = "x"
    logs.add(COPIES, b"acct-4", msgspec.json.encode(told))


def one_missing(logs: Logs) -> None:
    logs.add(COPIES, b"acct-1", None)


REFUSED: dict[Callable[[Logs], None], str] = {
    remade: "made anew",
    cut_further: "needs the log from offset",
    cut_short: "the log ends at 40",
    damaged: "cannot be read",
    of_somebody_else: "of another account",
    without_an_id: "ids of fills are not all there",
    with_a_field_of_tomorrow: "margin_mode_of_tomorrow",
    one_missing: "6 accounts are there, and there were 7",
}


@pytest.mark.parametrize("harm", REFUSED)
async def test_rebuild_when_copies_or_logs_are_not_what_they_were_then_stopped_and_nothing_written(
    client: Redis, harm: Callable[[Logs], None]
) -> None:
    logs = Logs()
    traded(random.Random(1), logs, 200)
    before = Shard(client, logs)
    await before.store.take_over()
    for topic in Topic:
        await before.apply(topic, len(logs.records[topic]) - 10)
    await before.copy(*EVERY)
    before.cover(len(EVERY))
    await client.flushdb()
    for topic, offset in before.processor.watermarks.items():
        logs.begins[topic] = offset
    harm(logs)
    after = Shard(client, logs)
    with pytest.raises(ShardStopped, match=REFUSED[harm]):
        await after.rebuild()
    assert await after.contents() == {}
    assert not any(it.startswith(b"watermark") for it in await client.hkeys("unimargin:{shard-0}:meta"))


async def test_rebuild_when_some_are_missing_and_the_logs_are_whole_then_it_is_theirs_to_tell(
    client: Redis,
) -> None:
    logs = Logs()
    traded(random.Random(2), logs, 100)
    before = Shard(client, logs)
    await before.store.take_over()
    for topic in Topic:
        await before.apply(topic, len(logs.records[topic]))
    there = await before.contents()
    await before.copy(*ACCOUNTS[:3])
    before.cover(len(EVERY))
    await client.flushdb()
    after = Shard(client, logs)
    assert not await after.rebuild()
    for topic in Topic:
        await after.apply(topic, len(logs.records[topic]))
    assert await after.contents() == there


def unreadable_of_the_shard(logs: Logs) -> None:
    logs.add(COPIES, SHARD_KEY, b"hello")


def deeply_nested(logs: Logs) -> None:
    logs.add(COPIES, b"acct-1", b'{"format": 1, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")


@pytest.mark.parametrize(
    "harm", [damaged, of_somebody_else, without_an_id, deeply_nested, unreadable_of_the_shard]
)
async def test_rebuild_when_a_copy_is_broken_and_the_logs_are_whole_then_it_is_theirs_to_tell(
    client: Redis, harm: Callable[[Logs], None]
) -> None:
    logs = Logs()
    traded(random.Random(2), logs, 200)
    before = await _copied_whole(client, logs)
    there = await before.contents()
    harm(logs)
    await client.flushdb()
    after = Shard(client, logs)
    assert not await after.rebuild()
    for topic in Topic:
        await after.apply(topic, len(logs.records[topic]))
    assert await after.contents() == there


@pytest.mark.parametrize("value", [b"{}", b"hello", b"", b"\xff", b'{"format": "one"}'])
@pytest.mark.parametrize("key", [STRANGE, None, b"", b"\xfe"])
async def test_rebuild_when_a_record_is_nobodys_then_passed_over_though_the_logs_are_cut(
    client: Redis, key: bytes | None, value: bytes
) -> None:
    logs = Logs()
    traded(random.Random(3), logs, 100)
    before = await _copied_whole(client, logs)
    there = await before.contents()
    logs.add(COPIES, key, value)
    await client.flushdb()
    for topic in Topic:
        logs.begins[topic] = len(logs.records[topic])
    after = Shard(client, logs)
    assert await after.rebuild()
    assert await after.contents() == there


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            AccountCopy(STRANGE.decode(), 1, 1, 1, msgspec.Raw(encode(AccountState(STRANGE.decode())))),
            "of another account",
        ),
        (ShardCovered(1, 1, 1, 1, {}, 1, 1), "of another shard"),
        (ShardCovered(0, FORMAT + 1, 1, 1, {}, 1, 1), "newer"),
    ],
)
async def test_rebuild_when_a_copy_is_newer_or_of_another_shard_then_stopped_though_the_logs_are_whole(
    client: Redis, said: AccountCopy | ShardCovered, words: str
) -> None:
    logs = Logs()
    traded(random.Random(2), logs, 100)
    await _copied_whole(client, logs)
    entry = copy_entry(COPIES, 0, said)
    logs.add(COPIES, entry.key, entry.value)
    await client.flushdb()
    with pytest.raises(ShardStopped, match=words):
        await Shard(client, logs).rebuild()


async def _copied_whole(client: Redis, logs: Logs) -> Shard:
    shard = Shard(client, logs)
    await shard.store.take_over()
    for topic in Topic:
        await shard.apply(topic, len(logs.records[topic]))
    await shard.copy(*EVERY)
    shard.cover(len(EVERY))
    return shard


async def test_rebuild_when_cut_short_then_begun_anew(client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = Logs()
    traded(random.Random(3), logs, 200)
    before = Shard(client, logs)
    await before.store.take_over()
    for topic in Topic:
        await before.apply(topic, len(logs.records[topic]))
    await before.copy(*EVERY)
    before.cover(len(EVERY))
    there = await before.contents()
    await client.flushdb()
    with monkeypatch.context() as patched:
        patched.setattr(ShardStore, "remember", _killed)
        with pytest.raises(KeyboardInterrupt):
            await Shard(client, logs).rebuild()
    assert await Shard(client, logs).contents() != {}
    after = Shard(client, logs)
    assert await after.rebuild()
    assert await after.contents() == there


async def test_rebuild_when_an_account_was_last_moved_by_a_log_before_this_one_then_its_next_input_counts(
    client: Redis,
) -> None:
    logs = Logs()
    before = Shard(client, logs)
    await before.store.take_over()
    rests = AccountState(
        MANY,
        {"USDT": Decimal(5)},
        ledger=Progress(offset=20, remembered=Remembered(1, ids=0, forgotten_ns=1)),
    )
    before.processor.load([encode(rests)], {}, {})
    await before.store.commit(Commit(accounts={MANY: encode(rests)}))
    for number in range(10):
        logs.add(Topic.LEDGER, b"acct-0", msgspec.json.encode(deposit("acct-0", entry_id=f"d-{number}")))
    await before.apply(Topic.LEDGER, 10)
    await before.copy("acct-0", MANY)
    before.cover(2)
    logs.add(Topic.LEDGER, MANY.encode(), msgspec.json.encode(deposit(MANY, "7", entry_id="new")))
    for number in range(10, 30):
        logs.add(Topic.LEDGER, b"acct-0", msgspec.json.encode(deposit("acct-0", entry_id=f"d-{number}")))
    await before.apply(Topic.LEDGER, 31)
    await before.copy("acct-0")
    there = {it: before.processor.state(it) for it in ("acct-0", MANY)}
    await client.flushdb()
    after = Shard(client, logs)
    assert await after.rebuild()
    await after.apply(Topic.LEDGER, 31)
    assert {it: after.processor.state(it) for it in there} == there
    assert there[MANY].balances == {"USDT": Decimal(12)}


async def _killed(*_: object) -> None:
    raise KeyboardInterrupt
