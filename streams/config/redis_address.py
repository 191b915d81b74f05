"""Where Redis is, as people write it.

    redis://[user:password@]host:port/db                                 one server, or one name that leads to the primary
    unix:///run/redis.sock                                               one server, on this machine
    redis+sentinel://[user:password@]host:26379,host:26379/service/db    whichever server the sentinels call the primary
    redis+cluster://[user:password@]host:6379,host:6379                  a Redis Cluster, or Valkey's; some of its nodes
    rediss://, rediss+sentinel://, rediss+cluster://                     the same by TLS, sentinels included

User and password are those of the servers that hold the data. Sentinels with a password of their own have it as
`?sentinel_username=...&sentinel_password=...`; every other option after the ? is one of redis-py's.
"""

import re
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

from streams.config.host_port import Address, read_host_port

FORMS = (
    "redis://[user:password@]host:port/db, redis+sentinel://[user:password@]host:port,host:port/service/db or "
    "redis+cluster://[user:password@]host:port,host:port (rediss... for TLS)"
)

SERVER_PORT = 6379
SENTINEL_PORT = 26379
_SERVICE = re.compile(r"[A-Za-z0-9._-]+")
"""What sentinels allow in a name."""
_WORD = re.compile(r"[A-Za-z0-9_-]+")


class Kind(StrEnum):
    """How the server is found that takes writes."""

    SERVER = "server"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class RedisAddress(NamedTuple):
    """An address, read."""

    kind: Kind
    transport: str
    """redis, rediss or unix."""
    hosts: list[Address]
    """One server's, of sentinels, or nodes of a cluster; none for a socket of this machine."""
    service: str
    """What the sentinels call the primary and its replicas; "" else."""
    connection: str
    """The address that one server with the data would have, as redis-py reads it; of many the host is `host`. Secret."""
    user: bool
    password: bool
    """Whether they are in the address."""
    options: frozenset[str]
    """Names of what stands after the ?."""
    said: str
    """The address without user, password and options: for people."""


def read_address(url: str) -> RedisAddress:
    """Read an address. Raises ValueError for one that is none, with no word of it: any may be of a password."""
    scheme, mark, rest = url.partition("://")
    transport, plus, word = scheme.lower().partition("+")
    kinds = {Kind.SENTINEL, Kind.CLUSTER} if plus else {""}
    if (
        not mark
        or transport not in ("redis", "rediss", "unix")
        or word not in kinds
        or (plus and transport == "unix")
    ):
        raise ValueError("the scheme is none")
    kind = Kind(word) if plus else Kind.SERVER
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    login, at, named = authority.rpartition("@")
    if "#" in url or "@" in unquote(path) + query:
        # else a part of the password would count as host, path or option, and be said
        raise ValueError("a login has / ? # or @ in it: write them as %2F %3F %23 %40")
    if bool(named) == (transport == "unix"):
        raise ValueError("a server has a host, a socket has none")
    if not at and named != "localhost" and _WORD.fullmatch(named):
        raise ValueError("one word alone may be a password as well: write host:port")
    port = SENTINEL_PORT if kind is Kind.SENTINEL else SERVER_PORT
    hosts = [read_host_port(text, port) for text in named.split(",")] if named else []
    service, db = _place(kind, path) if transport != "unix" else ("", path)
    user, _, password = login.partition(":")
    options = frozenset(parse_qs(query, keep_blank_values=True))
    host = named if kind is Kind.SERVER else "host"
    return RedisAddress(
        kind,
        transport,
        hosts,
        service,
        f"{transport}://{login}{at}{host}/{db}?{query}",
        bool(user) or "username" in options,
        bool(password) or "password" in options,
        options,
        f"{scheme}://{named}{slash}{path}",
    )


def _place(kind: Kind, path: str) -> tuple[str, str]:
    """The service, and the number of the database."""
    service, _, db = unquote(path).strip("/").partition("/") if kind is Kind.SENTINEL else ("", "", path)
    db = db.strip("/")
    if kind is Kind.SENTINEL and not _SERVICE.fullmatch(service):
        raise ValueError("the service is missing that the sentinels watch, or is none: ...:26379/service/db")
    if kind is Kind.CLUSTER and db not in {"", "0"}:
        raise ValueError("a cluster has no database but 0")
    if db and not db.isdecimal():
        raise ValueError("the database is not a number")
    return service, db
