"""What one atomic commit carries, as plain records: the border between the processor and the store."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from engine.events.effects import Stream
from engine.ledger.orders_apart import OrderChanges


class AppliedId(NamedTuple):
    """An id to be remembered, of an account and topic (`engine.ledger.remembering`)."""

    generation: int
    expected: int
    """How many ids its generation is laid out for."""
    place: int
    """How many ids its generation had before it."""
    digest: bytes
    """Of the id."""
    said: bytes
    """Digest of what its input said."""


class ForgottenIds(NamedTuple):
    """A generation whose ids are not remembered any more."""

    topic: str
    account: str
    generation: int
    ids: int
    """How many it has."""
    expected: int
    """How many it is laid out for."""


class SoughtId(NamedTuple):
    """An id that may be among those of a generation."""

    topic: str
    account: str
    generation: int
    ids: int
    """How many it has."""
    expected: int
    digest: bytes
    text: str
    """The id itself: an edition before generations kept it so."""


class Lane(StrEnum):
    """The two ways from a commit to Kafka. Each is in order and waits for nothing in the other; a topic has one of them."""

    LIQUIDATIONS = "liquidations"
    """What an exchange has to execute."""
    ORDINARY = "ordinary"
    """All else: it may be plenty."""


class OutboxEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One Kafka record that must be published at least once, exactly as it stands here."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    event_type: str
    cause_time_ns: int | None = None
    """Event time of the mark that caused it, for the tick-to-event latency."""

    @property
    def lane(self) -> Lane:
        """The way it goes."""
        return Lane.LIQUIDATIONS if self.topic == Stream.LIQUIDATIONS else Lane.ORDINARY


class Commit(msgspec.Struct, frozen=True):
    """Everything that becomes durable together, or not at all."""

    advance: dict[str, tuple[int, int]] = {}
    """Topic -> (expected watermark, new watermark): offsets of the next record to apply."""
    accounts: dict[str, bytes] = {}
    """Their states as they are stored (`engine.ledger.orders_apart.encode_stored`)."""
    orders: dict[str, OrderChanges] = {}
    """Of accounts whose open orders are stored apart from their states, or were."""
    risks: dict[str, bytes] = {}
    ids: dict[tuple[str, str], tuple[AppliedId, ...]] = {}
    """(topic, account) -> newly applied input ids, oldest first."""
    forgotten: tuple[ForgottenIds, ...] = ()
    """They may have ids of this very commit; nothing is added to them after it."""
    outbox: tuple[OutboxEntry, ...] = ()
    breaker: bytes | None = None
    """The state of the shard's breaker; None leaves it as it is."""
    adl: bytes | None = None
    """Where the contracts stand whose deleveraging risk the shard tells; None leaves it as it is."""

    def __bool__(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self.advance or self.accounts or self.risks or self.outbox or self.breaker or self.adl)

    @property
    def urgent(self) -> bool:
        """Whether it cannot wait: it carries inputs, the breaker, a deleveraging risk, or a liquidation."""
        return bool(
            self.advance
            or self.accounts
            or self.ids
            or self.forgotten
            or self.breaker
            or self.adl
            or any(entry.lane is Lane.LIQUIDATIONS for entry in self.outbox)
        )


def merge(commits: Sequence[Commit]) -> Commit:
    """One commit with the effect of all, in order. Raises AssertionError if watermark ranges do not join."""
    advance: dict[str, tuple[int, int]] = {}
    accounts: dict[str, bytes] = {}
    orders: dict[str, OrderChanges] = {}
    risks: dict[str, bytes] = {}
    ids: dict[tuple[str, str], tuple[AppliedId, ...]] = {}
    forgotten: list[ForgottenIds] = []
    outbox: list[OutboxEntry] = []
    breaker: bytes | None = None
    adl: bytes | None = None
    for commit in commits:
        for topic, (start, end) in commit.advance.items():
            first, reached = advance.get(topic, (start, start))
            if reached != start:
                raise AssertionError(f"{topic}: a commit from {start} follows one up to {reached}")
            advance[topic] = (first, end)
        accounts |= commit.accounts
        for account, changes in commit.orders.items():
            orders[account] = orders[account].then(changes) if account in orders else changes
        risks |= commit.risks
        for place, added in commit.ids.items():
            ids[place] = ids.get(place, ()) + added
        forgotten += commit.forgotten
        outbox += commit.outbox
        breaker = commit.breaker or breaker
        adl = commit.adl or adl
    return Commit(advance, accounts, orders, risks, ids, tuple(forgotten), tuple(outbox), breaker, adl)
