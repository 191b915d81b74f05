"""Commands that are sent together to a Redis Cluster: each to the node of its slot, or as a transaction to one."""

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import redis.exceptions as errors
from redis.asyncio import Redis
from redis.commands import AsyncCoreCommands
from redis.crc import key_slot

from streams.store.cluster_slots import encoded, slot_of

if TYPE_CHECKING:
    from streams.store.cluster_client import ClusterClient

CoreCommands: Any = AsyncCoreCommands
"""What turns `get(key)` into `execute_command("GET", key)`."""

_Command = tuple[tuple[Any, ...], dict[str, Any]]


class ClusterPipeline(CoreCommands):  # type: ignore[misc]
    """Commands that wait until `execute`. After `watch` they go to one node at once, until `multi`."""

    def __init__(self, client: "ClusterClient", *, transaction: bool) -> None:
        self._client, self._transaction = client, transaction
        self._commands: list[_Command] = []
        self._watching: Any = None

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Have the command wait, and return the pipeline; its answer where a key is watched."""
        if self._watching is not None:
            return self._watching.execute_command(*args, **options)
        self._commands.append((args, options))
        return self

    def __len__(self) -> int:
        return len(self._commands)

    async def watch(self, *names: Any) -> Any:
        """Begin a transaction that fails with `redis.WatchError` if one of these keys is changed meanwhile."""
        node: Any = await self._client.owner(key_slot(encoded(names[0])))
        self._watching = node.pipeline(transaction=True)
        return await self._watching.watch(*names)

    def multi(self) -> None:
        """What follows waits for `execute`."""
        self._watching.multi()

    async def execute(self) -> list[Any]:
        """Carry out what waits; the answers. Raises what the client of a single Redis raises, for the first command that failed."""
        commands, self._commands = self._commands, []
        if self._watching is not None:
            answers: list[Any] = await self._watching.execute()
            return answers
        if not commands:
            return []
        return await (self._together(commands) if self._transaction else self._each(commands))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._commands.clear()
        watching, self._watching = self._watching, None
        if watching is not None:
            await watching.reset()
        if isinstance(error, errors.RedisError | OSError):
            self._client.forget_owners()

    async def _together(self, commands: list[_Command]) -> list[Any]:
        slots = {slot_of(args) for args, _ in commands}
        if len(slots) != 1:
            raise errors.ClusterCrossSlotError(f"a transaction over {len(slots)} slots")

        async def run(node: Any) -> list[Any]:
            return await _sent(node.pipeline(transaction=True), commands).execute()  # type: ignore[no-any-return]

        return await self._client.on_owner(slots.pop(), run)

    async def _each(self, commands: list[_Command]) -> list[Any]:
        places: dict[Redis, list[int]] = {}
        for place, (args, _) in enumerate(commands):
            places.setdefault(await self._client.owner(slot_of(args)), []).append(place)

        async def ask(node: Any, some: list[int]) -> list[Any]:
            pipe = _sent(node.pipeline(transaction=False), [commands[it] for it in some])
            try:
                return await pipe.execute(raise_on_error=False)  # type: ignore[no-any-return]
            except BaseException:
                self._client.forget_owners()
                raise

        told = await asyncio.gather(*map(ask, places, places.values()), return_exceptions=True)
        answers: list[Any] = [None] * len(commands)
        for some, found in zip(places.values(), told, strict=True):
            if isinstance(found, BaseException):
                raise found
            for place, answer in zip(some, found, strict=True):
                answers[place] = answer
        return [await self._settled(*it) for it in zip(commands, answers, strict=True)]

    async def _settled(self, command: _Command, answer: Any) -> Any:
        """The answer, or that of the node that the command was sent on to. Raises it where it is an error."""
        if isinstance(answer, errors.AskError):  # moved, or on its way: not carried out
            args, options = command
            return await self._client.execute_command(*args, **options)
        if isinstance(answer, errors.ClusterError):
            self._client.forget_owners()
        if isinstance(answer, Exception):
            raise answer
        return answer


def _sent(pipe: Any, commands: list[_Command]) -> Any:
    for args, options in commands:
        pipe.execute_command(*args, **options)
    return pipe
