"""A producer that knows its topics and is connected before it has anything to send.

aiokafka asks where a topic lives, and connects to a broker, when the first record is to be sent; each answer is heard when the event loop
has its turn. Liquidations have a producer of their own, with nothing to do for days, and then a thousand at once: the first would be said 25
ms later. Brokers end connections that nobody uses for ten minutes, so this is done again and again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

KEPT_SECONDS = 60.0
"""Between two looks: a connection that was ended is missed for so long at most."""


def keep_connected(
    producer: AIOKafkaProducer, topics: Collection[str], every_seconds: float = KEPT_SECONDS
) -> Callable[[], Awaitable[None]]:
    """The body of a task that has the started `producer` connected, until cancelled. What it cannot reach, whoever publishes tells."""

    async def keep() -> None:
        while True:
            try:
                for topic in topics:
                    await producer.partitions_for(topic)
                for broker in producer.client.cluster.brokers():
                    await producer.client.ready(broker.nodeId)
            except KafkaError:
                pass
            await asyncio.sleep(every_seconds)

    return keep
