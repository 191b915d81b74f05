"""What one atomic commit carries, as plain records: the border between the processor and the store."""

from collections.abc import Sequence

import msgspec

DEDUPE_WINDOW = 4096
"""Newest input ids remembered per account and topic. A producer's re-send comes within seconds; a market maker
with 100 fills a second is covered for 40 s. Where the exchange sends `account_seq` the check has no window."""


class OutboxEntry(msgspec.Struct, frozen=True):
    """One Kafka record that must be published at least once, exactly as it stands here."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    event_type: str
    cause_time_ns: int | None = None
    """Event time of the mark that caused it, for the tick-to-event latency."""


class Commit(msgspec.Struct, frozen=True):
    """Everything that becomes durable together, or not at all."""

    advance: dict[str, tuple[int, int]] = {}
    """Topic -> (expected watermark, new watermark): offsets of the next record to apply."""
    accounts: dict[str, bytes] = {}
    risks: dict[str, bytes] = {}
    seen: dict[tuple[str, str], tuple[str, ...]] = {}
    """(topic, account) -> newly applied input ids, oldest first."""
    outbox: tuple[OutboxEntry, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self.advance or self.accounts or self.risks or self.outbox)


def merge(commits: Sequence[Commit]) -> Commit:
    """One commit with the effect of all, in order. Raises AssertionError if watermark ranges do not join."""
    advance: dict[str, tuple[int, int]] = {}
    accounts: dict[str, bytes] = {}
    risks: dict[str, bytes] = {}
    seen: dict[tuple[str, str], tuple[str, ...]] = {}
    outbox: list[OutboxEntry] = []
    for commit in commits:
        for topic, (start, end) in commit.advance.items():
            first, reached = advance.get(topic, (start, start))
            if reached != start:
                raise AssertionError(f"{topic}: a commit from {start} follows one up to {reached}")
            advance[topic] = (first, end)
        accounts |= commit.accounts
        risks |= commit.risks
        for place, ids in commit.seen.items():
            seen[place] = seen.get(place, ()) + ids
        outbox += commit.outbox
    return Commit(advance, accounts, risks, seen, tuple(outbox))
