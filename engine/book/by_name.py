"""Answers by name, looked up once."""

from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


class ByName(dict[str, _T]):
    """A dictionary that asks `look_up` for the names it does not have, and remembers the answer."""

    def __init__(self, look_up: Callable[[str], _T]) -> None:
        """No answers yet. An exception of `look_up` is the caller's."""
        super().__init__()
        self._look_up = look_up

    def __missing__(self, name: str) -> _T:
        self[name] = found = self._look_up(name)
        return found
