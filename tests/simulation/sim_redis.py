"""Redis in memory: the product's own Lua scripts on a small server, behind a network that loses, delays and repeats nothing by itself.

The commands are those that the scripts and the store use; another one is an error.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import Context
from functools import partial
from typing import Any

from lupa.lua51 import LuaRuntime
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

Data = dict[bytes, Any]
"""Key -> bytes, or a dict, list, set, or a `Stream`."""


class Stream(list[tuple[tuple[int, int], dict[bytes, bytes]]]):
    """Entries with their numbers."""


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).encode()


class RedisServer:
    """What it holds, and what it answers, at once. `clock_ns` is its wall clock."""

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        self.data: Data = {}
        self._clock_ns = clock_ns
        self._lua = LuaRuntime(encoding=None, unpack_returned_tuples=False)
        self._table = self._lua.table_from
        self._scripts: dict[str, Any] = {}
        self._lua.globals().redis = self._lua.table_from({b"call": self._called, b"pcall": self._protected})

    def copy(self) -> Data:
        """As a file would hold it."""
        return {
            key: value if isinstance(value, bytes) else type(value)(value) for key, value in self.data.items()
        }

    def restore(self, copy: Data) -> None:
        """Start from a copy, which stays as it is."""
        self.data = {
            key: value if isinstance(value, bytes) else type(value)(value) for key, value in copy.items()
        }

    def run(self, name: str, *args: object) -> Any:
        """One command."""
        command: Callable[..., Any] = getattr(self, f"do_{name.lower()}")
        return command(*map(_bytes, args))

    def run_script(self, text: str, keys: Iterable[object], args: Iterable[object]) -> Any:
        """A script as a whole."""
        script = self._scripts.get(text)
        if script is None:
            script = self._scripts[text] = self._lua.execute(
                b"return function(KEYS, ARGV) " + text.encode() + b"\nend"
            )
        answer = script(self._table([*map(_bytes, keys)]), self._table([*map(_bytes, args)]))
        return self._from_lua(answer)

    def _called(self, name: bytes, *args: object) -> Any:
        return self._to_lua(self.run(name.decode(), *args))

    def _protected(self, name: bytes, *args: object) -> Any:
        try:
            return self._called(name, *args)
        except ResponseError as error:
            return self._table({b"err": str(error).encode()})

    def _to_lua(self, answer: Any) -> Any:
        if answer is None:
            return False
        if isinstance(answer, dict):
            answer = [part for item in answer.items() for part in item]
        if isinstance(answer, list | set):
            return self._table([self._to_lua(it) for it in answer])
        return answer

    def _from_lua(self, answer: Any) -> Any:
        if answer is None or answer is False:
            return None
        if isinstance(answer, float):
            return int(answer)
        if isinstance(answer, int | bytes):
            return answer
        return [self._from_lua(answer[place]) for place in range(1, len(answer) + 1)]

    def _of(self, key: bytes, kind: type) -> Any:
        value = self.data.get(key)
        if value is None:
            return kind()
        if type(value) is not kind:
            raise ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")
        return value

    def _made(self, key: bytes, kind: type) -> Any:
        value = self.data[key] = self._of(key, kind)
        return value

    def _tidy(self, key: bytes) -> None:
        if not self.data.get(key):
            self.data.pop(key, None)

    def do_get(self, key: bytes) -> bytes | None:
        return self._of(key, bytes) if key in self.data else None

    def do_set(self, key: bytes, value: bytes) -> bytes:
        self.data[key] = value
        return b"OK"

    def do_incr(self, key: bytes) -> int:
        number = int(self.do_get(key) or 0) + 1
        self.data[key] = b"%d" % number
        return number

    def do_exists(self, key: bytes) -> int:
        return int(key in self.data)

    def do_del(self, *keys: bytes) -> int:
        return sum(self.data.pop(key, None) is not None for key in keys)

    do_unlink = do_del

    def do_rename(self, key: bytes, new: bytes) -> bytes:
        if key not in self.data:
            raise ResponseError("ERR no such key")
        self.data[new] = self.data.pop(key)
        return b"OK"

    def do_time(self) -> list[bytes]:
        seconds, rest_ns = divmod(self._clock_ns(), 10**9)
        return [b"%d" % seconds, b"%d" % (rest_ns // 1000)]

    def do_hget(self, key: bytes, field: bytes) -> bytes | None:
        found: bytes | None = self._of(key, dict).get(field)
        return found

    def do_hmget(self, key: bytes, *fields: bytes) -> list[bytes | None]:
        return [self.do_hget(key, field) for field in fields]

    def do_hgetall(self, key: bytes) -> dict[bytes, bytes]:
        return dict(self._of(key, dict))

    def do_hlen(self, key: bytes) -> int:
        return len(self._of(key, dict))

    def do_hset(self, key: bytes, *parts: bytes) -> int:
        if not parts or len(parts) % 2:
            raise ResponseError("ERR wrong number of arguments for 'hset' command")
        held = self._made(key, dict)
        before = len(held)
        held.update(zip(parts[::2], parts[1::2], strict=True))
        return len(held) - before

    def do_hdel(self, key: bytes, *fields: bytes) -> int:
        held = self._of(key, dict)
        gone = sum(held.pop(field, None) is not None for field in fields)
        self._tidy(key)
        return gone

    def do_hincrby(self, key: bytes, field: bytes, by: bytes) -> int:
        number = int(self.do_hget(key, field) or 0) + int(by)
        self._made(key, dict)[field] = b"%d" % number
        return number

    def do_sadd(self, key: bytes, *members: bytes) -> int:
        held = self._made(key, set)
        before = len(held)
        held.update(members)
        return len(held) - before

    def do_scard(self, key: bytes) -> int:
        return len(self._of(key, set))

    def do_smembers(self, key: bytes) -> set[bytes]:
        return set(self._of(key, set))

    def do_rpush(self, key: bytes, *values: bytes) -> int:
        held = self._made(key, list)
        held.extend(values)
        return len(held)

    def do_llen(self, key: bytes) -> int:
        return len(self._of(key, list))

    def do_lrange(self, key: bytes, first: bytes, last: bytes) -> list[bytes]:
        held = self._of(key, list)
        begin, end = (int(it) if int(it) >= 0 else max(0, len(held) + int(it)) for it in (first, last))
        return list(held[begin : end + 1])

    def do_ltrim(self, key: bytes, first: bytes, last: bytes) -> bytes:
        self.data[key] = self.do_lrange(key, first, last)
        self._tidy(key)
        return b"OK"

    def do_lset(self, key: bytes, place: bytes, value: bytes) -> bytes:
        held = self._of(key, list)
        if not 0 <= int(place) < len(held):
            raise ResponseError("ERR index out of range")
        held[int(place)] = value
        return b"OK"

    def do_lrem(self, key: bytes, count: bytes, value: bytes) -> int:
        if count != b"0":
            raise ResponseError("ERR the simulation knows LREM of all only")
        held = self._of(key, list)
        before = len(held)
        held[:] = [it for it in held if it != value]
        after = len(held)
        self._tidy(key)
        return before - after

    def do_lpos(self, key: bytes, value: bytes) -> int | None:
        held = self._of(key, list)
        return held.index(value) if value in held else None

    def do_xadd(self, key: bytes, *parts: bytes) -> bytes:
        _, _, most, number, *fields = parts
        stream = self._of(key, Stream)
        name = _number(number)
        if stream and name <= stream[-1][0]:
            raise ResponseError(
                "ERR The ID specified in XADD is equal or smaller than the target stream top item"
            )
        self.data[key] = stream
        stream.append((name, dict(zip(fields[::2], fields[1::2], strict=True))))
        del stream[: max(0, len(stream) - int(most))]
        return number

    def do_xrange(self, key: bytes, first: bytes) -> list[tuple[bytes, dict[bytes, bytes]]]:
        begin = _number(first)
        return [(b"%d-%d" % name, dict(it)) for name, it in self._of(key, Stream) if name >= begin]


def _number(text: bytes) -> tuple[int, int]:
    major, _, minor = text.partition(b"-")
    return int(major), int(minor or 0)


class RedisFaults:
    """How often a call goes wrong, of those that are made while faults last."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.share = 0.0
        self.away = False

    def fate(self) -> str:
        """What becomes of the next call."""
        if self.rng.random() >= self.share:
            return "answered"
        return self.rng.choice(("refused", "unanswered", "silent", "late"))


