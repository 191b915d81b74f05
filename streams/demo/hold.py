"""Keeps a demo's market open at its last prices after the exchange has ended, so that nothing goes stale."""

import asyncio
import time

import msgspec
from aiokafka import AIOKafkaProducer
from redis.exceptions import RedisError

from engine.inputs import Mark
from streams.config.settings import Settings
from streams.kafka.clients import producer
from streams.store.redis_access import client_of
from streams.store.store_reader import StoreReader

REPEAT_SECONDS = 2.0


async def hold_prices(settings: Settings) -> None:
    """Repeat the last believed mark of every symbol, dated now, until cancelled."""
    redis = client_of(settings)
    store = StoreReader(redis, settings.redis_prefix)
    connection = producer(settings)
    await connection.start()
    try:
        while True:
            await _repeat(store, connection, settings.topic_prices)
            await asyncio.sleep(REPEAT_SECONDS)
    finally:
        await connection.stop()
        await redis.aclose()


async def _repeat(store: StoreReader, connection: AIOKafkaProducer, topic: str) -> None:
    try:
        saved = await store.marks(shard=0)
    except RedisError:  # away for a moment; the next round finds it
        return
    marks = [msgspec.json.decode(data, type=Mark) for data in saved.values()]
    now_ns = time.time_ns()
    for mark in marks:
        again = msgspec.structs.replace(mark, sequence=mark.sequence + 1, time_ns=now_ns)
        await connection.send_and_wait(topic, msgspec.json.encode(again), mark.symbol.encode())
