"""Taking a shard over from an owner that lives, or lived until a moment ago: with its accounts warm.

A **standby** belongs to no group. It follows every shard, and takes over one whose owner gives no sign of life: as many seconds as its
patience, measured with its own clock between looks that were answered. It owns the shard until somebody takes it back.

A **worker** that the group assigns a shard to is right to have it. It takes the shard cold, at once, from whoever owned it; but
where that is a standby, which serves it meanwhile, it first comes as far as the standby is, and only then takes over. Where it has lost a
shard that the group still has it keep, to an owner that never spoke or speaks no more, it takes it back in time: a take-over that a process
asked for before its end may come after ours.

Nothing is written before the fence is taken, and what changed until then is read again under it.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

import msgspec
from redis.exceptions import RedisError

from engine.events.effects import AccountRisk
from engine.strict_decoding import StrictDecoder
from streams.shards.processor import ShardProcessor
from streams.store.redis_client import passes, repeat
from streams.store.shard_follower import Changes, ShardFollower
from streams.store.shard_image import ShardImage
from streams.store.shard_store import RETRY_FOR_S, ShardStore

LOOK_SECONDS = 0.25
"""Between two looks at a shard that is followed: two for each beat of its owner."""
GAP_SECONDS_MAX = 2 * LOOK_SECONDS
"""Of the time between two looks so much counts as silence: who was paused has not listened."""

ABANDONED_SECONDS = 5.0
"""So long a worker listens to whom it lost a shard to; it looks once a second, which counts for half, so it takes twice that."""

_risk_decoder = StrictDecoder[AccountRisk](AccountRisk)


class Silence:
    """For how long an owner has given no sign of life, as far as one has listened."""

    def __init__(self) -> None:
        """Nobody has listened yet."""
        self._life: tuple[str, ...] | None = None
        self._looked_s = 0.0
        self.seconds = 0.0

    def look(self, life: tuple[str, ...], now_s: float) -> None:
        """The signs of life at `now_s` on a clock that never goes back; another than last time ends the silence."""
        if life == self._life:
            self.seconds += min(now_s - self._looked_s, GAP_SECONDS_MAX)
        else:
            self._life, self.seconds = life, 0.0
        self._looked_s = now_s

    def deafen(self) -> None:
        """The last look was not answered: silence begins anew."""
        self._life, self.seconds = None, 0.0


class Succession:
    """How one shard is taken over: `take`, once."""

    def __init__(
        self,
        processor: ShardProcessor,
        store: ShardStore,
        follower: ShardFollower,
        *,
        patience_seconds: float | None,
    ) -> None:
        """`patience_seconds` is a standby's with an owner; None: the group assigns us the shard."""
        self._processor, self._store, self._follower = processor, store, follower
        self._patience_s = patience_seconds
        self._silence = Silence()
        self.known_s = 0.0
        """When the last look was answered, after which the processor held all that was committed (monotonic); 0 before."""

    async def may_return(self) -> bool:
        """Whether a shard that was lost to another owner is followed, or taken back: always by a standby, from one, and from nobody."""
        if self._patience_s is not None or await self._held_by_standby():
            return True
        signs = await repeat(
            self._follower.signs, f"shard {self._processor.shard}: listening", retry_for_s=RETRY_FOR_S
        )
        self._silence.look(signs.life, time.monotonic())
        return self._silence.seconds >= ABANDONED_SECONDS

    async def is_cold(self) -> bool:
        """Whether the shard is taken over at once, with nothing of it at hand."""
        return self._patience_s is None and not await self._held_by_standby()

    async def take(self, on_warm: Callable[[], None]) -> ShardImage:
        """Become the owner, now or in time. The image lacks what the processor has: load it as it is.

        `on_warm` is called when a standby holds everything and waits. Raises TrailLost and what the store raises.
        """
        if await self.is_cold():
            return await self._store.take_over(self._processor.book.edition)
        everything = await repeat(
            self._follower.load, f"shard {self._processor.shard}: loading", retry_for_s=RETRY_FOR_S
        )
        self._processor.load(everything.accounts.values(), decoded_risks(everything.risks), {})
        while True:
            await self._follow()
            if self._patience_s is None or (
                self._follower.token and self._silence.seconds >= self._patience_s
            ):
                image = await self._store.take_over_from(self._follower)
                if image is not None:
                    self._renew(Changes(image.accounts, image.risks))
                    return msgspec.structs.replace(image, accounts={}, risks={})
                self._silence.deafen()  # somebody else was faster
            else:
                on_warm()
            await asyncio.sleep(LOOK_SECONDS)

    async def _follow(self) -> None:
        """Take what has changed; while Redis is away nothing is known, and nothing concluded."""
        try:
            self._renew(await self._follower.follow())
        except (RedisError, OSError) as error:
            if not passes(error):
                raise
            self._silence.deafen()
            return
        self.known_s = time.monotonic()
        self._silence.look(self._follower.life, self.known_s)

    def _renew(self, changes: Changes) -> None:
        self._processor.renew(changes.accounts, decoded_risks(changes.risks))

    async def _held_by_standby(self) -> bool:
        return await repeat(
            self._follower.held_by_standby,
            f"shard {self._processor.shard}: reading its role",
            retry_for_s=RETRY_FOR_S,
        )


def decoded_risks(stored: Mapping[str, bytes]) -> dict[str, AccountRisk]:
    """Risk records by account, as the store has them."""
    return {account: _risk_decoder.decode(data) for account, data in stored.items()}
