"""A shard's durable state in Redis, written by one owner at a time.

How a shard is owned and written
--------------------------------
1. `take_over`   one script raises the fence and sets a token; every script of an earlier owner is refused from here
                 on, so what is then loaded can no longer change under the reader
2. `commit`      one script {fence and token are mine, this commit's number is the next one, every watermark is the
                 expected one} writes states, risks, ids, outbox and watermarks, or nothing
3. an unanswered commit is repeated as it is: its number tells the script whether it had happened
4. `published`   one script cuts published entries from the head of the outbox; its head count makes it repeatable

What the answers mean
---------------------
    fenced      another owner took over                                  FenceLost
    rewound     Redis is older than an answer it gave: restored, emptied StoreRewound
    watermark   the caller and Redis disagree about the next input       WatermarkMismatch
    (silence)   Redis is away, full or read-only for too long            StoreUnavailable
After any of them this object is done: its process ends, or takes the shard over again. So it is after a cancelled
call, whose outcome nobody knows.

Keys
----
All keys of shard N carry the hash tag `{shard-N}`: they live on one node of a Redis Cluster, as a script requires.
They belong to this module alone; a key of another type is a broken invariant.

    unimargin:{shard-N}:fence                  number of take-overs
    unimargin:{shard-N}:meta                   hash: owner, token, commit, watermark:<topic>, published:<topic>, outbox_head
    unimargin:{shard-N}:accounts               hash: account -> state
    unimargin:{shard-N}:risks                  hash: account -> risk record
    unimargin:{shard-N}:outbox                 list of entries in MessagePack, oldest first
    unimargin:{shard-N}:marks                  hash: price symbol -> mark
    unimargin:{shard-N}:seen:<topic>:<account> list of input ids, newest last
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
from redis.asyncio import Redis

from streams.commit import DEDUPE_WINDOW, Commit, OutboxEntry
from streams.metrics import Metrics
from streams.redis_client import StoreError, bounded, repeat, scan_hash
from streams.store_keys import PUBLISHED, WATERMARK, ShardKeys, ShardMeta, parse_meta

T = TypeVar("T")
Argument = str | int | bytes

OUTBOX_CHUNK_ENTRIES = 1000
"""Entries per LRANGE while loading: about 2 MB, so that no single answer holds up the other shards."""

RETRY_FOR_S = 30.0
"""Longer than a restart of Redis takes to load some gigabytes, shorter than a person's patience with no margin calls."""

_entry_decoder = msgspec.msgpack.Decoder(OutboxEntry)


class FenceLost(StoreError):  # noqa: N818 - it names what happened
    """Another owner has taken the shard over. Nothing was written."""


class StoreRewound(StoreError):  # noqa: N818 - it names what happened
    """Redis holds less than it confirmed to this owner. Nothing was written."""


class WatermarkMismatch(StoreError):  # noqa: N818 - it names what happened
    """The commit does not start at the stored watermark. Nothing was written."""


class ShardImage(msgspec.Struct, frozen=True):
    """All that Redis holds of a shard at the moment of a take-over, except the ids in the dedupe windows."""

    fence: int
    watermarks: dict[str, int]
    """Topic -> offset of the next input to apply; a topic never committed is absent and counts as 0."""
    accounts: dict[str, bytes]
    risks: dict[str, bytes]
    outbox: list[OutboxEntry]
    """Committed and not known to be published, oldest first."""
    published: dict[str, int]
    """Topic -> offset after the last record known to be in it."""
    marks: dict[str, bytes]


