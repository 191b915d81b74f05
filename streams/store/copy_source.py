"""Reading accounts from Redis for their second copy: each with all that belongs to it, as of one moment.

Where the ids of an account lie follows from its state. So the caller says which states it knows; those are read in one transaction with
their orders, their ids and the shard's watermarks, and what turns out to have changed since in where its ids lie is left for another time.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis

from engine.inputs import Topic
from engine.ledger.accounts import AccountState, decode
from engine.ledger.orders_apart import joined
from engine.strict_decoding import UNREADABLE
from streams.contract.account_copy import AccountCopy, CopiedIds
from streams.store.id_hashes import IdPlace, id_places, old_lists
from streams.store.redis_client import bounded, repeat
from streams.store.store_keys import COPIED, WATERMARK, ShardKeys

READ_FOR_S = 5.0
"""A copy can wait: what Redis does not tell by then is asked for again later."""


class Covered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What Redis remembers of the last time that all copies were whole."""

    fills: int
    """Every input below this offset is in the copies."""
    ledger: int
    topic: str
    """Which topic they are in, and where its log begins: another one has none of them."""
    logs: dict[str, str]
    """Which topics the inputs are: offsets of others say nothing of who has changed."""
    time_ns: int
    """When all of this was so (wall clock, Unix ns)."""


class _Asked(NamedTuple):
    """Where one account lies."""

    account: str
    ids: list[IdPlace]
    listed: dict[Topic, str]
    apart: bool


class CopySource:
    """The accounts of one shard. Everything raises StoreUnavailable."""

    def __init__(self, client: Redis, keys: ShardKeys) -> None:
        """Whoever owns the shard: what is read was durable."""
        self._redis: Any = client
        self._keys = keys

    async def accounts(self) -> int:
        """How many there are."""
        count: int = await self._ask(lambda: self._redis.hlen(self._keys.accounts))
        return count

    async def covered(self) -> Covered | None:
        """What is remembered; None where nothing is, or it cannot be read."""
        stored = await self._ask(lambda: self._redis.hget(self._keys.meta, COPIED))
        try:
            return None if stored is None else msgspec.json.decode(stored, type=Covered)
        except UNREADABLE:
            return None

    async def read(self, known: Sequence[AccountState], state_format: int) -> dict[str, AccountCopy | None]:
        """The accounts as they are stored now; None for one that is not. One that has moved on from what is `known` of it may be left out."""
        asked = [self._place(it) for it in known]

        def queue() -> Any:
            pipe = self._redis.pipeline(transaction=True)
            pipe.hmget(self._keys.meta, *(WATERMARK + topic for topic in Topic))
            for it in asked:
                pipe.hget(self._keys.accounts, it.account)
                for place in it.ids:
                    pipe.hgetall(place.key)
                for key in it.listed.values():
                    pipe.lrange(key, 0, -1)
                if it.apart:
                    pipe.hgetall(self._keys.orders(it.account))
            return pipe.execute()

        watermarks, *answers = await self._ask(queue)
        offsets = {topic: int(it or 0) for topic, it in zip(Topic, watermarks, strict=True)}
        told, found = iter(answers), dict[str, AccountCopy | None]()
        for it in asked:
            stored = next(told)
            ids = [next(told) for _ in it.ids]
            listed = {topic: next(told) for topic in it.listed}
            orders = next(told) if it.apart else {}
            if stored is None:
                found[it.account] = None
            elif self._place(decode(stored)) == it:
                found[it.account] = AccountCopy(
                    account=it.account,
                    format=state_format,
                    fills=offsets[Topic.FILLS],
                    ledger=offsets[Topic.LEDGER],
                    state=msgspec.Raw(joined(stored, orders) if it.apart else stored),
                    ids=_by_topic(it.ids, ids),
                    listed={
                        topic.value: [text.decode() for text in texts]
                        for topic, texts in listed.items()
                        if texts
                    },
                )
        return found

    def _place(self, state: AccountState) -> _Asked:
        return _Asked(
            state.account,
            list(id_places(self._keys, state)),
            old_lists(self._keys, state),
            state.orders_apart,
        )

    async def _ask(self, ask: Any) -> Any:
        what = f"shard {self._keys.shard}: reading for its second copy"
        return await repeat(lambda: bounded(ask()), what, retry_for_s=READ_FOR_S)


def _by_topic(places: list[IdPlace], hashes: list[dict[bytes, bytes]]) -> dict[str, list[CopiedIds]]:
    """What lies in each place, without those where nothing does."""
    found: dict[str, list[CopiedIds]] = {}
    for place, ids in zip(places, hashes, strict=True):
        if ids:
            flat = b"".join(part for item in ids.items() for part in item)
            number, _, expected = place.generation
            found.setdefault(place.topic.value, []).append(CopiedIds(number, expected, place.place, flat))
    return found
