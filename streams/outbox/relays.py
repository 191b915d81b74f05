"""Both lanes of a shard's outbox: what is to be executed waits for nothing that is only to be known."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.contract.commit import Lane, OutboxEntry
from streams.observe.metrics import Metrics
from streams.outbox.relay import OutboxRelay
from streams.store.shard_store import ShardStore


class OutboxRelays:
    """A relay for each lane, with the same arguments but a producer of its own: one sends a request at a time to a broker.

    Each is `run` as a task of its own.
    """

    def __init__(
        self,
        store: ShardStore,
        producers: Mapping[Lane, AIOKafkaProducer],
        metrics: Metrics,
        clock_ns: Callable[[], int],
    ) -> None:
        self._relays = {lane: OutboxRelay(store, lane, producers[lane], metrics, clock_ns) for lane in Lane}
        self._older_edition = False

    def pass_over(self, refused: Callable[[OutboxEntry, KafkaError], Awaitable[None]]) -> None:
        """What becomes of entries that Kafka takes for no price; without this the first one ends the relay."""
        for relay in self._relays.values():
            relay.refused = refused

    def inherit(self, outboxes: Mapping[Lane, Sequence[OutboxEntry]]) -> None:
        """Take what a take-over found.

        It is published at once. But what lies before it in the event topics may not be in Redis (it was rewound): before `adopted` no
        position is noted, or who takes over next would begin to read behind that.
        """
        for lane, entries in outboxes.items():
            self._relays[lane].notes_positions = False
            self._relays[lane].offer(entries)
            self._older_edition |= any(entry.lane is not lane for entry in entries)

    def adopted(self) -> None:
        """All that was in the event topics at the take-over is durable in Redis."""
        for relay in self._relays.values():
            relay.notes_positions = True

    async def inherited(self) -> None:
        """Return once it is sure that nothing new overtakes what was inherited.

        An edition before lanes left liquidations in the ordinary one: they have to be published before newer ones are said.
        """
        if self._older_edition:
            await self._relays[Lane.ORDINARY].drained()

    def offer(self, entries: Sequence[OutboxEntry]) -> None:
        """Take what has become durable, in the order of the outbox."""
        for lane, relay in self._relays.items():
            relay.offer([entry for entry in entries if entry.lane is lane])

    async def run(self, lane: Lane) -> None:
        """Publish the lane until cancelled. Raises as `OutboxRelay.run`."""
        await self._relays[lane].run()

    async def drained(self) -> None:
        """Return once everything offered is published and cut from both outboxes."""
        for relay in self._relays.values():
            await relay.drained()
