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

What the answers mean
---------------------
    fenced      another owner took over, later than we did               FenceLost
    fenced      ... or earlier: Redis was rewound to before we took over  StoreRewound
    rewound     Redis is older than an answer it gave: restored, emptied StoreRewound
    watermark   the caller and Redis disagree about the next input       WatermarkMismatch
    newer       an edition has written that knows more than this one     StoreRefused
    restoring   a backup is being restored, or was in part               StoreRefused
    (silence)   Redis is away, full or read-only for too long            StoreUnavailable
After any of them this object is done: its process ends, or takes the shard over again. So it is after a cancelled
call, whose outcome nobody knows.

Keys
----
All keys of shard N carry the hash tag `{shard-N}`: they live on one node of a Redis Cluster, as a script requires.
They belong to this module alone; a key of another type is a broken invariant.

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

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
from redis.asyncio import Redis

from streams.contract.commit import Commit, Lane, OutboxEntry, SoughtId
from streams.observe.metrics import Metrics
from streams.store.copy_source import CopySource
from streams.store.format_store import format_in_force
from streams.store.id_hashes import forgotten_keys, id_hashes, lookups
from streams.store.redis_client import StoreError, bounded, repeat, scan_hash
from streams.store.shard_follower import Changes, Role, ShardFollower
from streams.store.snapshot_store import Snapshot, SnapshotStore, read_snapshot, read_states
from streams.store.store_format import FORMAT, FORMAT_FIRST, newer, restoring
from streams.store.store_keys import (
    LOG,
    OUTBOX_HEAD,
    PUBLISHED,
    WATERMARK,
    WITHDRAWN,
    Argument,
    ShardKeys,
    ShardMeta,
    parse_logs,
    parse_meta,
)
from streams.store.store_scripts import owner_script, script
from streams.store.stored_orders import order_parts, with_orders

T = TypeVar("T")

OUTBOX_CHUNK_ENTRIES = 1000
"""Entries per LRANGE while loading: about 2 MB, so that no single answer holds up the other shards."""

RETRY_FOR_S = 30.0
"""Longer than a restart of Redis takes to load some gigabytes, shorter than a person's patience with no margin calls."""

TRAIL_ENTRIES_MAX = 2000
"""Commits, of 500 accounts at most each: some seconds of a busy shard, in which a follower looks several times. One that was paused
for longer loads anew."""

IDS_ASKED_TOGETHER = 4000
"""Of a batch of inputs: they hold Redis for about 5 ms."""

_LANES = (Lane.LIQUIDATIONS, Lane.ORDINARY)
"""In the order of the script's keys."""
_entry_decoder = msgspec.msgpack.Decoder(OutboxEntry)
_REFUSALS: dict[object, Callable[[str], str]] = {b"newer": newer, b"restoring": restoring}


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


