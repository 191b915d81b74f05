"""A producer that has sent nothing yet, on a real broker."""

import asyncio
from collections.abc import Callable

from streams.config.settings import Settings
from streams.kafka.clients import relay_producer
from streams.kafka.kept_connections import keep_connected
from tests.support.kafka_server import RealKafka


async def test_producer_when_it_is_kept_connected_then_its_topic_is_known_and_a_lost_connection_made_anew(
    real_kafka: RealKafka, unique: Callable[[str], str]
) -> None:
    topic = unique("liquidations")
    real_kafka.create_topics({topic: 2})
    async with relay_producer(Settings(kafka_bootstrap_servers=real_kafka.bootstrap_servers)) as producer:
        client = producer.client
        assert not client._conns
        assert topic not in client.cluster.topics()
        task = asyncio.create_task(keep_connected(producer, [topic], every_seconds=0.05)())
        first = await connection(client)
        assert client.cluster.partitions_for_topic(topic) == {0, 1}
        first.close()
        assert await connection(client) is not first
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def connection(client):  # type: ignore[no-untyped-def]
    """The one that leads to the broker, once there is one."""
    async with asyncio.timeout(10):
        while True:
            open_ones = [it for it in client._conns.values() if it.connected()]
            if open_ones and len(client._conns) == 1:
                return open_ones[0]
            await asyncio.sleep(0.02)
