"""The options of connections, as redis-py has them, from an address and what settings add to it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from redis.asyncio.connection import parse_url

from streams.config.redis_address import Kind, RedisAddress


class ConnectionOptions(NamedTuple):
    """What a connection is made with."""

    server: dict[str, Any]
    """To a server that holds data; of one server with its host."""
    sentinel: dict[str, Any]
    """To a sentinel, the credentials only."""


def connection_options(address: RedisAddress, more: Mapping[str, Any]) -> ConnectionOptions:
    """The options. Raises ValueError for one that redis-py refuses; its words may repeat it."""
    server = dict(parse_url(address.connection))
    if address.kind is not Kind.SERVER:
        del server["host"]
    own = {
        name: server.pop(f"sentinel_{name}")
        for name in ("username", "password")
        if f"sentinel_{name}" in server
    }
    return ConnectionOptions({**server, **more}, own)
