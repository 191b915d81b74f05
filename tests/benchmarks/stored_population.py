"""A population put where a worker finds it: every input in Kafka, and in Redis what a worker had made of it.

It is written directly, because a worker takes some minutes for a million accounts: each input is produced to its partition and
applied by the engine at the offset that it has there, and the states, the ids and the watermarks are those that a worker would have committed.
Only what judging adds (risk records, events) is missing: the first worker that starts adds it.
"""

import multiprocessing
import time
from collections import Counter
from decimal import Decimal

import redis
from confluent_kafka import Producer

from engine.inputs import Fill, Topic
from engine.ledger.accounts import AccountState, encode
from engine.ledger.applying import apply
from engine.policy import Policy
from engine.rejections import Duplicate, Rejection
from streams.exchange.market.scenario import SyntheticCrash
from streams.exchange.traders.contracts import account_id
from streams.exchange.traders.population import Population
from streams.kafka.clients import account_partitioner
from streams.store.store_keys import WATERMARK, ShardKeys
from tests.benchmarks.load import encode as encode_input

PROCESSES = 2
WRITTEN_TOGETHER = 2_000
"""Accounts in one write to Redis."""
QUEUED_MAX = 500_000
FLUSH_S = 300.0


def store_population(
    bootstrap: str, redis_url: str, policy: Policy, accounts: int, shards: int, seed: int
) -> dict[str, Decimal]:
    """Fill the empty topics and the empty Redis with `accounts` accounts; returns the prices that they were made for."""
    prices = dict(SyntheticCrash(policy, seed=seed, seconds=60.0, ticks_per_second=100.0).start_prices)
    population = Population(policy, accounts, seed, prices)
    context = multiprocessing.get_context("fork")
    writers = [
        context.Process(
            target=_store_shards,
            args=(bootstrap, redis_url, population, shards, range(first, shards, PROCESSES)),
        )
        for first in range(PROCESSES)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0, f"the writer ended with {writer.exitcode}"
    return prices


def _store_shards(bootstrap: str, redis_url: str, population: Population, shards: int, mine: range) -> None:
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "linger.ms": 20,
            "queue.buffering.max.messages": QUEUED_MAX,
        }
    )
    client = redis.Redis.from_url(redis_url)
    partition_of, now_ns = account_partitioner(shards), time.time_ns()
    offsets: Counter[tuple[Topic, int]] = Counter()
    pipe = client.pipeline(transaction=False)
    for number in range(1, population.accounts + 1):
        key = account_id(number).encode()
        shard = partition_of(key)
        if shard not in mine:
            continue
        keys, state = ShardKeys("unimargin", shard), AccountState(account_id(number))
        for message in population.account_inputs(number, now_ns):
            topic = Topic.FILLS if isinstance(message, Fill) else Topic.LEDGER
            while producer.poll(0) or len(producer) > QUEUED_MAX // 2:
                producer.poll(0.01)
            producer.produce(topic, encode_input(message), key, partition=shard)
            after = apply(state, message, topic, offsets[topic, shard], population.policy)
            assert not isinstance(after, Duplicate | Rejection), after
            state = after
            offsets[topic, shard] += 1
        pipe.hset(keys.accounts, state.account, encode(state))
        if len(pipe) > WRITTEN_TOGETHER:
            pipe.execute()
    for (topic, shard), offset in offsets.items():
        pipe.hset(ShardKeys("unimargin", shard).meta, WATERMARK + topic, offset)
    pipe.execute()
    assert producer.flush(FLUSH_S) == 0
