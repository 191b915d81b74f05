"""How the ids of a generation lie in Redis: in hashes of some 64 ids each, which Redis keeps as one block of bytes.

The first 64 ids of a generation lie in one hash, the next 1,024 in 16 by the digest of the id, the next 16,384 in 256, and so on. So a hash stays small
enough to be kept without pointers (`hash-max-listpack-entries` 128), a small account has one, and an id is looked for in as many hashes as there
are levels: 3 for 17,472 ids.
"""

from collections.abc import Iterator, Sequence

from engine.ledger.remembering import OLD_LIST
from streams.contract.commit import Commit, SoughtId
from streams.store.store_keys import Argument, ShardKeys

HASH_IDS = 64
GROWTH_BITS = 4


def id_hashes(keys: ShardKeys, commit: Commit) -> dict[str, list[Argument]]:
    """What a commit adds, by key: digests of ids, each followed by that of what its input said."""
    hashes: dict[str, list[Argument]] = {}
    for (topic, account), ids in commit.ids.items():
        for generation, place, digest, said in ids:
            key = keys.ids(topic, account, generation, _bucket_of(place, digest))
            hashes.setdefault(key, []).extend((digest, said))
    return hashes


def forgotten_keys(keys: ShardKeys, commit: Commit) -> list[str]:
    """All keys of the generations that a commit ends."""
    found = []
    for topic, account, generation, ids in commit.forgotten:
        if generation == OLD_LIST:
            found.append(keys.old_ids(topic, account))
        else:
            found += [keys.ids(topic, account, generation, bucket) for bucket in _all_buckets(ids)]
    return found


def lookups(keys: ShardKeys, sought: Sequence[SoughtId]) -> tuple[list[SoughtId], list[str], list[Argument]]:
    """The looks that answer what is sought, as `applied_ids.lua` has them: what each is for, its key, and the arguments."""
    hashed = [
        (it, keys.ids(it.topic, it.account, it.generation, bucket))
        for it in sought
        if it.generation != OLD_LIST
        for bucket in _buckets_that_may_have(it.ids, it.digest)
    ]
    listed = [it for it in sought if it.generation == OLD_LIST]
    places = [*(key for _, key in hashed), *(keys.old_ids(it.topic, it.account) for it in listed)]
    args: list[Argument] = [len(hashed), *(it.digest for it, _ in hashed), *(it.text for it in listed)]
    return [*(it for it, _ in hashed), *listed], places, args


def _bucket_of(place: int, digest: bytes) -> str:
    """The hash of the id that came after `place` others of its generation."""
    level, capacity = 0, HASH_IDS
    while place >= capacity:
        place -= capacity
        level += 1
        capacity <<= GROWTH_BITS
    return _bucket(level, digest)


def _buckets_that_may_have(ids: int, digest: bytes) -> Iterator[str]:
    """The hashes in which an id may be, of a generation of so many ids."""
    for level in range(_levels(ids)):
        yield _bucket(level, digest)


def _all_buckets(ids: int) -> Iterator[str]:
    """All hashes that a generation of so many ids may have."""
    for level in range(_levels(ids)):
        for number in range(1 << (GROWTH_BITS * level)):
            yield f"{level}.{number:x}"


def _levels(ids: int) -> int:
    levels, capacity = 0, HASH_IDS
    while ids > 0:
        ids -= capacity
        levels += 1
        capacity <<= GROWTH_BITS
    return levels


def _bucket(level: int, digest: bytes) -> str:
    return f"{level}.{int.from_bytes(digest, 'big') & ((1 << (GROWTH_BITS * level)) - 1):x}"
