"""Talking to Redis: the client's options, which errors pass by themselves, and repeating until they do.

Only operations that are safe to repeat may go through `repeat`: a connection that breaks says nothing about whether
the server had carried the call out.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar, cast

import redis.exceptions as errors
from redis.asyncio import Redis
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from streams.config.redis_address import Kind, read_address
from streams.store.cluster_client import ClusterClient
from streams.store.connection_options import connection_options
from streams.store.redis_connections import (
    DroppingConnection,
    DroppingSSLConnection,
    OneServerPool,
    PrimaryConnection,
    PrimarySSLConnection,
)
from streams.store.sentinel_client import sentinel_client

T = TypeVar("T")

CALL_TIMEOUT_S = 5.0
"""A call that takes longer is taken as lost. The slowest, a commit of thousands of accounts, takes well under one.
Kept by `bounded`, not by the client's `socket_timeout`: that one writes under `asyncio.wait_for`, which in Python 3.11
may swallow a cancellation, so that a task asked to stop goes on."""

CONNECT_ONE_OF_MANY_S = 1.0
"""Where there is another server to try: a machine that is gone must not use up the time of the call."""

BACKOFF_FIRST_S = 0.02
BACKOFF_MAX_S = 1.0
"""From a hiccup that nobody notices to a pace that does not burden a server that is loading its data."""

SCAN_FIELDS = 1000
"""Fields per HSCAN: about 2 MB of account states, a few ms of the server's one thread."""
KEYS_SCANNED = 1_000

# What Redis says when it cannot serve *now* and nothing is wrong with the call. As words, because an older Redis wraps
# what went wrong inside a script: "ERR Error running script (...): @user_script:43: -OOM command not allowed ...".
_PASSING_WORDS = re.compile(
    r"\b(OOM|READONLY|MISCONF|NOREPLICAS|BUSY|LOADING|CLUSTERDOWN|MASTERDOWN|TRYAGAIN|NOSCRIPT)\b"
)
# The client turns the first word of some of these answers into a type and drops it from the text.
_PASSING_TYPES = (
    errors.ConnectionError,
    errors.TimeoutError,
    errors.OutOfMemoryError,
    errors.ReadOnlyError,
    errors.NoScriptError,
    errors.ClusterError,
    errors.AskError,
    errors.TryAgainError,
    OSError,
)


class StoreError(Exception):
    """The durable state of a shard could not be read or written."""


class StoreUnavailable(StoreError):  # noqa: N818 - it names what happened
    """Redis was away, full or read-only for too long; the message carries its words, or the client's."""


def connect(url: str, **security: Any) -> Redis:
    """Return a client of the Redis at `url`; it connects at the first call. Raises ValueError, which may quote the address.

    `security` is what `redis_access.client_of` adds: credentials, authorities, certificates.
    It repeats nothing by itself: `repeat` does, where it is safe, and counts it. Bound every call with `bounded`.
    The forms of addresses are those of `streams.config.redis_address`. A client of a cluster does what this package asks of it, and no more.
    """
    where = read_address(url)
    found = connection_options(where, security)
    options = {
        **found.server,
        "socket_timeout": None,
        "socket_connect_timeout": CALL_TIMEOUT_S if where.kind is Kind.SERVER else CONNECT_ONE_OF_MANY_S,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": False,
    }
    kind = options.pop("connection_class", Connection)
    ssl = kind is SSLConnection
    if where.kind is Kind.SENTINEL:
        sentinel_options = {
            **options,
            "username": None,
            "password": None,
            **found.sentinel,
            "ssl": ssl,
        }
        sentinel_options.pop("db", None)
        options["connection_class"] = PrimarySSLConnection if ssl else PrimaryConnection
        return sentinel_client(where.hosts, where.service, options, sentinel_options)
    if kind in {Connection, SSLConnection}:
        kind = DroppingSSLConnection if ssl else DroppingConnection

    def one(**place: Any) -> Redis:
        return Redis.from_pool(OneServerPool(connection_class=kind, **{**options, **place}))

    if where.kind is Kind.CLUSTER:
        # it has the commands of a client of one server, and of those the ones that `cluster_client` names
        return cast("Redis", ClusterClient(where.hosts, lambda host, port: one(host=host, port=port)))
    return one()


def passes(error: Exception) -> bool:
    """Whether this error says that Redis cannot serve now, rather than that the call is wrong."""
    if isinstance(error, errors.AuthenticationError | errors.AuthorizationError):
        return False
    if isinstance(error, _PASSING_TYPES):
        return True
    return isinstance(error, errors.ResponseError) and _PASSING_WORDS.search(str(error)) is not None


async def bounded(call: Awaitable[T]) -> T:
    """Await one call to Redis. Raises TimeoutError after `CALL_TIMEOUT_S`; the client then drops the connection."""
    async with asyncio.timeout(CALL_TIMEOUT_S):
        return await call


async def repeat(
    attempt: Callable[[], Awaitable[T]],
    what: str,
    *,
    retry_for_s: float,
    on_repeat: Callable[[], None] = lambda: None,
) -> T:
    """Await `attempt()` until it answers, pausing between attempts, for about `retry_for_s` seconds.

    `what` stands in messages; `on_repeat` is called before each repetition. Raises StoreUnavailable when the time is
    up, and at once whatever is not an error that passes.
    """
    deadline_s = time.monotonic() + retry_for_s
    backoff_s = BACKOFF_FIRST_S
    while True:
        try:
            return await attempt()
        except (errors.RedisError, OSError) as error:
            if not passes(error):
                raise
            if time.monotonic() + backoff_s > deadline_s:
                raise StoreUnavailable(f"{what}: {_words(error)}; gave up after {retry_for_s:g} s") from error
            # here, because commands share this file and log nothing; a worker has it loaded
            import structlog  # noqa: PLC0415

            structlog.get_logger().warning(
                "redis_call_repeated", what=what, error=_words(error), pause_seconds=backoff_s
            )
        await asyncio.sleep(backoff_s)
        backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)
        on_repeat()


async def scan_hash(client: Any, key: str) -> AsyncIterator[tuple[str, bytes]]:
    """Every field of a hash and its value, in chunks; a field may come twice if the hash changes meanwhile."""
    cursor = 0
    while True:
        cursor, chunk = await bounded(client.hscan(key, cursor=cursor, count=SCAN_FIELDS))
        for field, value in chunk.items():
            yield field.decode(), value
        if cursor == 0:
            return


async def scan_keys(client: Redis, pattern: str) -> AsyncIterator[list[bytes]]:
    """Every key that matches, in chunks, on whichever server it lies; a key may come twice if keys are added meanwhile."""
    for server in await servers(client):
        cursor, any_server = 0, cast("Any", server)
        while True:
            cursor, keys = await bounded(any_server.scan(cursor=cursor, match=pattern, count=KEYS_SCANNED))
            yield keys
            if cursor == 0:
                break


async def servers(client: Redis) -> list[Redis]:
    """A client of each server that takes writes: of all nodes of a cluster that own slots, else the one there is."""
    return [*(await client.primaries()).values()] if isinstance(client, ClusterClient) else [client]


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
