"""Connections that are dropped once the server at their other end is no primary any more.

A primary that was replaced goes on answering: that it is read-only, that it has lost its replicas, or that it loads what the new one has.
Whoever keeps such a connection talks to it for ever. So it is closed, and the next one asks anew where the primary is: the sentinels, or
the name server.
"""

import re
from typing import Any

import redis.exceptions as errors
from redis.asyncio.connection import Connection, SSLConnection
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
