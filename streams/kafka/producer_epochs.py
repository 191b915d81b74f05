"""Shutting the older owners of a shard out of its event topics, and of that of its second copies, by the broker itself.

Why Redis' fence is not enough
------------------------------
An owner that was paused, or whose broker was away, may have asked for the fence long ago: its batch lies in a buffer, of the process, of
the kernel, of the broker's socket, and is taken when it is taken. If Redis was rewound meanwhile, its successor has given the ids of that
batch another meaning. Only who appends to the log can refuse it.

How the broker is made to refuse
--------------------------------
Kafka gives a transactional id one producer id, and a higher epoch each time that it is asked for it. A partition takes no batch of a
producer id with a lower epoch than the highest that it has seen. So whoever takes a shard over
1. asks for the next epoch of the shard's transactional id
2. aborts a transaction with nothing in it over the shard's event partitions: its markers carry the epoch into the logs; and waits
   until they are there, by asking for one more epoch
3. reads back what was published. Whatever an older owner sends from here on is refused: nothing comes between
4. publishes with this id and epoch, numbering what it sends: a batch sent twice is in the log once
Nothing is ever published *in* a transaction, so it costs nothing at a round, and consumers read as they did. The markers take an offset each.

Limits: a broker forgets a transactional id that has begun no transaction for `transactional.id.expiration.ms`, a week. Of an owner who has
the shard for longer the next one gets another producer id, and then only the look at Redis before each send (`streams.outbox.licence`)
stands between that owner's late batch and the log. The broker in memory (`streams.embedded`) refuses nobody.

Rejected: a transaction a round (three requests more, and consumers see nothing before its end); a deadline on every send, which the
successor waits out (a pause may come after the last look at any clock, and a broker's socket keeps no deadline).
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, TransactionalIdAuthorizationFailed

from engine.events.effects import Stream
from streams.config.settings import Settings
from streams.kafka.clients import client_options

ATTEMPT_SECONDS = 10.0
"""Far more than the three requests take; a broker whose coordinator is being elected is asked again."""
RETRY_SECONDS = 0.2
RETRY_BACKOFF_MS = 20
"""Within an attempt: the coordinator may still be busy with the markers of the epoch before."""
TRANSACTIONAL_ID_PREFIX = "unimargin-shard-"
TRANSACTION_TIMEOUT_MS = 10_000
"""Of a transaction whose owner ends within it; the next epoch aborts it at once."""

_log = structlog.get_logger()


class ProducerEpoch(NamedTuple):
    """Who writes, by the broker's count."""

    producer_id: int
    epoch: int


class EpochRefused(Exception):  # noqa: N818 - it names what happened
    """The broker gives us no epoch, and asking again cannot help."""


async def raise_shard_epoch(settings: Settings, shard: int) -> ProducerEpoch | None:
    """Take the next epoch over the partitions of a shard that it publishes to alone; None where the settings say that the broker counts none.

    Event topics have fixed names, so whoever writes to one in this cluster writes for the same shard. Raises EpochRefused.
    """
    if not settings.kafka_idempotent_producer:
        return None
    topics = [*Stream, *([settings.topic_account_state] if settings.account_state_minutes else [])]
    places = [TopicPartition(topic, shard) for topic in topics]
    return await raise_epoch(settings, f"{TRANSACTIONAL_ID_PREFIX}{shard}", places)


async def raise_epoch(
    settings: Settings, transactional_id: str, places: Sequence[TopicPartition]
) -> ProducerEpoch:
    """Take the next epoch of `transactional_id`; none before it may write to `places` any more when this returns.

    Waits for a broker that is away. Raises EpochRefused.
    """
    while True:
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                await _next_epoch(settings, transactional_id, places)
                # The broker answers before the markers are in the logs; it gives no further epoch before they are.
                return await _next_epoch(settings, transactional_id)
        except TransactionalIdAuthorizationFailed as error:
            raise EpochRefused(
                f"Kafka does not let us write as transactional id {transactional_id!r}; it must be allowed Write and Describe"
            ) from error
        except (KafkaError, OSError, TimeoutError) as error:
            _log.warning("producer_epoch_asked_again", transactional_id=transactional_id, error=repr(error))
        await asyncio.sleep(RETRY_SECONDS)


async def _next_epoch(
    settings: Settings, transactional_id: str, places: Sequence[TopicPartition] = ()
) -> ProducerEpoch:
    """Take the next epoch, and have it carried into these partitions in time."""
    producer = AIOKafkaProducer(
        **client_options(settings),
        transactional_id=transactional_id,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        retry_backoff_ms=RETRY_BACKOFF_MS,
    )
    try:
        await producer.start()
        manager = producer._txn_manager  # noqa: SLF001 - the client adds a partition only with a record in it
        if places:
            await producer.begin_transaction()
            for place in places:
                manager.maybe_add_partition_to_txn(place)
            await producer.abort_transaction()
        return ProducerEpoch(manager.producer_id, manager.producer_epoch)
    finally:
        with suppress(KafkaError):
            await producer.stop()
