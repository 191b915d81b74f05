"""A shard's durable state in Redis, written by one owner at a time.

How a shard is owned and written
--------------------------------
1. `take_over`   one script raises the fence and sets a token; every script of an earlier owner is refused from here
                 on, so what is then loaded can no longer change under the reader
2. `commit`      one script {fence and token are mine, this commit's number is the next one, every watermark is the
                 expected one} writes states, risks, ids, outbox and watermarks, or nothing
3. an unanswered commit is repeated as it is: its number tells the script whether it had happened
4. `withdrawn`   one script takes out of a lane's outbox what a take-over found in it and may not be published
5. `published`   one script cuts published entries from the head of a lane's outbox; its head count makes it repeatable
6. `beat`        the owner says that it lives, so that a standby knows when it does not (`shard_follower`), and hears whether it is
                 still the owner

What the answers mean, and what this object then is worth, stands in `shard_ownership`.

All keys of shard N carry the hash tag `{shard-N}`: they live on one node of a Redis Cluster, as a script requires.
They belong to this package alone; a key of another type is a broken invariant. `store_keys` says what they hold.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import uuid4

from redis.asyncio import Redis

from streams.contract.commit import Commit, Lane, OutboxEntry, SoughtId
from streams.observe.metrics import Metrics
from streams.store.commit_call import commit_call
from streams.store.copy_source import CopySource
from streams.store.format_store import format_in_force
from streams.store.id_hashes import lookups
from streams.store.redis_client import bounded, repeat
from streams.store.shard_follower import Role, ShardFollower
from streams.store.shard_image import ShardImage, read_image, read_image_with
from streams.store.shard_ownership import ShardOwnership, StoreRefused
from streams.store.snapshot_store import SnapshotStore, read_states
from streams.store.store_format import FORMAT, FORMAT_FIRST, newer, restoring
from streams.store.store_keys import (
    LOG,
    OUTBOX_HEAD,
    PUBLISHED,
    WITHDRAWN,
    Argument,
    ShardKeys,
    ShardMeta,
    parse_logs,
    parse_meta,
)
from streams.store.store_scripts import owner_script, script
from streams.store.stored_outbox import read_oldest

T = TypeVar("T")

RETRY_FOR_S = 30.0
"""Longer than a restart of Redis takes to load some gigabytes, shorter than a person's patience with no margin calls."""

TRAIL_ENTRIES_MAX = 2000
"""Commits, of 500 accounts at most each: some seconds of a busy shard, in which a follower looks several times. One that was paused
for longer loads anew."""

IDS_ASKED_TOGETHER = 4000
"""Of a batch of inputs: they hold Redis for about 5 ms."""

_REFUSALS: dict[object, Callable[[str], str]] = {b"newer": newer, b"restoring": restoring}


