"""The breaker of every shard as Redis has it."""

import msgspec

from engine.ladder.breaker import BreakerState
from engine.strict_decoding import UNREADABLE
from streams.answers.shelf import Shelf
from streams.config.problem import Problem


class ShardBreaker(msgspec.Struct, frozen=True):
    """The breaker of one shard as Redis has it."""

    shard: int
    open: bool
    state: BreakerState


async def read_breakers(shelf: Shelf) -> list[ShardBreaker]:
    """Of every shard that was ever taken over. Raises `Problem`."""
    stored = [await shelf.breaker(shard) for shard in range(await shelf.shard_count())]
    found = []
    for shard, data in enumerate(stored):
        try:
            state = msgspec.json.decode(data or b"{}", type=BreakerState)
        except UNREADABLE as error:
            raise Problem(f"the breaker of shard {shard} in Redis cannot be read: {error}") from None
        found.append(ShardBreaker(shard, state.opening is not None, state))
    return found
