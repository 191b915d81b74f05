"""Which slot of a Redis Cluster a command is about."""

from collections.abc import Sequence
from typing import Any

from redis.crc import key_slot

_OF_ANY_NODE = frozenset({"PING", "TIME", "INFO", "CLUSTER INFO"})
_SCRIPTS = frozenset({"EVAL", "EVALSHA"})
_FIRST_SCRIPT_KEY = 3


def slot_of(args: Sequence[Any]) -> int | None:
    """The slot of a command's first key; None for one that any node answers."""
    name = str(args[0]).upper()
    if name in _OF_ANY_NODE:
        return None
    return key_slot(encoded(args[_FIRST_SCRIPT_KEY if name in _SCRIPTS else 1]))


def encoded(key: Any) -> bytes:
    """A key as it is sent."""
    return key if isinstance(key, bytes) else str(key).encode()