class ShardStore:
    """One shard, owned by one process; see the module for the procedure.

    - `client`: from `redis_client.connect`, which repeats nothing by itself.
    - `owner`: a name for people; ownership itself rests on a token drawn at each take-over.
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
        retry_for_s: float = RETRY_FOR_S,
    ) -> None:
        self.shard = shard
        self._redis: Any = client
        self._keys = ShardKeys(prefix, shard)
        self._owner = owner
        self._metrics = metrics
        self._retry_for_s = retry_for_s
        self._take_over, self._commit, self._published = (
            self._redis.register_script(_script(name)) for name in ("take_over", "commit", "published")
        )
        self._fence = 0
        self._token = ""
        self._commits = 0
        self._outbox_head = 0
        self._unfinished: set[str] = set()

    async def take_over(self) -> ShardImage:
        """Become the owner and read everything. Raises StoreUnavailable."""
        self._token = uuid4().hex
        fence, flat_meta = await self._repeat(
            lambda: bounded(
                self._take_over(keys=[self._keys.fence, self._keys.meta], args=[self._owner, self._token])
            ),
            "take-over",
        )
        meta = parse_meta(int(fence), dict(zip(flat_meta[::2], flat_meta[1::2], strict=True)))
        self._fence, self._commits, self._outbox_head = meta.fence, meta.commit, meta.outbox_head
        self._unfinished.clear()
        # As a whole: a scan must not be continued across a restart of Redis, whose hashes are then ordered anew.
        return await self._repeat(lambda: self._load(meta), "loading")

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
        touched = [keys.fence, keys.meta, keys.accounts, keys.risks, keys.outbox]
        touched += [keys.seen(topic, account) for topic, account in commit.seen]
        args: list[Argument] = [self._fence, self._token, self._commits, self._commits + 1, DEDUPE_WINDOW]
        args += _arguments(commit)
        with self._alone("commit"):
            answer = await self._repeat(
                lambda: bounded(self._commit(keys=touched, args=args)),
                "commit",
                on_repeat=self._metrics.commit_retries_total.inc,
            )
            self._check(answer)
            self._commits += 1

    async def published(self, count: int, positions: Mapping[str, int]) -> None:
        """Cut the oldest `count` entries from the outbox; `positions`: topic -> offset after its last record.

        Await one before starting the next. Raises FenceLost, StoreRewound or StoreUnavailable.
        """
        head = self._outbox_head
        args: list[Argument] = [self._fence, self._token, head, head + count, count]
        for topic, position in positions.items():
            args += [PUBLISHED + topic, position]
        with self._alone("published"):
            answer = await self._repeat(
                lambda: bounded(
                    self._published(keys=[self._keys.fence, self._keys.meta, self._keys.outbox], args=args)
                ),
                "cutting the outbox",
            )
            self._check(answer)
            self._outbox_head += count

    async def oldest_unpublished(self, count: int) -> list[OutboxEntry]:
        """The oldest `count` entries of the outbox (fewer if it has fewer). Raises StoreUnavailable."""
        packed: list[bytes] = await self._repeat(
            lambda: bounded(self._redis.lrange(self._keys.outbox, 0, count - 1)), "reading the outbox"
        )
        return [_entry_decoder.decode(entry) for entry in packed]

    async def seen(self, topic: str, accounts: Sequence[str]) -> dict[str, list[str]]:
        """The newest `DEDUPE_WINDOW` input ids of each account in `topic`, oldest first; [] for none.

        Raises StoreUnavailable.
        """

        async def read() -> list[list[bytes]]:
            pipe = self._redis.pipeline(transaction=False)
            for account in accounts:
                pipe.lrange(self._keys.seen(topic, account), 0, -1)
            windows: list[list[bytes]] = await bounded(pipe.execute())
            return windows

        windows = await self._repeat(read, "reading input ids")
        return {
            account: [input_id.decode() for input_id in ids]
            for account, ids in zip(accounts, windows, strict=True)
        }

    async def save_marks(self, marks: Mapping[str, bytes]) -> None:
        """Keep the latest mark of each price symbol for whoever takes over next. Raises StoreUnavailable.

        Not fenced: a mark names its sequence, and it only primes a book that checks every mark it is given.
        """
        if marks:
            await self._repeat(
                lambda: bounded(self._redis.hset(self._keys.marks, mapping=marks)), "saving marks"
            )

    async def _load(self, meta: ShardMeta) -> ShardImage:
        outbox: list[OutboxEntry] = []
        while chunk := await bounded(
            self._redis.lrange(self._keys.outbox, len(outbox), len(outbox) + OUTBOX_CHUNK_ENTRIES - 1)
        ):
            outbox += map(_entry_decoder.decode, chunk)
        return ShardImage(
            fence=meta.fence,
            watermarks=meta.watermarks,
            accounts={name: state async for name, state in scan_hash(self._redis, self._keys.accounts)},
            risks={name: risk async for name, risk in scan_hash(self._redis, self._keys.risks)},
            outbox=outbox,
            published=meta.published,
            marks={symbol: mark async for symbol, mark in scan_hash(self._redis, self._keys.marks)},
        )

    def _check(self, answer: list[bytes]) -> None:
        word, *details = (part.decode() for part in answer)
        said = f"shard {self.shard}, fence {self._fence}"
        match word:
            case "ok" | "already":
                return
            case "fenced":
                raise FenceLost(f"{said}: another owner took over")
            case "rewound":
                raise StoreRewound(
                    f"{said}: Redis is at {details[0]}, after commit {self._commits} and outbox head "
                    f"{self._outbox_head} were confirmed"
                )
            case "watermark":
                raise WatermarkMismatch(f"{said}: {details[0]} is {details[1]} in Redis")
        raise AssertionError(f"unknown answer {answer}")

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


def _script(name: str) -> str:
    return resources.files("streams").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


def _arguments(commit: Commit) -> list[Argument]:
    """Counts and values as `commit.lua` describes them."""
    parts: list[list[Argument]] = [
        [
            part
            for topic, (expected, new) in commit.advance.items()
            for part in (WATERMARK + topic, expected, new)
        ],
        [part for item in commit.accounts.items() for part in item],
        [part for item in commit.risks.items() for part in item],
        [msgspec.msgpack.encode(entry) for entry in commit.outbox],
    ]
    parts += [list(ids) for ids in commit.seen.values()]
    return [*map(len, parts), *(argument for part in parts for argument in part)]
