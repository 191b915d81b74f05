"""Redis for commands: a connection that fails soon and clearly, and what the shards hold."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.events.effects import AccountRisk
from engine.inputs import Mark
from engine.ledger.accounts import AccountState, decode
from engine.strict_decoding import UNREADABLE
from streams.config.problem import Problem
from streams.config.redis_address import FORMS, read_address
from streams.config.settings import Settings, SettingsError
from streams.config.tls_context import tls_context
from streams.store.redis_client import connect, scan_hash
from streams.store.redis_refusal import refused
from streams.store.store_keys import ShardKeys
from streams.store.store_reader import StoreReader

_T = TypeVar("_T")

SHARDS_PROBED = 256
"""Shards asked for in one go: more than a deployment has, and a few ms."""


@asynccontextmanager
async def open_redis(settings: Settings) -> AsyncIterator[Redis]:
    """A connected client. Raises `Problem` when Redis does not answer, then or in the body."""
    client = client_of(settings)
    try:
        await _ping(client)
        yield client
    except (RedisError, OSError) as error:
        words = refused(error) or f"{error}. Is the server running, and is UNIMARGIN_REDIS_URL its address?"
        raise Problem(f"Redis at {address(settings)}: {words}") from None
    finally:
        await client.aclose()


def client_of(settings: Settings) -> Redis:
    """A client that connects at the first call; close it. Raises `SettingsError` for an address or a file that cannot be used."""
    security: dict[str, object] = {}
    if settings.redis_password.get_secret_value():
        security |= {
            "username": settings.redis_username or None,
            "password": settings.redis_password.get_secret_value(),
        }
    url = settings.redis_url.get_secret_value()
    if read_address(url).transport == "rediss":
        # the client takes files, and looks at them when it connects: too late to tell
        tls_context(settings, "redis")
        security |= {
            "ssl_ca_certs": _path(settings.redis_tls_ca_file),
            "ssl_certfile": _path(settings.redis_tls_certificate_file),
            "ssl_keyfile": _path(settings.redis_tls_key_file),
            "ssl_password": settings.redis_tls_key_password.get_secret_value(),
            "ssl_min_version": ssl.TLSVersion.TLSv1_2,
            "ssl_check_hostname": True,
        }
    try:
        return connect(url, **security)
    except ValueError:
        # The client's words would repeat the address, and with it the password.
        raise SettingsError(
            f"redis_address_malformed: UNIMARGIN_REDIS_URL: not an address of the form {FORMS}"
        ) from None


def address(settings: Settings) -> str:
    """Where Redis is, without user, password and options. The address must be one that `client_of` takes."""
    return read_address(settings.redis_url.get_secret_value()).said


async def shard_count(client: Redis, prefix: str) -> int:
    """One more than the highest shard that was ever taken over, 0 if none was."""
    any_client: Any = client
    count = first = 0
    while True:
        pipe = any_client.pipeline(transaction=False)
        for shard in range(first, first + SHARDS_PROBED):
            pipe.exists(ShardKeys(prefix, shard).fence)
        found = [first + i for i, exists in enumerate(await pipe.execute()) if exists]
        if not found:
            return count
        count = found[-1] + 1
        first += SHARDS_PROBED


async def risks(client: Redis, prefix: str, shard: int) -> dict[str, AccountRisk]:
    """Every risk record of a shard: the accounts of which anything was ever said."""
    key = ShardKeys(prefix, shard).risks
    return {account: read_risk(account, data) async for account, data in scan_hash(client, key)}


async def saved_marks(store: StoreReader, shard: int) -> list[Mark]:
    """The marks that the shard's owner saved last (it does so once a second)."""
    return [_read(data, Mark, f"mark of {symbol}") for symbol, data in (await store.marks(shard)).items()]


def read_state(account: str, data: bytes) -> AccountState:
    """Decode an account's state. Raises `Problem` for what this version cannot read."""
    try:
        return decode(data)
    except UNREADABLE as error:
        raise Problem(f"the state of account {account!r} in Redis cannot be read: {error}") from None


def read_risk(account: str, data: bytes | None) -> AccountRisk:
    """Decode an account's risk record; one of which nothing was ever said is healthy."""
    return AccountRisk(account) if data is None else _read(data, AccountRisk, f"risk record of {account!r}")


async def _ping(client: Redis) -> None:
    any_client: Any = client
    try:
        await any_client.ping()
    except TypeError:
        raise SettingsError(
            "UNIMARGIN_REDIS_URL: an option after the ? is not one that Redis clients know"
        ) from None


def _path(file: Path | None) -> str | None:
    return None if file is None else str(file)


def _read(data: bytes, kind: type[_T], what: str) -> _T:
    try:
        return msgspec.json.decode(data, type=kind)
    except UNREADABLE as error:
        raise Problem(f"the {what} in Redis cannot be read: {error}") from None
