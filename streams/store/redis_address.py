"""Where Redis is, as people write it.

    redis://[user:password@]host:port/db                                 one server, or one name that leads to the primary
    redis+sentinel://[user:password@]host:26379,host:26379/service/db    whichever server the sentinels call the primary
    redis+cluster://[user:password@]host:6379,host:6379                  a Redis Cluster, or Valkey's; some of its nodes
    rediss://, rediss+sentinel://, rediss+cluster://                     the same by TLS, sentinels included

User and password are those of the servers that hold the data. Sentinels with a password of their own have it as
`?sentinel_username=...&sentinel_password=...`; every other option after the ? is one of redis-py's.
"""

from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import unquote

from redis.asyncio.connection import parse_url

FORMS = (
    "redis://[user:password@]host:port/db, redis+sentinel://[user:password@]host:port,host:port/service/db or "
    "redis+cluster://[user:password@]host:port,host:port (rediss... for TLS)"
)

Address = tuple[str, int]
"""Host and port."""

SERVER_PORT = 6379
SENTINEL_PORT = 26379


class Kind(StrEnum):
    """How the server is found that takes writes."""

    SERVER = "server"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class RedisAddress(NamedTuple):
    """An address, read."""

    kind: Kind
    hosts: list[Address]
    """Of sentinels, or nodes of a cluster; none for a single server, whose host is among the options."""
    service: str
    """What the sentinels call the primary and its replicas; "" else."""
    options: dict[str, Any]
    """Of connections to servers that hold data, as redis-py has them."""
    sentinel_options: dict[str, Any]
    """Of connections to sentinels."""
    said: str
    """The address without user, password and options: for people."""


def read_address(url: str) -> RedisAddress:
    """Read an address. Raises ValueError for one that is none; its words may repeat the address, and with it the password."""
    scheme, mark, rest = url.partition("://")
    transport, _, kind = scheme.lower().partition("+")
    if (
        not mark
        or kind not in {"", Kind.SENTINEL, Kind.CLUSTER}
        or (kind and transport not in {"redis", "rediss"})
    ):
        raise ValueError(f"not one of {FORMS}")
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    login, at, named = authority.rpartition("@")
    if "#" in url or "@" in path or "@" in query or not (named or transport == "unix"):
        # else a part of the password would count as host, path or option, and be said
        raise ValueError("a login has / ? # or @ in it: write them as %2F %3F %23 %40")
    said = f"{scheme}://{named}{slash}{path}"
    if not kind:
        return RedisAddress(Kind.SERVER, [], "", dict(parse_url(url)), {}, said)
    port = SENTINEL_PORT if kind == Kind.SENTINEL else SERVER_PORT
    hosts = [_host(text, port) for text in named.split(",")]
    service, _, db = unquote(path).strip("/").partition("/") if kind == Kind.SENTINEL else ("", "", path)
    if kind == Kind.SENTINEL and not service:
        raise ValueError("the service is missing that the sentinels watch: ...:26379/service/db")
    if kind == Kind.CLUSTER and db.strip("/") not in {"", "0"}:
        raise ValueError("a cluster has no database but 0")
    if db and not db.strip("/").isdecimal():
        raise ValueError("the database is not a number")
    options = dict(parse_url(f"{transport}://{login}{at}host/{db.strip('/')}?{query}"))
    del options["host"]
    own = {
        name: options.pop(f"sentinel_{name}")
        for name in ("username", "password")
        if f"sentinel_{name}" in options
    }
    return RedisAddress(Kind(kind), hosts, service, options, own, said)


def _host(text: str, port: int) -> Address:
    """One of a list; an IPv6 address stands in brackets."""
    host, bracket, after = text.partition("]")
    if bracket:
        host = host.removeprefix("[")
    else:
        host, colon, after = text.partition(":")
        after = colon + after
    if not host or (after and not after.removeprefix(":").isdecimal()):
        raise ValueError("a host is not of the form host:port")
    return unquote(host), int(after.removeprefix(":")) if after else port
