"""Connections that are dropped once the server at their other end is no primary any more, and pools that lead to one server alone.

A primary that was replaced goes on answering: that it is read-only, that it has lost its replicas, or what it held before. Whoever keeps a
connection to it talks to it for ever, and whoever keeps some of several would take a shard over at the new primary and read what is stored
at the old one. So a connection that is told of it is closed, the next one asks anew where the primary is (the sentinels, or the name
server), and where that leads elsewhere all others go as well.
"""

import re
from typing import Any

import redis.exceptions as errors
from redis.asyncio.connection import Connection, ConnectionPool, SSLConnection
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection

_NOT_PRIMARY = re.compile(r"\b(READONLY|NOREPLICAS|MASTERDOWN)\b")


class Dropping:
    """Mixed into a connection."""

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Raises ConnectionError, with the server's words, where it is no primary: the client drops the connection then."""
        connection: Any = super()
        try:
            return await connection.read_response(*args, **options)
        except errors.ResponseError as error:
            # the client has taken the first word off the text where it has a type for it
            typed = isinstance(error, errors.ReadOnlyError | errors.MasterDownError)
            if not typed and _NOT_PRIMARY.search(str(error)) is None:
                raise
            word = "READONLY " if isinstance(error, errors.ReadOnlyError) else ""
            raise errors.ConnectionError(f"the server is not the primary: {word}{error}") from error


class DroppingConnection(Dropping, Connection):
    """In the clear."""


class DroppingSSLConnection(Dropping, SSLConnection):
    """By TLS."""


class PrimaryConnection(Dropping, SentinelManagedConnection):
    """To whichever server the sentinels call the primary, in the clear."""


class PrimarySSLConnection(Dropping, SentinelManagedSSLConnection):
    """The same by TLS."""


class OneServer:
    """Mixed into a pool."""

    _peer: Any = None
    """Address and port that its connections lead to."""

    async def ensure_connection(self, connection: Any) -> None:
        """Called with a connection that is about to be used."""
        pool: Any = super()
        await pool.ensure_connection(connection)
        peer = connection._writer.get_extra_info("peername")  # noqa: SLF001 - the client tells the address without the port
        if peer != self._peer:
            self._peer = peer
            await self._leave_others(connection)

    async def _leave_others(self, connection: Any) -> None:
        pool: Any = self
        for other in pool._in_use_connections - {connection}:  # noqa: SLF001
            other.mark_for_reconnect()
        await pool.disconnect(inuse_connections=False)


class OneServerPool(OneServer, ConnectionPool):
    """Of a server that is found by its name."""