class RedisClient:
    """What the product takes for a `redis.asyncio.Redis`."""

    def __init__(self, server: RedisServer, faults: RedisFaults) -> None:
        self._server, self._faults = server, faults

    async def _request(self, do: Callable[[], Any]) -> Any:
        """`refused`: it never came; `unanswered`: it happened, and the answer is lost; `silent`: neither ever; `late`: it comes
        when its sender has long been told that it failed.
        """
        loop, rng = asyncio.get_running_loop(), self._faults.rng
        answer: asyncio.Future[Any] = loop.create_future()
        fate, network = self._faults.fate(), Context()
        lost = RedisConnectionError("Connection closed by server.")

        def arrive(*, heard: bool) -> None:
            result, error = None, None
            if self._faults.away:
                error = RedisConnectionError("Error 111 connecting to redis:6379.")
            else:
                try:
                    result = do()
                except ResponseError as refused:
                    error = refused
            if heard:
                loop.call_later(rng.uniform(0.0001, 0.003), _settle, answer, result, error, context=network)

        there_s = rng.uniform(0.0001, 0.003)
        if fate in {"answered", "unanswered"}:
            loop.call_later(there_s, partial(arrive, heard=fate == "answered"), context=network)
        if fate == "late":
            loop.call_later(rng.uniform(0.01, 3), partial(arrive, heard=False), context=network)
        if fate in {"refused", "unanswered", "late"}:
            loop.call_later(there_s + rng.uniform(0.0001, 0.05), _settle, answer, None, lost, context=network)
        return await answer

    def register_script(self, text: str) -> Callable[..., Awaitable[Any]]:
        def run(*, keys: Iterable[object], args: Iterable[object]) -> Awaitable[Any]:
            sent = [*map(_bytes, keys)], [*map(_bytes, args)]
            return self._request(lambda: self._server.run_script(text, *sent))

        return run

    def pipeline(self, *, transaction: bool) -> "RedisPipeline":  # noqa: ARG002 - it always is one
        return RedisPipeline(self)

    async def hscan(self, key: str, **_: int) -> tuple[int, dict[bytes, bytes]]:
        """All at once."""
        return 0, await self._call("hgetall", key)

    def hset(self, key: str, mapping: Mapping[str, bytes]) -> Awaitable[int]:
        return self._call("hset", key, *(part for item in mapping.items() for part in item))

    def hmget(self, key: str, *fields: Any) -> Awaitable[list[bytes | None]]:
        return self._call("hmget", key, *_flat(fields))

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        return partial(self._call, name)

    def _call(self, name: str, *args: object) -> Awaitable[Any]:
        return self._request(lambda: self._server.run(name, *args))


class RedisPipeline:
    """Commands that go out together; all of one moment."""

    def __init__(self, client: RedisClient) -> None:
        self._client, self._calls = client, list[tuple[str, tuple[object, ...]]]()

    def __getattr__(self, name: str) -> Callable[..., "RedisPipeline"]:
        def queue(*args: object, **options: object) -> "RedisPipeline":
            self._calls.append((name, (*_flat(args), *options.values())))
            return self

        return queue

    def execute(self) -> Awaitable[list[Any]]:
        server = self._client._server
        return self._client._request(lambda: [server.run(name, *args) for name, args in self._calls])


def _flat(args: Iterable[object]) -> list[object]:
    return [it for arg in args for it in (arg if isinstance(arg, list) else [arg])]


def _settle(answer: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if not answer.done() and error is not None:
        answer.set_exception(error)
    elif not answer.done():
        answer.set_result(result)