class ShardImage(msgspec.Struct, frozen=True):
    """All that Redis holds of a shard at the moment of a take-over, except ids of inputs."""

    fence: int
    watermarks: dict[str, int]
    """Topic -> offset of the next input to apply; a topic never committed is absent and counts as 0."""
    accounts: dict[str, bytes]
    """Their states; none where there is a snapshot: `states` has those that it does not tell."""
    risks: dict[str, bytes]
    outboxes: dict[Lane, list[OutboxEntry]]
    """Committed and not known to be published, oldest first. Of an edition before lanes liquidations are in the ordinary one."""
    published: dict[str, int]
    """Topic -> offset after the last record known to be in it."""
    logs: dict[str, str]
    """Topic -> which one it is, as `TopicIdentity` writes it."""
    rebuilt: dict[str, str]
    """Topic -> where its accounts were rebuilt from copies; {} where they were not."""
    marks: dict[str, bytes]
    breaker: bytes | None
    adl: bytes | None
    snapshot: Snapshot | None = None


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
        self._fence = self._taken_ms = 0
        self._token = ""
        self.format = FORMAT_FIRST
        """Of what this owner writes (`streams.store.store_format`)."""
        self._commits = 0
        self._outbox_heads = dict.fromkeys(Lane, 0)
        self._unfinished: set[str] = set()

    async def take_over(self, edition: str = "") -> ShardImage:
        """Become the owner, whoever owned it, and read everything, by a snapshot of the edition where there is one.

        Raises StoreRefused or StoreUnavailable.
        """
        meta = await self._own([])
        if meta is None:
            raise AssertionError(f"shard {self.shard}: refused, though nobody was named to take it from")
        # As a whole: a scan must not be continued across a restart of Redis, whose hashes are then ordered anew.
        return await self._repeat(lambda: self._load(meta, edition), "loading")

    async def states(self, accounts: Sequence[str]) -> dict[str, bytes]:
        """What is stored of these accounts; one that is not there is left out. Raises StoreUnavailable."""
        return await self._repeat(lambda: read_states(self._redis, self._keys, accounts), "reading states")

    @property
    def commits(self) -> int:
        """How many commits of this ownership were confirmed."""
        return self._commits

    def snapshots(self) -> SnapshotStore:
        """Where this owner writes snapshots."""
        return SnapshotStore(self._redis, self._keys, self._fence, self._token)

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
        return await self._repeat(lambda: self._load(meta, changes=changes), "loading")

    async def beat(self) -> None:
        """Say that the owner lives. Raises ShardLost, and whatever the client raises: nothing is repeated."""
        self._check(await bounded(self._say_alive()))

    async def ask(self) -> None:
        """Return if this is the owner now. Raises FenceLost, StoreRewound or StoreUnavailable."""
        self._check(await self._repeat(lambda: bounded(self._say_alive()), "asking for the fence"))

    @property
    def owned(self) -> bool:
        """Whether the shard was taken over by this object; it may have been lost since."""
        return self._fence > 0

    async def holds_fence(self) -> bool:
        """Whether this is still the owner. Raises StoreUnavailable."""

        async def read() -> bool:
            pipe = self._redis.pipeline(transaction=False)
            pipe.get(self._keys.fence).hget(self._keys.meta, "token")
            return bool(await bounded(pipe.execute()) == [str(self._fence).encode(), self._token.encode()])

        return await self._repeat(read, "reading the fence")

    async def commit(self, commit: Commit) -> None:
        """Make `commit` durable as a whole. Await one before starting the next.

        Raises FenceLost, StoreRewound, WatermarkMismatch or StoreUnavailable; after StoreUnavailable the commit may
        or may not have happened.
        """
        keys = self._keys
        touched = [keys.fence, keys.meta, keys.accounts, keys.risks]
        touched += [*(keys.outboxes[lane] for lane in _LANES), keys.breaker, keys.adl, keys.trail]
        touched += [keys.changed, keys.changed_next]
        hashes = id_hashes(keys, commit)
        touched += [*hashes, *map(keys.orders, commit.orders), *forgotten_keys(keys, commit)]
        args: list[Argument] = [self._fence, self._token, self._commits, self._commits + 1, len(hashes)]
        args.append("".join("1" if it.cleared else "0" for it in commit.orders.values()))
        args += [TRAIL_ENTRIES_MAX, msgspec.msgpack.encode([*{**commit.accounts, **commit.risks}])]
        args += _arguments(commit, hashes.values())
        with self._alone("commit"):
            answer = await self._repeat(
                lambda: bounded(self._commit(keys=touched, args=args)),
                "commit",
                on_repeat=self._metrics.commit_retries_total.inc,
            )
            self._check(answer)
            self._commits += 1

    async def remember_logs(self, logs: Mapping[str, str]) -> None:
        """Note which topics the accounts are a result of. Raises FenceLost, StoreRewound or StoreUnavailable."""
        await self.remember({LOG + topic: identity for topic, identity in logs.items()})

    async def remember(self, fields: Mapping[str, str | bytes]) -> None:
        """Set fields of the meta hash. Raises FenceLost, StoreRewound or StoreUnavailable."""
        args: list[Argument] = [self._fence, self._token]
        for field, value in fields.items():
            args += [field, value]
        keys = [self._keys.fence, self._keys.meta]
        self._check(
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
        head = self._outbox_heads[lane]
        args: list[Argument] = [self._fence, self._token, OUTBOX_HEAD[lane], head, head + count, count]
        for topic, position in positions.items():
            args += [PUBLISHED + topic, position]
        keys = [self._keys.fence, self._keys.meta, self._keys.outboxes[lane]]
        with self._alone(f"published {lane}"):
            answer = await self._repeat(
                lambda: bounded(self._published(keys=keys, args=args)), "cutting the outbox"
            )
            self._check(answer)
            self._outbox_heads[lane] += count

    async def withdrawn(self, lane: Lane, places: Sequence[int]) -> None:
        """Take the entries at these places out of the lane's outbox, as the take-over found it; once, and before `published`.

        Raises FenceLost, StoreRewound or StoreUnavailable.
        """
        args: list[Argument] = [self._fence, self._token, WITHDRAWN + lane, *places]
        keys = [self._keys.fence, self._keys.meta, self._keys.outboxes[lane]]
        with self._alone(f"withdrawn {lane}"):
            self._check(
                await self._repeat(
                    lambda: bounded(self._withdrawn(keys=keys, args=args)), "withdrawing from the outbox"
                )
            )

    async def oldest_unpublished(self, lane: Lane, count: int) -> list[OutboxEntry]:
        """The oldest `count` entries of the lane's outbox (fewer if it has fewer). Raises StoreUnavailable."""
        key = self._keys.outboxes[lane]
        packed: list[bytes] = await self._repeat(
            lambda: bounded(self._redis.lrange(key, 0, count - 1)), "reading the outbox"
        )
        return [_entry_decoder.decode(entry) for entry in packed]

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

    async def _load_outbox(self, lane: Lane) -> list[OutboxEntry]:
        key, entries = self._keys.outboxes[lane], list[OutboxEntry]()
        while chunk := await bounded(
            self._redis.lrange(key, len(entries), len(entries) + OUTBOX_CHUNK_ENTRIES - 1)
        ):
            entries += map(_entry_decoder.decode, chunk)
        return entries

    async def _own(self, expected: list[Argument]) -> ShardMeta | None:
        self._token = uuid4().hex
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
        args = [self._owner, self._token, self._role, TRAIL_ENTRIES_MAX, FORMAT, in_force, *expected]
        answer = await self._repeat(lambda: bounded(self._take_over(keys=keys, args=args)), "take-over")
        if not answer:
            return None
        fence, flat_meta = answer
        if fence in _REFUSALS:
            raise StoreRefused(f"shard {self.shard}: {_REFUSALS[fence](flat_meta.decode(errors='replace'))}")
        meta = parse_meta(int(fence), dict(zip(flat_meta[::2], flat_meta[1::2], strict=True)))
        self._fence, self._commits, self._outbox_heads = meta.fence, meta.commit, dict(meta.outbox_heads)
        self._taken_ms, self.format = meta.taken_ms, meta.format
        self._unfinished.clear()
        return meta

    async def _load(self, meta: ShardMeta, edition: str = "", changes: Changes | None = None) -> ShardImage:
        """Everything, by a snapshot of the edition where there is one; or `changes` of the accounts and risks, and everything else."""
        snapshot = None
        if changes is None:
            risks = {name: risk async for name, risk in scan_hash(self._redis, self._keys.risks)}
            snapshot = await read_snapshot(self._redis, self._keys, meta, edition) if edition else None
            accounts: dict[str, bytes] = {}
            if snapshot is None:
                accounts = {name: state async for name, state in scan_hash(self._redis, self._keys.accounts)}
                accounts = await with_orders(self._redis, self._keys, accounts)
            changes = Changes(accounts, risks)
        return ShardImage(
            fence=meta.fence,
            watermarks=meta.watermarks,
            accounts=changes.accounts,
            risks=changes.risks,
            outboxes={lane: await self._load_outbox(lane) for lane in Lane},
            published=meta.published,
            logs=meta.logs,
            rebuilt=meta.rebuilt,
            marks={symbol: mark async for symbol, mark in scan_hash(self._redis, self._keys.marks)},
            breaker=await bounded(self._redis.get(self._keys.breaker)),
            adl=await bounded(self._redis.get(self._keys.adl)),
            snapshot=snapshot,
        )

    def _check(self, answer: list[bytes]) -> None:
        word, *details = (part.decode() for part in answer)
        said = f"shard {self.shard}, fence {self._fence}"
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
                    f"{said}: Redis is at {details[0]}, after commit {self._commits} and outbox heads "
                    f"{', '.join(map(str, self._outbox_heads.values()))} were confirmed"
                )
            case "watermark":
                raise WatermarkMismatch(f"{said}: {details[0]} is {details[1]} in Redis")
        raise AssertionError(f"unknown answer {answer}")

    def _say_alive(self) -> Awaitable[list[bytes]]:
        answer: Awaitable[list[bytes]] = self._beat(
            keys=[self._keys.fence, self._keys.meta], args=[self._fence, self._token, self._commits]
        )
        return answer

    @contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        """Refuse a second call while one runs, and any call after one that failed: its number may be used up."""
        if what in self._unfinished:
            raise AssertionError(f"shard {self.shard}: a {what} is running or ended without a good answer")
        self._unfinished.add(what)
        yield
        self._unfinished.remove(what)

    async def _repeat(
        self, attempt: Callable[[], Awaitable[T]], what: str, on_repeat: Callable[[], None] = lambda: None
    ) -> T:
        return await repeat(
            attempt, f"shard {self.shard}: {what}", retry_for_s=self._retry_for_s, on_repeat=on_repeat
        )


def _arguments(commit: Commit, ids: Iterable[list[Argument]]) -> list[Argument]:
    """Counts and values as `commit.lua` describes them."""
    parts: list[list[Argument]] = [
        [
            part
            for topic, (expected, new) in commit.advance.items()
            for part in (WATERMARK + topic, expected, new)
        ],
        [part for item in commit.accounts.items() for part in item],
        [part for item in commit.risks.items() for part in item],
    ]
    parts += [[msgspec.msgpack.encode(it) for it in commit.outbox if it.lane is lane] for lane in _LANES]
    parts += [[] if state is None else [state] for state in (commit.breaker, commit.adl)]
    parts += ids
    parts += order_parts(commit.orders)
    return [*map(len, parts), *(argument for part in parts for argument in part)]
