"""A loopback relay in front of librdkafka's mock cluster that lets consumer groups of more than one member form.

The gap it closes. When a group rebalances, every member sends SyncGroup; the leader's carries the assignments. The mock
cluster answers all waiting members the moment the leader's arrives, and refuses a follower's that comes after it with
INVALID_REQUEST, which ends that consumer (a Kafka broker would answer it). Whoever loses this race of a
millisecond is lost: about every third start of three workers.

The rule. A leader's SyncGroup with N assignments is held until the other N - 1 members' have gone through, at most
`HOLD_S_MAX` (a member that died while joining never sends one). Everything else passes as it is.
"""

import asyncio
import struct
from contextlib import suppress
from typing import NamedTuple

from streams.embedded.ports import LOOPBACK

SYNC_GROUP = 14
# From version 4 on the header and the strings are encoded differently; aiokafka and librdkafka send at most 3.
SYNC_GROUP_VERSION_MAX = 3
GROUP_INSTANCE_SINCE_VERSION = 3

# Below the shortest session timeout in use, or the mock cluster gives the rebalance up meanwhile.
HOLD_S_MAX = 1.0
# The followers' requests are then with the mock cluster's thread; give it time to read them before the leader's.
HOLD_AFTER_S = 0.02

# Kafka's own socket.request.max.bytes.
REQUEST_BYTES_MAX = 100 * 1024 * 1024
RESPONSE_CHUNK_BYTES = 256 * 1024


class SyncGroup(NamedTuple):
    """The parts of a SyncGroup request that the gate needs; only the leader's has assignments."""

    group: str
    generation: int
    member: str
    assignments: int


def parse_sync_group(request: bytes) -> SyncGroup | None:
    """Return what a Kafka request (without its length) says if it is a SyncGroup of a known version, else None.

    Raises struct.error when such a request is cut short.
    """
    key, version = struct.unpack_from(">hh", request, 0)
    if key != SYNC_GROUP or version > SYNC_GROUP_VERSION_MAX:
        return None
    _client, at = _string(request, 8)
    group, at = _string(request, at)
    (generation,) = struct.unpack_from(">i", request, at)
    member, at = _string(request, at + 4)
    if version >= GROUP_INSTANCE_SINCE_VERSION:
        _instance, at = _string(request, at)
    (assignments,) = struct.unpack_from(">i", request, at)
    return SyncGroup(group, generation, member, assignments)


def _string(request: bytes, at: int) -> tuple[str, int]:
    """Return the nullable string at a position, "" for null, and the position after it."""
    (length,) = struct.unpack_from(">h", request, at)
    start = at + 2
    end = start + max(length, 0)
    return request[start:end].decode(errors="replace"), end


class SyncGate:
    """Relays every connection made to `port` to the mock cluster at `upstream_port`, both on loopback."""

    def __init__(self, port: int, upstream_port: int) -> None:
        self.port = port
        self.upstream_port = upstream_port
        # Followers seen per group, in its newest generation only.
        self._followers: dict[str, tuple[int, set[str]]] = {}
        self._passed = asyncio.Condition()

    async def serve(self) -> asyncio.Server:
        """Start listening. Raises OSError when the port is taken."""
        return await asyncio.start_server(self._relay, LOOPBACK, self.port)

    async def _relay(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        try:
            broker_in, broker_out = await asyncio.open_connection(LOOPBACK, self.upstream_port)
        except OSError:
            client_out.close()
            return
        directions = {
            asyncio.create_task(self._requests(client_in, broker_out)),
            asyncio.create_task(_responses(broker_in, client_out)),
        }
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            client_out.close()
            broker_out.close()

    async def _requests(self, client: asyncio.StreamReader, broker: asyncio.StreamWriter) -> None:
        """Relay whole requests until either side closes; a malformed one closes the connection, as Kafka does."""
        with suppress(asyncio.IncompleteReadError, ConnectionError, struct.error):
            while True:
                length = await client.readexactly(4)
                (size,) = struct.unpack(">i", length)
                if not 0 < size <= REQUEST_BYTES_MAX:
                    return
                request = await client.readexactly(size)
                sync = parse_sync_group(request)
                if sync is not None and sync.assignments > 0:
                    await self._hold(sync)
                broker.write(length + request)
                await broker.drain()
                if sync is not None and sync.assignments == 0:
                    async with self._passed:
                        self._seen(sync).add(sync.member)
                        self._passed.notify_all()

    async def _hold(self, leader: SyncGroup) -> None:
        followers = leader.assignments - 1
        if followers == 0:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(HOLD_S_MAX), self._passed:
                await self._passed.wait_for(lambda: len(self._seen(leader)) >= followers)
        await asyncio.sleep(HOLD_AFTER_S)

    def _seen(self, sync: SyncGroup) -> set[str]:
        generation, members = self._followers.get(sync.group, (0, set()))
        if generation != sync.generation:
            members = set()
            self._followers[sync.group] = (sync.generation, members)
        return members


async def _responses(broker: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while chunk := await broker.read(RESPONSE_CHUNK_BYTES):
            client.write(chunk)
            await client.drain()
