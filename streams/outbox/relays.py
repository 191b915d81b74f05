"""Both lanes of a shard's outbox: what is to be executed waits for nothing that is only to be known.

But what is only to be known waits for what is to be executed and was decided with it, or before: a detail must not be out before its
verdict. Where Redis is emptied between the two, whoever reads the topics back would take the account for one whose verdict was said,
and give the verdict's number to something else. Rejected: saying a verdict again when only its detail is found (the log has all it was
computed from, but not which prices had come by then, so the same number would get another meaning than the detail names); both lanes in
one Kafka transaction (three more requests a round, and a liquidation waits for ten thousand updates); waiting account by account (what
waits at the head of a lane holds up all behind it in any case).
The other way round `margin-events` may lack what `liquidations` has told: that can be made good (`engine.events.lost_words`).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.contract.commit import Lane, OutboxEntry
from streams.kafka.producer_epochs import ProducerEpoch
from streams.observe.metrics import Metrics
from streams.observe.traces import NO_TRACES, Traces
from streams.outbox.licence import Licence
from streams.outbox.relay import OutboxRelay
from streams.store.shard_store import ShardStore

RaiseEpoch = Callable[[int], Awaitable[ProducerEpoch | None]]
"""Shuts whoever owned the shard before out of its event topics; None where the broker cannot."""


class OutboxRelays:
    """A relay for each lane, with the same arguments but a producer of its own: one sends a request at a time to a broker.

    Each is `run` as a task of its own. What a take-over finds goes through `inherit`, `shut_out` and `adopted`, in this order.
    """

    def __init__(
        self,
        store: ShardStore,
        producers: Mapping[Lane, AIOKafkaProducer],
        metrics: Metrics,
        clock_ns: Callable[[], int],
        raise_epoch: RaiseEpoch,
        traces: Traces = NO_TRACES,
    ) -> None:
        self._store, self._metrics, self._raise_epoch = store, metrics, raise_epoch
        self._licence = Licence(store)
        first, second = Lane.LIQUIDATIONS, Lane.ORDINARY
        ahead = OutboxRelay(store, first, self._licence, producers[first], metrics, clock_ns, traces=traces)
        behind = OutboxRelay(
            store, second, self._licence, producers[second], metrics, clock_ns, ahead=ahead, traces=traces
        )
        self._relays = {first: ahead, second: behind}
        self._epoch: ProducerEpoch | None = None
        self._older_edition = False

    def pass_over(self, refused: Callable[[OutboxEntry, KafkaError], Awaitable[None]]) -> None:
        """What becomes of entries that Kafka takes for no price; without this the first one ends the relay."""
        for relay in self._relays.values():
            relay.refused = refused

    def inherit(self, outboxes: Mapping[Lane, Sequence[OutboxEntry]]) -> None:
        """Take what a take-over found. None of it is published before `adopted`."""
        for lane, entries in outboxes.items():
            self._relays[lane].offer(entries)
            self._older_edition |= any(entry.lane is not lane for entry in entries)

    async def shut_out(self) -> None:
        """Have the broker take nothing more from whoever owned the shard before: what is read after this is all there ever will be."""
        self._epoch = await self._raise_epoch(self._store.shard)

    async def withdraw(self, places: Mapping[Lane, Sequence[int]]) -> None:
        """Take out of the outboxes what was inherited at these places. Raises as `ShardStore.withdrawn`."""
        for lane, some in places.items():
            if some:
                await self._store.withdrawn(lane, some)
                self._relays[lane].withdraw(set(some))

    def adopted(self) -> None:
        """All that was in the event topics at the take-over is durable in Redis: publish."""
        self._licence.give(self._epoch)

    async def inherited(self) -> None:
        """Return once it is sure that nothing new overtakes what was inherited.

        An edition before lanes left liquidations in the ordinary one: they have to be published before newer ones are said.
        """
        if self._older_edition:
            await self._relays[Lane.ORDINARY].drained()

    async def committed_by(self, commit: Callable[[], Awaitable[None]]) -> None:
        """Await `commit`, which fails unless the shard is ours: what it makes durable is published without asking once more."""
        await self._licence.proved_by(commit)

    def offer(self, entries: Sequence[OutboxEntry]) -> None:
        """Take what has become durable, in the order of the outbox."""
        for lane, relay in self._relays.items():
            relay.offer([entry for entry in entries if entry.lane is lane])

    async def run(self, lane: Lane) -> None:
        """Publish the lane until cancelled. Raises as `OutboxRelay.run`."""
        await self._relays[lane].run()

    @property
    def waiting(self) -> int:
        """Entries of both lanes that are not known to be published."""
        return sum(relay.waiting for relay in self._relays.values())

    async def drained(self) -> None:
        """Return once everything offered is published and cut from both outboxes."""
        for relay in self._relays.values():
            await relay.drained()
