"""What the owner of a shard knows of its ownership, and what Redis' answers say of it.

What the answers mean
---------------------
    fenced      another owner took over, later than we did               FenceLost
    fenced      ... or earlier: Redis was rewound to before we took over  StoreRewound
    rewound     Redis is older than an answer it gave: restored, emptied StoreRewound
    watermark   the caller and Redis disagree about the next input       WatermarkMismatch
    newer       an edition has written that knows more than this one     StoreRefused
    restoring   a backup is being restored, or was in part               StoreRefused
    (silence)   Redis is away, full or read-only for too long            StoreUnavailable
After any of them whoever asked is done: its process ends, or takes the shard over again. So it is after a cancelled
call, whose outcome nobody knows.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from streams.contract.commit import Lane
from streams.store.redis_client import StoreError
from streams.store.store_keys import Argument, ShardMeta


class ShardLost(StoreError):  # noqa: N818 - it names what happened
    """Whoever hears this does not own the shard any more, by Redis' word. Nothing was written."""


class FenceLost(ShardLost):
    """Another owner has taken the shard over. Nothing was written."""


class StoreRewound(ShardLost):
    """Redis holds less than it confirmed to this owner, be it that it was the owner. Nothing was written."""


class EpochLost(ShardLost):
    """Kafka knows a later owner of the shard's event topics, who may be one by Redis' word too. Nothing was written."""


class StoreRefused(StoreError):  # noqa: N818 - it names what happened
    """Nobody of this edition may own the shard, or nobody at all yet. Nothing was written."""


class WatermarkMismatch(StoreError):  # noqa: N818 - it names what happened
    """The commit does not start at the stored watermark. Nothing was written."""


class ShardOwnership:
    """One owner's, from its newest take-over on."""

    def __init__(self, shard: int) -> None:
        """Nothing was taken over yet."""
        self.shard = shard
        self.fence = 0
        """Number of the take-over; 0 before the first."""
        self.token = ""
        """Drawn for the take-over that was asked for last: no other owner has it."""
        self.commits = 0
        """How many were confirmed."""
        self.outbox_heads = dict.fromkeys(Lane, 0)
        """By lane, entries ever cut from the outbox, as far as was confirmed."""
        self._taken_ms = 0
        self._unfinished: set[str] = set()

    def taken(self, meta: ShardMeta) -> None:
        """The shard was taken over, which stands like this."""
        self.fence, self._taken_ms = meta.fence, meta.taken_ms
        self.commits, self.outbox_heads = meta.commit, dict(meta.outbox_heads)
        self._unfinished.clear()

    @property
    def proof(self) -> list[Argument]:
        """What every script of an owner asks for first (`store_scripts.owner_script`)."""
        return [self.fence, self.token]

    def check(self, answer: list[bytes]) -> None:
        """Return if the script has done what it is for. Raises FenceLost, StoreRewound or WatermarkMismatch."""
        word, *details = (part.decode() for part in answer)
        said = f"shard {self.shard}, fence {self.fence}"
        match word:
            case "ok" | "already":
                return
            case "fenced":
                if int(details[0]) < self._taken_ms:
                    raise StoreRewound(
                        f"{said}: Redis is at another owner's, from before we took the shard over"
                    )
                raise FenceLost(f"{said}: another owner took over")
            case "rewound":
                raise StoreRewound(
                    f"{said}: Redis is at {details[0]}, after commit {self.commits} and outbox heads "
                    f"{', '.join(map(str, self.outbox_heads.values()))} were confirmed"
                )
            case "watermark":
                raise WatermarkMismatch(f"{said}: {details[0]} is {details[1]} in Redis")
        raise AssertionError(f"unknown answer {answer}")

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Refuse a second call while one runs, and any call after one that failed: its number may be used up."""
        if what in self._unfinished:
            raise AssertionError(f"shard {self.shard}: a {what} is running or ended without a good answer")
        self._unfinished.add(what)
        yield
        self._unfinished.remove(what)
