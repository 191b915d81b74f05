"""Reading back what a shard has published behind what Redis knows of it: before it publishes anything more.

Redis may have been rewound, and more than once: to a copy that was taken before an earlier rewind as well. So what it holds is compared
with what was published.

    published, and not in Redis       adopted (`Newest`)
    in the outbox, and published       the same bytes: published again, as after any take-over
    ... with another meaning            withdrawn from the outbox: consumers have the id with the meaning that was published
    ... of such an account, unpublished withdrawn too: it goes on from what nobody has heard. The account is judged anew from what was published
    no event of ours                    passed over, counted, and put into quarantine
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import structlog

from engine.events.effects import RiskEvent, Stream
from engine.rejections import Rejection, RejectionCode
from streams.contract.commit import Lane, OutboxEntry
from streams.contract.published_event import UnreadableEvent, decode_event, read_published
from streams.contract.record import Record
from streams.observe.metrics import Metrics
from streams.shards.newest import Newest
from streams.shards.shard_identity import ShardIdentity

QUARANTINED_MAX = 100
"""Foreign records of a take-over that are put into quarantine; more are counted. Somebody who floods a topic must not flood another."""

_TOPICS = frozenset(stream.value for stream in Stream)
_log = structlog.get_logger()


class ReadBack:
    """One shard's. `take` pages in the order of the log, then look at the rest."""

    def __init__(self, identity: ShardIdentity, metrics: Metrics) -> None:
        """Nothing is read, and nothing was inherited."""
        self.newest = Newest()
        self.quarantined: list[OutboxEntry] = []
        self._identity, self._metrics = identity, metrics
        self._inherited: dict[tuple[str, bytes], tuple[Lane, int, OutboxEntry]] = {}
        self._contradicted: set[tuple[str, bytes]] = set()
        self._repeated: set[tuple[str, bytes]] = set()
        self._foreign: Counter[tuple[str, RejectionCode]] = Counter()

    def inherit(self, outboxes: Mapping[Lane, Sequence[OutboxEntry]]) -> None:
        """Compare with what the take-over found in the outboxes."""
        for lane, entries in outboxes.items():
            for place, entry in enumerate(entries):
                event_id = dict(entry.headers).get("ce_id")
                if entry.topic in _TOPICS and event_id is not None:
                    self._inherited[entry.topic, event_id] = lane, place, entry

    def take(self, stream: Stream, records: Iterable[Record]) -> None:
        """Take the next page of a topic."""
        for record in records:
            event = read_published(stream, record.key, record.value, dict(record.headers))
            if isinstance(event, RiskEvent | UnreadableEvent) and not self._identity.is_home_of(
                event.account
            ):
                said = f"account {event.account!r} belongs to another partition"
                event = Rejection(RejectionCode.WRONG_PARTITION, said)
            if isinstance(event, Rejection):
                self._pass_over(stream, record, event)
                continue
            self.newest.add(event)
            name = stream.value, event.id.encode()
            ours = self._inherited.get(name)
            if ours is not None:
                (self._repeated if ours[-1].value == record.value else self._contradicted).add(name)

    def withdrawn(self) -> dict[Lane, list[int]]:
        """By lane, the places in the outbox of what must not be published."""
        places: dict[Lane, list[int]] = {lane: [] for lane in Lane}
        for name in self._withdrawn():
            lane, place, _ = self._inherited[name]
            places[lane].append(place)
        return {lane: sorted(some) for lane, some in places.items()}

    def conclude(self) -> Newest:
        """What is known of accounts once all that is left in the outboxes is published too."""
        for name in self._withdrawn():
            event = decode_event(self._inherited[name][-1].value)
            if isinstance(event, RiskEvent):
                self.newest.withdraw(event)
        if self._contradicted:
            _log.warning(
                "outbox_contradicts_published", shard=self._identity.shard, events=len(self._contradicted)
            )
        for (topic, reason), count in self._foreign.items():
            _log.warning(
                "foreign_events_passed_over",
                shard=self._identity.shard,
                topic=topic,
                reason=reason,
                records=count,
            )
        return self.newest

    def _withdrawn(self) -> set[tuple[str, bytes]]:
        """What contradicts, and what else was to be said of these accounts: their history in Redis is another one than was published."""
        given_up = {
            event.account
            for name in self._contradicted
            if isinstance(event := decode_event(self._inherited[name][-1].value), RiskEvent)
        }
        rest = {
            name
            for name, (*_, entry) in self._inherited.items()
            if given_up
            and name not in self._repeated
            and isinstance(event := decode_event(entry.value), RiskEvent)
            and event.account in given_up
        }
        return self._contradicted | rest

    def _pass_over(self, stream: Stream, record: Record, why: Rejection) -> None:
        self._foreign[stream.value, why.code] += 1
        self._metrics.quarantined_total.labels(stream.value, why.code).inc()
        if len(self.quarantined) < QUARANTINED_MAX:
            self.quarantined.append(self._identity.quarantined(stream, record, why))
