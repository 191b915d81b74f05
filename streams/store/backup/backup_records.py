"""What a backup says: one header, then for each shard records and an end, then the end of the file.

The records of a shard are to be taken in order: a later record of an account takes the place of an earlier one.
"""

import msgspec

from streams.contract.commit import Lane


class BackupHeader(msgspec.Struct, frozen=True):
    """Of which installation, and when."""

    edition: str
    """Version of the program that wrote it."""
    format: int
    """In force then (`streams.store.format_store`); a shard may have a lower one, or a higher."""
    prefix: str
    created_ns: int
    """Wall clock, Unix ns."""
    shards: tuple[int, ...]
    policy: str | None
    """What is in force, as Redis has it (`streams.store.policy_store`)."""
    policies: dict[str, str]
    """By digest, every policy that ever was in force."""


class AccountRecord(msgspec.Struct, frozen=True, array_like=True, tag="account"):
    """All that lies in Redis of one account."""

    account: str
    state: bytes | None
    """As it is stored; None where there is a risk record alone."""
    risk: bytes | None
    orders: list[bytes]
    """Of those apart from the state: order id, order, ..."""
    ids: dict[str, list[bytes]]
    """By key below that of the shard: digest of an id, digest of what was said, ..."""
    listed: dict[str, list[bytes]]
    """By key below that of the shard: ids of an edition before generations."""
    again: bool
    """Whether an earlier record of the account may have come."""


class MarksRecord(msgspec.Struct, frozen=True, array_like=True, tag="marks"):
    """The last saved marks: price symbol, mark, ..."""

    marks: list[bytes]


class OutboxRecord(msgspec.Struct, frozen=True, array_like=True, tag="outbox"):
    """Entries that follow those before, of one lane."""

    lane: Lane
    cleared: bool
    """Whether all that came before were published meanwhile."""
    entries: list[bytes]
    cut: int
    """How many of all, the oldest, were published meanwhile."""


class OwnerRecord(msgspec.Struct, frozen=True, array_like=True, tag="owner"):
    """The last of a shard, of the commit that the image is of."""

    fence: int
    meta: list[bytes]
    """Field, value, ... without what speaks of a snapshot."""
    breaker: bytes | None
    adl: bytes | None


ShardRecord = AccountRecord | MarksRecord | OutboxRecord | OwnerRecord


class ShardEnd(msgspec.Struct, frozen=True):
    """What was written of one shard."""

    shard: int
    fence: int
    commit: int
    format: int
    accounts: int
    watermarks: dict[str, int]
    """Topic -> offset of the next input to apply."""
    logs: dict[str, str]
    """Topic -> which one it is."""
    sha256: str
    """Of all its records as they stand in the file."""


class BackupEnd(msgspec.Struct, frozen=True):
    """The last of the file."""

    sha256: str
    """Of everything before it."""
