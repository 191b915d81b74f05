"""The breaker of a shard as the newest commit has it: what is said of it, and what operators decide of it. No I/O, no clock."""

import msgspec

from engine.events.breaker_events import BreakerEvent, BreakerEventType, after_event, breaker_event
from engine.ladder.breaker import Breaker, BreakerState, Opening
from engine.policy import Policy
from streams.contract.commit import Commit, OutboxEntry
from streams.contract.operator_command import BreakerRelease, BreakerVoid, CommandRefusal
from streams.shards.operator_records import OperatorRecords
from streams.shards.shard_identity import ShardIdentity


class ShardBreaker:
    """What of the book's breaker is durable, or on its way."""

    def __init__(
        self, identity: ShardIdentity, records: OperatorRecords, breaker: Breaker, policy: Policy
    ) -> None:
        """`breaker` is that of the book, which rules by `policy`."""
        self._identity, self._records = identity, records
        self._breaker, self._policy = breaker, policy
        self._stored = breaker.state
        """As the newest commit has it."""

    def load(self, state: BreakerState) -> None:
        """Take over what the store holds."""
        self._breaker.load(state)
        self._stored = self._breaker.state

    def rule_by(self, breaker: Breaker, policy: Policy) -> None:
        """The book was built anew under another policy, with this breaker, which stands where the one before did."""
        self._breaker, self._policy = breaker, policy
        self._stored = breaker.state

    def changes(self) -> list[Commit]:
        """What has become of the breaker, before what is said of accounts: whoever takes over holds what we hold."""
        breaker = self._breaker
        if breaker.state is self._stored:
            return []
        outbox: list[OutboxEntry] = []
        opening = breaker.state.opening
        if opening is not None and opening.number > self._stored.openings:
            outbox.append(self._held(opening))
        return [Commit(outbox=tuple(outbox), breaker=self._to_store())]

    def operate(self, command: BreakerRelease | BreakerVoid, *, told: bool) -> tuple[Commit, bool]:
        """What is to be said of the command; and whether it has closed the breaker, so that those whom it held are to be judged.

        `told`: it is on record what became of the command here.
        """
        breaker = self._breaker
        was_done = command.id in breaker.state.commands
        if not breaker.commanded(command.id, command.time_ns):
            refused = None if was_done else CommandRefusal.NOTHING_HELD
            return Commit(outbox=() if told else self._records.outcome(command.id, refused)), False
        return self._closed(command), True

    def adopt(self, event: BreakerEvent) -> list[Commit]:
        """Take over the state of an event that was published, where that is not in the store."""
        self._breaker.load(after_event(self._breaker.state, event))
        return [Commit(breaker=self._to_store())] if self._breaker.state != self._stored else []

    def _closed(self, command: BreakerRelease | BreakerVoid) -> Commit:
        breaker = self._breaker
        released = isinstance(command, BreakerRelease)
        held = breaker.state.held
        opening = breaker.close(released=released)
        kind = BreakerEventType.RELEASED if released else BreakerEventType.VOIDED
        event = msgspec.structs.replace(
            self._next_event(kind, opening, command.time_ns),
            held=held,
            command_id=command.id,
            who=command.who,
            why=command.why,
            commanded_ns=command.time_ns,
        )
        return Commit(
            outbox=(self._identity.said(event), *self._records.outcome(command.id, None)),
            breaker=self._to_store(),
        )

    def _held(self, opening: Opening) -> OutboxEntry:
        return self._identity.said(self._next_event(BreakerEventType.HELD, opening, opening.cause.time_ns))

    def _next_event(self, kind: BreakerEventType, opening: Opening, time_ns: int) -> BreakerEvent:
        self._breaker.numbered()
        state, digest = self._breaker.state, self._policy.digest
        return breaker_event(kind, self._identity.shard, state, opening, time_ns, digest)

    def _to_store(self) -> bytes:
        self._stored = self._breaker.state
        return msgspec.json.encode(self._stored)
