"""One seeded life of a shard: an exchange that sends, workers that come and go, servers that fail; then rest, and the audit of the promise."""

import asyncio
import gc
import hashlib
import logging
import random
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple, NoReturn
from unittest.mock import patch
from uuid import UUID

import msgspec
import structlog

from engine.events.effects import Stream
from engine.inputs import AccountInput, Mark, MarkBatch, Topic
from engine.policy import Policy, parse
from streams.contract.account_copy import SHARD_KEY, ShardCovered
from streams.observe.metrics import Metrics
from streams.shards import crash, shards
from streams.store import shard_store
from streams.store.redis_client import StoreUnavailable
from streams.store.shard_store import ShardStore
from streams.store.store_keys import ShardKeys
from streams.store.store_reader import StoreReader
from tests.simulation.seeded_loop import PROCESS, SeededLoop
from tests.simulation.sim_kafka import COPIES_TOPIC, Broker, Transaction
from tests.simulation.sim_redis import Data, RedisClient, RedisFaults, RedisServer
from tests.simulation.sim_worker import SHARD, TOPICS, SimWorker, Surroundings
from tests.support.audit import Audited, audit_of, unsettled_of
from tests.support.cluster import POLICY_FILE
from tests.support.kafka_log import LogRecord
from tests.support.market import BASE, Market
from tests.support.redis_view import Stored, read_shards
from tests.support.sender import topic_of
from tests.support.trader import Trader

BEGIN_NS = 1_750_000_000 * 10**9
TRADED_S = 3.0
"""How long inputs, prices and faults come."""
REST_S_MAX = 120.0
"""After which everything must be told."""
FAULTS = (
    "kill", "two", "pause", "redis", "broker", "lossy", "rewind", "empty", "fence", "clock", "trim", "lanes",
)  # fmt: skip
KEYS = ShardKeys("unimargin", SHARD)
META = KEYS.meta.encode()
JUNK = (b"", b"{", b'{"type":"fill"}')


class Life(NamedTuple):
    """What became of a seed."""

    audited: Audited
    faults: list[str]
    digest: str
    """Of all that was published, and of what Redis holds but the snapshot."""
    turns: int


class Failure(AssertionError):  # noqa: N818 - it tells what happened
    """Tells the seed."""


@lru_cache
def policy() -> Policy:
    """Of the system tests."""
    return parse(POLICY_FILE.read_text())