class ShardStore:
    """One shard, owned by one process; see the module for the procedure.

    - `client`: from `redis_client.connect`, which repeats nothing by itself.
    - `owner`: a name for people; ownership itself rests on a token drawn at each take-over.
    - `role`: whether it owns shards by the group's word, or stands in for an owner that is gone.
    - `retry_for_s`: for how long an operation is repeated while Redis is away.
    """

    def __init__(
        self,
        client: Redis,
        shard: int,
        owner: str,
        metrics: Metrics,
        *,
        prefix: str = "unimargin",
        role: Role = Role.WORKER,
        retry_for_s: float = RETRY_FOR_S,
    ) -> None:
        self.shard = shard
        self._redis: Any = client
        self._prefix, self._keys = prefix, ShardKeys(prefix, shard)
        self._owner, self._role = owner, role
        self._metrics = metrics
        self._retry_for_s = retry_for_s
        self._take_over, self._applied_ids = (
            self._redis.register_script(script(name)) for name in ("take_over", "applied_ids")
        )
        self._commit, self._withdrawn, self._published, self._beat, self._remember = (
            self._redis.register_script(owner_script(name))
            for name in ("commit", "withdrawn", "published", "beat", "remember")
        )
        self._ownership = ShardOwnership(shard)
        self.format = FORMAT_FIRST
        """Of what this owner writes (`streams.store.store_format`)."""

    async def take_over(self, edition: str = "") -> ShardImage:
        """Become the owner, whoever owned it, and read everything, by a snapshot of the edition where there is one.

        Raises StoreRefused or StoreUnavailable.
        """
        meta = await self._own([])
        if meta is None:
            raise AssertionError(f"shard {self.shard}: refused, though nobody was named to take it from")
        # As a whole: a scan must not be continued across a restart of Redis, whose hashes are then ordered anew.
        return await self._repeat(lambda: read_image(self._redis, self._keys, meta, edition), "loading")

    async def states(self, accounts: Sequence[str]) -> dict[str, bytes]:
        """What is stored of these accounts; one that is not there is left out. Raises StoreUnavailable."""
        return await self._repeat(lambda: read_states(self._redis, self._keys, accounts), "reading states")

    @property
    def commits(self) -> int:
        """How many commits of this ownership were confirmed."""
        return self._ownership.commits

    def snapshots(self) -> SnapshotStore:
        """Where this owner writes snapshots."""
        return SnapshotStore(self._redis, self._keys, self._ownership.fence, self._ownership.token)

    def copies(self) -> CopySource:
        """Where accounts are read from for their second copy."""
        return CopySource(self._redis, self._keys)

    async def restore_old_ids(self, lists: Mapping[tuple[str, str], Sequence[str]]) -> None:
        """Put ids of an edition before generations in place, by topic and account, before the accounts themselves. Raises StoreUnavailable.

        Not fenced: whoever restores them writes the same.
        """

        async def write() -> None:
            pipe = self._redis.pipeline(transaction=True)
            for (topic, account), ids in lists.items():
                key = self._keys.old_ids(topic, account)
                pipe.delete(key).rpush(key, *ids)
            await bounded(pipe.execute())

        await self._repeat(write, "restoring ids")

    async def take_over_from(self, follower: ShardFollower) -> ShardImage | None:
        """Become the owner after the one that `follower` follows; None where it is not the owner any more.

        The accounts and risks of the image are those that changed since the follower looked last. Raises StoreRefused, StoreUnavailable, and
        TrailLost when what changed cannot be known: then this object is done.
        """
        meta = await self._own([follower.token])
        if meta is None:
            return None
        changes = await self._repeat(follower.follow, "following")
        return await self._repeat(lambda: read_image_with(self._redis, self._keys, meta, changes), "loading")

    async def beat(self) -> None:
        """Say that the owner lives. Raises ShardLost, and whatever the client raises: nothing is repeated."""
        self._ownership.check(await bounded(self._say_alive()))

    async def ask(self) -> None:
        """Return if this is the owner now. Raises FenceLost, StoreRewound or StoreUnavailable."""
        self._ownership.check(await self._repeat(lambda: bounded(self._say_alive()), "asking for the fence"))

    @property
    def owned(self) -> bool:
        """Whether the shard was taken over by this object; it may have been lost since."""
        return self._ownership.fence > 0

    async def holds_fence(self) -> bool:
        """Whether this is still the owner. Raises StoreUnavailable."""

        async def read() -> bool:
            pipe = self._redis.pipeline(transaction=False)
            pipe.get(self._keys.fence).hget(self._keys.meta, "token")
            stored = await bounded(pipe.execute())
            return bool(stored == [str(it).encode() for it in self._ownership.proof])

        return await self._repeat(read, "reading the fence")

    async def commit(self, commit: Commit) -> None:
        """Make `commit` durable as a whole. Await one before starting the next.

        Raises FenceLost, StoreRewound, WatermarkMismatch or StoreUnavailable; after StoreUnavailable the commit may
        or may not have happened.
        """
        number = self._ownership.commits + 1
        keys, args = commit_call(self._keys, commit, self._ownership.proof, number, TRAIL_ENTRIES_MAX)
        with self._ownership.alone("commit"):
            answer = await self._repeat(
                lambda: bounded(self._commit(keys=keys, args=args)),
                "commit",
                on_repeat=self._metrics.commit_retries_total.inc,
            )
            self._ownership.check(answer)
            self._ownership.commits += 1

    async def remember_logs(self, logs: Mapping[str, str]) -> None:
        """Note which topics the accounts are a result of. Raises FenceLost, StoreRewound or StoreUnavailable."""
        await self.remember({LOG + topic: identity for topic, identity in logs.items()})

    async def remember(self, fields: Mapping[str, str | bytes]) -> None:
        """Set fields of the meta hash. Raises FenceLost, StoreRewound or StoreUnavailable."""
        args = self._ownership.proof
        for field, value in fields.items():
            args += [field, value]
        keys = [self._keys.fence, self._keys.meta]
        self._ownership.check(
            await self._repeat(
                lambda: bounded(self._remember(keys=keys, args=args)), "remembering fields of its meta hash"
            )
        )

    async def logs_of_first(self) -> dict[str, str]:
        """What the first shard remembers of the topics; {} where there is none, or it remembers nothing. Raises StoreUnavailable."""
        key = ShardKeys(self._prefix, 0).meta
        fields = await self._repeat(
            lambda: bounded(self._redis.hgetall(key)), "reading the first shard's logs"
        )
        return parse_logs({name.decode(): value.decode(errors="replace") for name, value in fields.items()})

    async def published(self, lane: Lane, count: int, positions: Mapping[str, int]) -> None:
        """Cut the oldest `count` entries from the lane's outbox; `positions`: topic -> offset after its last record.

        Await one of a lane before starting the next of it. Raises FenceLost, StoreRewound or StoreUnavailable.
        """
        head = self._ownership.outbox_heads[lane]
        args = [*self._ownership.proof, OUTBOX_HEAD[lane], head, head + count, count]
        for topic, position in positions.items():
            args += [PUBLISHED + topic, position]
        keys = [self._keys.fence, self._keys.meta, self._keys.outboxes[lane]]
        with self._ownership.alone(f"published {lane}"):
            answer = await self._repeat(
                lambda: bounded(self._published(keys=keys, args=args)), "cutting the outbox"
            )
            self._ownership.check(answer)
            self._ownership.outbox_heads[lane] += count

    async def withdrawn(self, lane: Lane, places: Sequence[int]) -> None:
        """Take the entries at these places out of the lane's outbox, as the take-over found it; once, and before `published`.

        Raises FenceLost, StoreRewound or StoreUnavailable.
        """
        args = [*self._ownership.proof, WITHDRAWN + lane, *places]
        keys = [self._keys.fence, self._keys.meta, self._keys.outboxes[lane]]
        with self._ownership.alone(f"withdrawn {lane}"):
            self._ownership.check(
                await self._repeat(
                    lambda: bounded(self._withdrawn(keys=keys, args=args)), "withdrawing from the outbox"
                )
            )

    async def oldest_unpublished(self, lane: Lane, count: int) -> list[OutboxEntry]:
        """The oldest `count` entries of the lane's outbox (fewer if it has fewer). Raises StoreUnavailable."""
        key = self._keys.outboxes[lane]
        return await self._repeat(lambda: read_oldest(self._redis, key, count), "reading the outbox")

    async def applied_ids(self, sought: Sequence[SoughtId]) -> dict[SoughtId, bytes]:
        """Which of these ids are remembered, each with the digest of what its input said; b"" where an old edition kept none.

        Raises StoreUnavailable.
        """
        found: dict[SoughtId, bytes] = {}
        for first in range(0, len(sought), IDS_ASKED_TOGETHER):
            asked, keys, args = lookups(self._keys, sought[first : first + IDS_ASKED_TOGETHER])
            answer = await self._repeat(
                lambda keys=keys, args=args: bounded(self._applied_ids(keys=keys, args=args)),  # type: ignore[misc]
                "looking for input ids",
            )
            found |= {asked[at - 1]: said for at, said in zip(answer[::2], answer[1::2], strict=True)}
        return found

    async def save_marks(self, marks: Mapping[str, bytes]) -> None:
        """Keep the latest mark of each price symbol for whoever takes over next. Raises StoreUnavailable.

        Not fenced: a mark names its sequence, and it only primes a book that checks every mark it is given.
        """
        if marks:
            await self._repeat(
                lambda: bounded(self._redis.hset(self._keys.marks, mapping=marks)), "saving marks"
            )

    async def _own(self, expected: list[Argument]) -> ShardMeta | None:
        token = self._ownership.token = uuid4().hex
        own = self._keys
        keys = [
            own.fence,
            own.meta,
            own.trail,
            own.snapshot,
            own.changed,
            own.snapshot_next,
            own.changed_next,
        ]
        in_force = await self._repeat(
            lambda: format_in_force(self._redis, self._prefix), "reading the format in force"
        )
        args = [self._owner, token, self._role, TRAIL_ENTRIES_MAX, FORMAT, in_force, *expected]
        answer = await self._repeat(lambda: bounded(self._take_over(keys=keys, args=args)), "take-over")
        if not answer:
            return None
        fence, flat_meta = answer
        if fence in _REFUSALS:
            raise StoreRefused(f"shard {self.shard}: {_REFUSALS[fence](flat_meta.decode(errors='replace'))}")
        meta = parse_meta(int(fence), dict(zip(flat_meta[::2], flat_meta[1::2], strict=True)))
        self._ownership.taken(meta)
        self.format = meta.format
        return meta

    def _say_alive(self) -> Awaitable[list[bytes]]:
        answer: Awaitable[list[bytes]] = self._beat(
            keys=[self._keys.fence, self._keys.meta], args=[*self._ownership.proof, self._ownership.commits]
        )
        return answer

    async def _repeat(
        self, attempt: Callable[[], Awaitable[T]], what: str, on_repeat: Callable[[], None] = lambda: None
    ) -> T:
        return await repeat(
            attempt, f"shard {self.shard}: {what}", retry_for_s=self._retry_for_s, on_repeat=on_repeat
        )
