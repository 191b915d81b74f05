"""The names of a shard's keys in Redis and of the fields of its meta hash, and what they hold.

    unimargin:{shard-N}:fence                  number of take-overs
    unimargin:{shard-N}:meta                   hash: owner, token, role, format, taken_ms, beat, commit, watermark:<topic>, log:<topic>,
                                               published:<topic>, outbox_head, liquidations_head, withdrawn:<lane>, copied,
                                               rebuilt:<topic>
    unimargin:{shard-N}:accounts               hash: account -> state
    unimargin:{shard-N}:orders:<account>       hash: order id -> open order, of accounts with many
    unimargin:{shard-N}:risks                  hash: account -> risk record
    unimargin:{shard-N}:outbox-liquidations    list of entries in MessagePack, oldest first
    unimargin:{shard-N}:outbox                 the same, of all other topics; an older edition has all of them here
    unimargin:{shard-N}:marks                  hash: price symbol -> mark
    unimargin:{shard-N}:breaker                state of the breaker
    unimargin:{shard-N}:adl                    where the contracts stand whose deleveraging risk the shard tells
    unimargin:{shard-N}:trail                  stream: which accounts each of the newest commits changed, and take-overs
    unimargin:{shard-N}:ids:<topic>:<generation>:<bucket>:<account>
                                               hash: digest of an input id -> digest of what the input said
    unimargin:{shard-N}:seen:<topic>:<account> list of input ids of an edition before generations; it counts as generation 0,
                                               is read as such, and goes with it

Beside these lie a snapshot of the accounts and what has changed since, which `streams.store.snapshot_store` explains.
"""

import sys
from collections.abc import Mapping

import msgspec

from streams.contract.commit import Lane

Argument = str | int | bytes
"""Of a script or command."""

OUTBOX_HEAD = {Lane.LIQUIDATIONS: "liquidations_head", Lane.ORDINARY: "outbox_head"}
WATERMARK = "watermark:"
PUBLISHED = "published:"
LOG = "log:"
WITHDRAWN = "withdrawn:"
REBUILT = "rebuilt:"
COPIED = "copied"


class ShardKeys:
    """The keys of one shard. Raises ValueError for a prefix that would break the hash tag."""

    def __init__(self, prefix: str, shard: int) -> None:
        if "{" in prefix or "}" in prefix:
            raise ValueError(
                f"prefix {prefix!r}: braces would move the keys of a shard apart in a Redis Cluster"
            )
        self.shard = shard
        self.root = f"{prefix}:{{shard-{shard}}}"
        self.fence = f"{self.root}:fence"
        self.meta = f"{self.root}:meta"
        self.accounts = f"{self.root}:accounts"
        self.risks = f"{self.root}:risks"
        self.outboxes = {
            Lane.LIQUIDATIONS: f"{self.root}:outbox-liquidations",
            Lane.ORDINARY: f"{self.root}:outbox",
        }
        self.marks = f"{self.root}:marks"
        self.breaker = f"{self.root}:breaker"
        self.adl = f"{self.root}:adl"
        self.snapshot = f"{self.root}:snapshot"
        self.changed = f"{self.root}:changed"
        self.snapshot_next = f"{self.root}:snapshot-next"
        self.changed_next = f"{self.root}:changed-next"
        self.trail = f"{self.root}:trail"

    def orders(self, account: str) -> str:
        """A hash of the account's open orders, where they are stored apart from its state."""
        return f"{self.root}:orders:{account}"

    def ids(self, topic: str, account: str, generation: int, bucket: str) -> str:
        """A hash of some of the ids of a generation, as `streams.store.id_hashes` names it."""
        return f"{self.root}:ids:{topic}:{generation}:{bucket}:{account}"

    def old_ids(self, topic: str, account: str) -> str:
        """The list of an account's input ids in `topic`, as editions before generations kept them."""
        return f"{self.root}:seen:{topic}:{account}"


class ShardMeta(msgspec.Struct, frozen=True):
    """Who owns a shard and how far it has come."""

    fence: int
    """Number of take-overs so far; 0: never taken over, or emptied since."""
    owner: str
    taken_ms: int
    """When it was taken over last (Unix ms), later than every time before; 0: by an edition that did not say."""
    commit: int
    """Number of the last commit under this fence."""
    watermarks: dict[str, int]
    """Topic -> offset of the next input to apply."""
    published: dict[str, int]
    """Topic -> offset after the last record known to be in it."""
    logs: dict[str, str]
    """Topic -> which one it is, as `TopicIdentity` writes it; a topic of which nothing was remembered is absent."""
    outbox_heads: dict[Lane, int]
    """Entries ever cut from the outbox of each lane."""
    snapshot: str
    """Edition of the snapshot; "" where there is none."""
    rebuilt: dict[str, str]
    """Topic -> where its accounts were rebuilt from copies, as `streams.shards.rebuilding` writes it; else absent."""
    format: int
    """Of what its owners have written (`streams.store.store_format`)."""


def parse_meta(fence: int, fields: Mapping[bytes, bytes]) -> ShardMeta:
    """Read the meta hash of a shard, {} if it has none."""
    texts = {name.decode(): value.decode() for name, value in fields.items()}
    return ShardMeta(
        fence=fence,
        owner=texts.get("owner", ""),
        taken_ms=int(texts.get("taken_ms", 0)),
        commit=int(texts.get("commit", 0)),
        watermarks=_offsets(texts, WATERMARK),
        published=_offsets(texts, PUBLISHED),
        logs=parse_logs(texts),
        rebuilt=_texts(texts, REBUILT),
        outbox_heads={lane: int(texts.get(field, 0)) for lane, field in OUTBOX_HEAD.items()},
        snapshot=texts.get("snapshot", ""),
        format=_format(texts.get("format", "1")),
    )


def _format(text: str) -> int:
    """What is no number is of an edition that nobody here knows."""
    return int(text) if text.isascii() and text.isdecimal() else sys.maxsize


def parse_logs(texts: Mapping[str, str]) -> dict[str, str]:
    """Of the fields of the meta hash those that tell which topics the shard is a result of."""
    return _texts(texts, LOG)


def _offsets(texts: Mapping[str, str], prefix: str) -> dict[str, int]:
    return {name: int(value) for name, value in _texts(texts, prefix).items()}


def _texts(texts: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in texts.items() if name.startswith(prefix)}
