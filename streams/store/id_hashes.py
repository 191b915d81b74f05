"""How the ids of a generation lie in Redis: in hashes of some 64 ids each, which Redis keeps as one block of bytes.

A level has 1, 8, 64, 512 ... hashes, an id's by its digest. A generation begins at the level that has room for as many ids as the one before it had, and goes on in
the next once it has more. So a hash stays small enough to be kept without pointers (`hash-max-listpack-entries` 128), a small account has one, and an
id is looked for in one hash, or a few where an account has become much busier.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from engine.inputs import Topic
from engine.ledger.accounts import AccountState
from engine.ledger.remembering import OLD_LIST, Generation, generations
from streams.contract.commit import Commit, SoughtId
from streams.store.store_keys import Argument, ShardKeys

HASH_IDS = 64
GROWTH_BITS = 3


def id_hashes(keys: ShardKeys, commit: Commit) -> dict[str, list[Argument]]:
    """What a commit adds, by key: digests of ids, each followed by that of what its input said."""
    hashes: dict[str, list[Argument]] = {}
    for (topic, account), ids in commit.ids.items():
        for generation, expected, place, digest, said in ids:
            key = keys.ids(topic, account, generation, _bucket_of(place, expected, digest))
            hashes.setdefault(key, []).extend((digest, said))
    return hashes


def forgotten_keys(keys: ShardKeys, commit: Commit) -> list[str]:
    """All keys of the generations that a commit ends."""
    found = []
    for topic, account, generation, ids, expected in commit.forgotten:
        if generation == OLD_LIST:
            found.append(keys.old_ids(topic, account))
        else:
            found += [keys.ids(topic, account, generation, bucket) for bucket in _all_buckets(ids, expected)]
    return found


class IdPlace(NamedTuple):
    """A hash that may have ids of an account."""

    topic: Topic
    generation: Generation
    place: int
    """How many ids its generation has before the first that can lie here."""
    key: str


def id_places(keys: ShardKeys, state: AccountState) -> Iterator[IdPlace]:
    """Every hash that may have ids which the account remembers; one may not exist."""
    for topic in Topic:
        for generation in generations(state.progress(topic)):
            number, ids, expected = generation
            if number == OLD_LIST:
                continue
            for level, place in _levels(ids, expected):
                for bucket in _buckets(level):
                    yield IdPlace(topic, generation, place, keys.ids(topic, state.account, number, bucket))


def old_lists(keys: ShardKeys, state: AccountState) -> dict[Topic, str]:
    """By topic, the list of ids of an edition before generations, where the account remembers it."""
    return {
        topic: keys.old_ids(topic, state.account)
        for topic in Topic
        if any(it.number == OLD_LIST for it in generations(state.progress(topic)))
    }


def remembered_keys(keys: ShardKeys, state: AccountState) -> tuple[list[str], list[str]]:
    """Where the ids that an account remembers may lie: the hashes, some of which may not exist, and the lists of an old edition."""
    return [it.key for it in id_places(keys, state)], list(old_lists(keys, state).values())


def lookups(keys: ShardKeys, sought: Sequence[SoughtId]) -> tuple[list[SoughtId], list[str], list[Argument]]:
    """The looks that answer what is sought, as `applied_ids.lua` has them: what each is for, its key, and the arguments."""
    hashed = [
        (it, keys.ids(it.topic, it.account, it.generation, _bucket(level, it.digest)))
        for it in sought
        if it.generation != OLD_LIST
        for level, _ in _levels(it.ids, it.expected)
    ]
    listed = [it for it in sought if it.generation == OLD_LIST]
    places = [*(key for _, key in hashed), *(keys.old_ids(it.topic, it.account) for it in listed)]
    args: list[Argument] = [len(hashed), *(it.digest for it, _ in hashed), *(it.text for it in listed)]
    return [*(it for it, _ in hashed), *listed], places, args


def _bucket_of(place: int, expected: int, digest: bytes) -> str:
    """The hash of the id that came after `place` others of its generation."""
    *_, (level, _) = _levels(place + 1, expected)
    return _bucket(level, digest)


def _all_buckets(ids: int, expected: int) -> Iterator[str]:
    """All hashes that a generation of so many ids may have."""
    for level, _ in _levels(ids, expected):
        yield from _buckets(level)


def _buckets(level: int) -> Iterator[str]:
    for number in range(1 << (GROWTH_BITS * level)):
        yield f"{level}.{number:x}"


def _levels(ids: int, expected: int) -> Iterator[tuple[int, int]]:
    """The levels that a generation has, which began with room for so many expected; each with the ids that are in those before it."""
    level, capacity, place = 0, HASH_IDS, 0
    while capacity < expected:
        level, capacity = level + 1, capacity << GROWTH_BITS
    while ids > place:
        yield level, place
        place += capacity
        level, capacity = level + 1, capacity << GROWTH_BITS


def _bucket(level: int, digest: bytes) -> str:
    return f"{level}.{int.from_bytes(digest, 'big') & ((1 << (GROWTH_BITS * level)) - 1):x}"