class Scenario:
    """All that happens in one life."""

    def __init__(self, seed: int, faults: tuple[str, ...] | None = None) -> None:
        rng = self._rng = random.Random(seed)
        self.loop = SeededLoop(random.Random(rng.random()))
        self.faults: list[str] = []
        """What went wrong, and when."""
        self.broken: list[str] = []
        """What nobody should ever see."""
        self._kinds = rng.sample(FAULTS, rng.randint(1, 5)) if faults is None else list(faults)
        self._jump_ns = 0
        self.policy, self.broker = policy(), Broker(random.Random(rng.random()), self.now_ns)
        self.server = RedisServer(self.now_ns)
        self.network = RedisFaults(random.Random(rng.random()))
        self._around = Surroundings(
            self.loop,
            random.Random(rng.random()),
            self.policy,
            self.broker,
            RedisClient(self.server, self.network),
        )
        self.workers: list[SimWorker] = []
        self._copies: list[Data] = []
        self._market: Market | None = None
        self._moving = True

    def now_ns(self) -> int:
        """The wall clock."""
        return BEGIN_NS + int(self.loop.time() * 1e9) + self._jump_ns

    def partition_of(self, _: bytes, /) -> int:
        """There is one."""
        return SHARD

    def read_topic(self, topic: str, /) -> Iterator[LogRecord]:
        """What a consumer sees in the end."""
        for it in self.broker.partition(topic).records():
            headers = {name: value.decode() for name, value in it.headers}
            yield LogRecord(topic, SHARD, it.offset, it.key, it.value, headers)

    def end_process(self, reason: str, error: BaseException | None = None) -> None:
        """In place of the exit of a process."""
        process = PROCESS.get()
        assert isinstance(process, SimWorker)
        process.dead, process.ended = True, f"{reason}: {error!r}"
        if not isinstance(error, StoreUnavailable):
            self.broken.append("".join(traceback.format_exception(error)))
        self._note(f"{process.name} ended: {process.ended}")

    async def live(self) -> Stored:
        """Everything, to the end."""
        self._market = Market(random.Random(self._rng.random()))
        prices = self.loop.create_task(self._price())
        exchange = [self.loop.create_task(self._trade(place)) for place in range(2)]
        self._begin_worker()
        trouble = self.loop.create_task(self._trouble())
        copies = self.loop.create_task(self._keep_copies())
        await asyncio.gather(*exchange, trouble)
        copies.cancel()
        self._moving = False
        await asyncio.sleep(self._rng.uniform(0, 4))  # what is late comes
        last = self._begin_worker(kill=True)
        stored = await self._rest(last)
        prices.cancel()
        return stored

    async def _rest(self, last: SimWorker) -> Stored:
        assert self._market is not None
        reader = StoreReader(RedisClient(self.server, RedisFaults(random.Random(0))))  # type: ignore[arg-type]
        until_s, rests, why = self.loop.time() + REST_S_MAX, 0, ""
        while self.loop.time() < until_s:
            await asyncio.sleep(1.1)
            if last.dead:
                raise Failure(f"the last owner ended: {last.ended}")
            conditions = [str(it.condition) + it.stop_reason for it in last.shards.runners]
            stored = await read_shards(reader, 1)
            ends = {topic.value: self.broker.partition(name).stable() for topic, name in TOPICS.items()}
            reached = {topic: stored.metas[0].watermarks.get(topic, 0) for topic in ends}
            held = {
                it: Mark(symbol=it, price=self._market.price(it), sequence=0, time_ns=self.now_ns())
                for it in BASE
            }
            why = (
                f"{reached} of {ends}, {conditions}"
                if reached != ends
                else unsettled_of(self.policy, stored, held) or ""
            )
            rests = 0 if why else rests + 1
            if rests == 2:
                return stored
        raise Failure(f"no rest after {REST_S_MAX} s: {why}, {conditions}")

    def _begin_worker(self, *, kill: bool = False) -> SimWorker:
        if kill:
            for it in self.workers:
                it.dead = True
        worker = SimWorker(f"worker-{len(self.workers)}", self._around, self.now_ns)
        self.workers.append(worker)
        worker.start()
        worker.do(crash.crash_only(worker.shards.assigned)({SHARD}))
        return worker

    async def _price(self) -> None:
        market, topic = self._market, self.broker.partition("prices")
        assert market is not None
        while True:
            symbols = sorted(BASE)
            if self._moving:
                symbols = self._rng.sample(symbols, self._rng.randint(1, len(symbols)))
                for symbol in symbols:
                    market.step(symbol)
            marks = tuple(market.mark(it) for it in (symbols if topic.entries else sorted(BASE)))
            topic.add(b"all", msgspec.json.encode(MarkBatch(marks)), self.now_ns() // 10**6)
            await asyncio.sleep(0.15 if self._moving else 0.5)

    async def _trade(self, place: int) -> None:
        rng, market = random.Random(self._rng.random()), self._market
        assert market is not None
        traders = [
            Trader(f"acct-{place}{number}", random.Random(rng.random()), market, numbered=rng.random() < 0.5)
            for number in range(rng.randint(1, 3))
        ]
        waiting: list[AccountInput] = [message for it in traders for message in it.opening()]
        until_s, sent = self.loop.time() + TRADED_S, list[AccountInput]()
        while waiting or self.loop.time() < until_s:
            if not waiting:
                waiting = [rng.choice(traders).next() for _ in range(rng.randint(1, 4))]
            count = rng.randint(1, min(6, len(waiting)))
            now, waiting = waiting[:count], waiting[count:]
            if sent and rng.random() < 0.2:
                now.append(rng.choice(sent))
            await self._send(now, rng)
            sent += now
            if rng.random() < 0.01:
                junk = rng.choice(JUNK)
                topic = rng.choice(list(TOPICS.values()))
                self.broker.partition(topic).add(b"acct-00", junk, self.now_ns() // 10**6)
            await asyncio.sleep(rng.uniform(0, 0.3))

    async def _send(self, messages: list[AccountInput], rng: random.Random) -> None:
        transaction, tries = None, 2 if rng.random() < 0.1 else 1
        transactional = tries == 2 or rng.random() < 0.2
        for last in (False, True)[-tries:]:
            transaction = Transaction() if transactional else None
            touched = set()
            for message in messages:
                partition = self.broker.partition(TOPICS[topic_of(message)])
                touched.add(TOPICS[topic_of(message)])
                partition.add(
                    message.account.encode(),
                    msgspec.json.encode(message),
                    self.now_ns() // 10**6,
                    transaction=transaction,
                )
                if transaction and rng.random() < 0.3:
                    await asyncio.sleep(rng.uniform(0, 0.2))
            if transaction:
                transaction.committed = last
                for name in sorted(touched):
                    self.broker.partition(name).mark()

    async def _keep_copies(self) -> None:
        while True:
            self._copies.append(self.server.copy())
            await asyncio.sleep(self._rng.uniform(0.1, 0.8))

    async def _trouble(self) -> None:
        until_s = self.loop.time() + TRADED_S
        while self.loop.time() < until_s:
            await asyncio.sleep(self._rng.uniform(0.05, 1.2))
            kind = self._rng.choice(self._kinds)
            self._note(kind)
            await getattr(self, f"_{kind}")()
        self.network.share = self.broker.share = 0.0
        self.network.away = self.broker.away = False
        self.broker.without_leader = ""
        for it in self.workers:
            self.loop.resume(it)

    async def _kill(self) -> None:
        for it in self.workers:
            it.dead = True
        await asyncio.sleep(self._rng.choice((0, 0.3)))
        self._begin_worker()

    async def _end(self) -> None:
        """As at an upgrade. Not among `FAULTS`: only where nothing else goes wrong must nothing be left to its successor."""
        worker, ended = self.workers[-1], asyncio.Event()

        async def is_so(look: Callable[[], bool], seconds: float) -> None:
            until_s = self.loop.time() + seconds
            while not look() and self.loop.time() < until_s:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.001)

        await is_so(lambda: worker.shards.ready, REST_S_MAX)
        # the hardest moment
        await is_so(lambda: any(it.processor.reasons_due for it in worker.shards.runners), TRADED_S / 6)

        async def stop() -> None:
            await worker.shards.stop()
            ended.set()

        worker.do(crash.crash_only(stop)())
        await ended.wait()
        worker.dead = True
        left = [it for it in KEYS.outboxes.values() if self.server.data.get(it.encode())]
        if left:
            self.broken.append(f"{worker.name} came to its end and left {left}")
        self._begin_worker()

    async def _two(self) -> None:
        self._begin_worker()

    async def _pause(self) -> None:
        worker = self.workers[-1]
        worker.paused = True
        if self._rng.random() < 0.5:
            await asyncio.sleep(self._rng.uniform(0, 0.5))
            self._begin_worker()
        self.loop.call_later(self._rng.uniform(0.01, 4), self.loop.resume, worker)

    async def _redis(self) -> None:
        self.network.away = True
        await asyncio.sleep(self._rng.uniform(0.01, 1.5))
        self.network.away = False

    async def _broker(self) -> None:
        self.broker.away = True
        await asyncio.sleep(self._rng.uniform(0.01, 1.5))
        self.broker.away = False

    async def _lanes(self) -> None:
        """One event topic goes on without the other; often Redis loses in that moment what both are to say."""
        self.broker.without_leader = self._rng.choice(list(Stream))
        await asyncio.sleep(self._rng.uniform(0.1, 1.5))
        if self._rng.random() < 0.7:
            await (self._empty if self._rng.random() < 0.5 else self._rewind)()
        self.broker.without_leader = ""

    async def _lossy(self) -> None:
        self.network.share = self._rng.choice((0.0, 0.02, 0.2))
        self.broker.share = self._rng.choice((0.0, 0.05, 0.4))

    async def _rewind(self) -> None:
        self.server.restore(self._rng.choice(self._copies))

    async def _empty(self) -> None:
        self.server.restore({})

    async def _trim(self) -> None:
        """Cut the inputs as far as the second copies reach; a Redis from before that would have to stop."""
        copies = self.broker.partition(COPIES_TOPIC).records()
        said = next((it.value for it in reversed(copies) if it.key == SHARD_KEY), None)
        meta = self.server.data.get(META, {})
        reached = {topic: meta.get(f"watermark:{topic}".encode()) for topic in TOPICS}
        if said is not None and all(reached.values()):
            covered = msgspec.json.decode(said, type=ShardCovered)
            for topic, name in TOPICS.items():
                offset = covered.fills if topic is Topic.FILLS else covered.ledger
                partition = self.broker.partition(name)
                partition.begin = max(partition.begin, min(offset, int(reached[topic])))
            self._copies = [self.server.copy()]

    async def _fence(self) -> None:
        """Somebody takes the shard over, does nothing, and is gone; the group gives it back."""
        other = ShardStore(self._around.redis, SHARD, "other", Metrics(), retry_for_s=0.0)  # type: ignore[arg-type]
        try:
            await other.take_over()
        except StoreUnavailable:
            return
        await asyncio.sleep(self._rng.uniform(0, 0.5))
        self._begin_worker()

    async def _clock(self) -> None:
        self._jump_ns += self._rng.choice((-3_000, -200, 200, 3_000)) * 10**6

    def _note(self, what: str) -> None:
        self.faults.append(f"{self.loop.time():.3f} {what}")


def live(seed: int, faults: tuple[str, ...] | None = None) -> Life:
    """Live through one seed and audit it. Raises Failure, with the seed."""
    scenario = Scenario(seed, faults)
    try:
        with _simulated(scenario, seed):
            stored = scenario.loop.run_until_complete(scenario.live())
        assert not scenario.broken + scenario.loop.failures, "\n".join(
            scenario.broken + scenario.loop.failures
        )
        audited = audit_of(scenario, stored)
    except Exception as error:
        told = "\n".join(scenario.faults)
        raise Failure(f"seed {seed}: {type(error).__name__}: {error}\n{told}") from error
    return Life(audited, scenario.faults, _digest(scenario), scenario.loop.turns)


def _digest(scenario: Scenario) -> str:
    said = hashlib.sha256()
    for topic in sorted(scenario.broker.partitions):
        said.update(repr(list(scenario.read_topic(topic))).encode())
    for key, value in sorted(scenario.server.data.items(), key=lambda it: it[0]):
        if key.endswith(b":snapshot"):
            continue  # packed in the order of a set
        said.update(repr((key, sorted(value) if isinstance(value, set) else value)).encode())
    return said.hexdigest()


@contextmanager
def _simulated(scenario: Scenario, seed: int) -> Iterator[None]:
    """Clocks, names and the end of a process, as the scenario has them; no garbage is looked for, whose finder keeps its own time."""
    clock_s, tokens = scenario.loop.time, random.Random(seed)

    def token() -> UUID:
        return UUID(int=tokens.getrandbits(128))

    before = structlog.get_config()
    structlog.configure([_say_nothing], structlog.make_filtering_bound_logger(logging.CRITICAL))
    gc.disable()
    replaced: list[tuple[object, str, object]] = [
        (time, "monotonic", clock_s),
        (time, "time_ns", scenario.now_ns),
        (time, "time", lambda: scenario.now_ns() / 1e9),
        (crash, "end_process", scenario.end_process),
        (shard_store, "uuid4", token),
        (shards, "gc", _NoCollector()),
    ]
    patches = [patch.object(place, name, new) for place, name, new in replaced]
    try:
        for it in patches:
            it.start()
        yield
    finally:
        for it in reversed(patches):
            it.stop()
        gc.enable()
        structlog.configure(**before)


def _say_nothing(*_: object) -> NoReturn:
    raise structlog.DropEvent


class _NoCollector:
    """In place of `gc`: a full collection takes longer than a life."""

    collect: Callable[[], None] = staticmethod(lambda: None)
    freeze: Callable[[], None] = staticmethod(lambda: None)
