"""The second copy of every account, in a compacted topic: what one record says.

The record of an account has its whole state, and the ids that tell a repetition from a new input; its key is the account. A record of the
shard, under a key that is no text and so no account's, says how far all of them reach together. The newest record of a key counts.

    state of an account  =  its newest copy, then its inputs from the shard's offsets on; those at or below the offsets of the copy
                            itself are in it already

A record names the format of what it holds (`streams.store.store_format`). Whoever knows only older ones, or finds a field that it does not
know, does not read it.
"""

import msgspec

from engine.ledger.accounts import AccountState, decode
from streams.contract.commit import AppliedId, OutboxEntry

SHARD_KEY = b"\xffshard"
ACCOUNT_TYPE, SHARD_TYPE = "account.state", "shard.covered"
ID_BYTES = 8
"""Of the digest of an id, and of the digest of what its input said."""


class CopiedIds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ids of one generation that lie together (`streams.store.id_hashes`)."""

    generation: int
    expected: int
    """How many ids the generation is laid out for."""
    place: int
    """Of the first id that can lie here."""
    ids: bytes
    """Digest of an id, digest of what its input said, and so on, 8 bytes each; base64."""


class AccountCopy(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag=ACCOUNT_TYPE
):
    """One account, as it was durable at one moment."""

    account: str
    format: int
    """Of the state."""
    fills: int
    """Offset of `fills` below which every input of the account is in the state."""
    ledger: int
    """The same of `ledger`."""
    state: msgspec.Raw
    """With its open orders."""
    ids: dict[str, list[CopiedIds]] = {}
    """By input topic, what is remembered of inputs without `account_seq`."""
    listed: dict[str, list[str]] = {}
    """By input topic, ids that an edition before generations kept."""

    def read_state(self) -> AccountState:
        """The state. Raises `msgspec.MsgspecError` or UnicodeDecodeError for what is none, or has a field that is not known here."""
        return decode(bytes(self.state))

    def applied_ids(self, topic: str) -> list[AppliedId]:
        """The ids of an input topic, as a commit has them."""
        step = 2 * ID_BYTES
        return [
            AppliedId(
                it.generation,
                it.expected,
                it.place,
                it.ids[at : at + ID_BYTES],
                it.ids[at + ID_BYTES : at + step],
            )
            for it in self.ids.get(topic, [])
            for at in range(0, len(it.ids), step)
        ]


class ShardCovered(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=SHARD_TYPE):
    """The newest copies of all accounts of a shard, up to this record, have every input below these offsets."""

    shard: int
    format: int
    """Of this record."""
    fills: int
    ledger: int
    logs: dict[str, str]
    """By input topic, which one it is: its id and its number of partitions."""
    accounts: int
    """So many accounts there were, each with a copy before this record."""
    time_ns: int
    """When all of this was so (wall clock, Unix ns)."""


_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(AccountCopy | ShardCovered).decode


class _Head(msgspec.Struct):
    format: int


_decode_head = msgspec.json.Decoder(_Head).decode


def copy_entry(topic: str, shard: int, said: AccountCopy | ShardCovered) -> OutboxEntry:
    """The record of a copy, or of how far all of them reach, in the partition of the shard."""
    is_account = isinstance(said, AccountCopy)
    return OutboxEntry(
        topic=topic,
        partition=shard,
        key=said.account.encode() if isinstance(said, AccountCopy) else SHARD_KEY,
        value=_encode(said),
        headers=(("content-type", b"application/json"),),
        event_type=ACCOUNT_TYPE if is_account else SHARD_TYPE,
    )


def read_format(value: bytes) -> int:
    """The format of a record. Raises `msgspec.MsgspecError` or UnicodeDecodeError for what says none."""
    return _decode_head(value).format


def read_copy(value: bytes) -> AccountCopy | ShardCovered:
    """What a record says. Raises `msgspec.MsgspecError` or UnicodeDecodeError for what is none, or has a field that is not known here."""
    said: AccountCopy | ShardCovered = _decode(value)
    return said
