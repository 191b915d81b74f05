"""A client of a Redis Cluster, for what this package asks of Redis: commands, scripts, pipelines and transactions, each on the keys of one slot.

All keys of a shard share a hash tag, so whatever happens in one step happens on one node, and a command that was sent to a node is the same
as one that was sent to a single Redis. This file only finds the node:

    slot of the first key -> node, by what CLUSTER SLOTS said last
    MOVED     the command was not carried out: note the new owner of the slot, and ask there
    ASK       the slot is on its way: ask there this once
    else      errors go to the caller, who repeats (`redis_client.repeat`); after one that says the node is away, or that the cluster is, the
              map is read anew before the next call, from whichever node answers first

redis-py's own cluster client is not used for this: its transactions start a thread and an event loop for each command, keep the connection of
one that was cancelled, and close the connections of all nodes where one of them is down.
"""

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import redis.exceptions as errors
from redis.asyncio import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS

from streams.config.host_port import Address
from streams.store.cluster_pipeline import ClusterPipeline, CoreCommands
from streams.store.cluster_slots import slot_of

T = TypeVar("T")

REDIRECTS_MAX = 4
"""Of one command: nodes that disagree for longer are about to agree, and the caller comes again."""
NODE_ANSWERS_S = 1.0
"""A node that takes longer to say where slots are is away; it takes well under a millisecond."""


class ClusterClient(CoreCommands):  # type: ignore[misc]
    """See the module. An async context manager: it closes on exit."""

    def __init__(self, seeds: Sequence[Address], open_node: Callable[[str, int], Redis]) -> None:
        """`seeds` are some of the nodes; `open_node` makes a client of one, which connects at its first call."""
        self._seeds, self._open_node = list(seeds), open_node
        self._nodes: dict[Address, Redis] = {}
        self._owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._outdated = True
        self._learning = asyncio.Lock()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Carry out one command where its first key is. Raises what the client of a single Redis raises."""
        slot = slot_of(args)

        async def there(node: Any) -> Any:
            return await node.execute_command(*args, **options)

        async def asked(node: Any) -> Any:
            pipe = node.pipeline(transaction=False)
            pipe.execute_command("ASKING")
            pipe.execute_command(*args, **options)
            return (await pipe.execute())[1]

        return await self.on_owner(slot, there, asked)

    def pipeline(self, transaction: bool = True) -> ClusterPipeline:  # noqa: FBT001, FBT002 - as the client of a single Redis has it
        """Commands that are sent together; as a transaction they must be of one slot."""
        return ClusterPipeline(self, transaction=transaction)

    def register_script(self, script: str) -> "ClusterScript":
        """A script, to be called with `keys` and `args`."""
        return ClusterScript(self, script)

    async def primaries(self) -> dict[Address, Redis]:
        """Every node that owns slots."""
        await self._learn()
        owners = sorted({it for it in self._owners if it is not None})
        return {it: self._node(it) for it in owners}

    async def on_owner(
        self,
        slot: int | None,
        there: Callable[[Redis], Awaitable[T]],
        asked: Callable[[Redis], Awaitable[T]] | None = None,
    ) -> T:
        """Await `there` with the node that has the slot, any that has one for None; `asked` where it is on its way to another.

        Raises errors.AskError where it is on its way and there is no `asked`: nothing was done, and it passes.
        """
        for _ in range(REDIRECTS_MAX):
            place = await self._owner(slot)
            try:
                return await there(self._node(place))
            except errors.MovedError as moved:
                # without a host where nodes do not announce theirs
                self._owners[moved.slot_id] = (moved.host or place[0], moved.port)
            except errors.AskError as ask:
                if asked is None:
                    raise
                return await asked(self._node((ask.host or place[0], ask.port)))
            except errors.ResponseError as error:
                # a type of its own: it says that the slot, or the whole cluster, has no owner just now
                self._outdated = self._outdated or isinstance(error, errors.ClusterError)
                raise
            except BaseException:
                # cancelled as well: who does not answer may not be the owner any more
                self._outdated = True
                raise
        self._outdated = True
        raise errors.ClusterError(f"slot {slot} was moved on {REDIRECTS_MAX} times")

    async def owner(self, slot: int | None) -> Redis:
        """The node that has the slot, any that has one for None."""
        return self._node(await self._owner(slot))

    async def _owner(self, slot: int | None) -> Address:
        await self._learn()
        place = self._owners[slot] if slot is not None else random.choice(self._owners)  # noqa: S311
        if place is None:
            self._outdated = True
            raise errors.ClusterError(f"slot {slot} has no owner")
        return place

    def forget_owners(self) -> None:
        """Have the map read anew before the next call."""
        self._outdated = True

    async def aclose(self) -> None:
        """Close all connections."""
        nodes, self._nodes = self._nodes, {}
        self._outdated = True
        for node in nodes.values():
            await node.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _node(self, place: Address) -> Redis:
        if place not in self._nodes:
            self._nodes[place] = self._open_node(*place)
        return self._nodes[place]

    async def _learn(self) -> None:
        """Read the map if it is outdated. Raises ConnectionError where no node tells it."""
        if self._outdated:
            async with self._learning:
                if self._outdated:  # not read while we waited
                    await self._ask_nodes()

    async def _ask_nodes(self) -> None:
        places = list(dict.fromkeys([*self._nodes, *self._seeds]))
        random.shuffle(places)
        problem: Exception | None = None
        for place in places:
            node: Any = self._node(place)
            try:
                async with asyncio.timeout(NODE_ANSWERS_S):
                    ranges = await node.execute_command("CLUSTER SLOTS")
            except (errors.AuthenticationError, errors.ResponseError):
                raise  # as every node will: it is no cluster, or not for us
            except (errors.RedisError, OSError) as error:
                problem = error
                continue
            await self._take(place, ranges)
            return
        words = str(problem) or type(problem).__name__
        raise errors.ConnectionError(f"no node of the cluster tells where slots are: {words}") from problem

    async def _take(self, place: Address, ranges: Any) -> None:
        owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        known = set(self._seeds)
        for first, last, *nodes in ranges:
            # no host: the one that was asked at
            primary, *replicas = [((host or b"").decode() or place[0], int(port)) for host, port, *_ in nodes]
            owners[first : last + 1] = [primary] * (last + 1 - first)
            known |= {primary, *replicas}
        self._owners, self._outdated = owners, False
        for gone in set(self._nodes) - known:
            await self._nodes.pop(gone).aclose()


class ClusterScript:
    """A script by its digest; a node that does not know it, as one that was just made the primary, is given it with the call."""

    def __init__(self, client: ClusterClient, script: str) -> None:
        self._client: Any = client
        self._script = script
        self._digest = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run it where the keys are. Raises what the client raises."""
        try:
            return await self._client.evalsha(self._digest, len(keys), *keys, *args)
        except errors.NoScriptError:
            return await self._client.eval(self._script, len(keys), *keys, *args)
