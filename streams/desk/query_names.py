"""What a query may name: a parameter that the route does not take, or a word that is none of its choices, is refused, never passed over."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, get_args

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from streams.config.near_names import did_you_mean, near_names
from streams.config.terminal import printable
from streams.desk.problem_details import mistaken

MOMENT = "at"
"""Which moment of a recorded day is asked of; every route of it takes it."""
_GIVEN = {"desk", "metrics", "request", "data"}
"""Parameters of handlers that no query gives."""

_Connection = ASGIConnection[Any, Any, Any, Any]


def query_guard(*, recorded: bool) -> Callable[[_Connection, BaseRouteHandler], None]:
    """The guard of every route of the schema: raise `Refused` for a query that it does not understand. `recorded`: a day that is over."""

    def check(connection: _Connection, handler: BaseRouteHandler) -> None:
        if isinstance(handler, HTTPRouteHandler) and handler.include_in_schema is False:
            return
        known = {name: it for name, it in _taken(handler.fn).items() if name not in connection.path_params}
        for name, value in connection.query_params.multi_items():
            if name == MOMENT and recorded:
                continue
            if name not in known:
                raise mistaken(_unknown(name, known))
            choices = known[name]
            if choices and value not in choices:
                near = did_you_mean(map(str, near_names(value, choices)), f"one of {', '.join(choices)}")
                raise mistaken(f"{name}: {printable(value)!r} is none of {', '.join(choices)}; {near}")

    return check


def _unknown(name: str, known: Mapping[str, tuple[str, ...]]) -> str:
    if name == MOMENT:
        return f"{MOMENT}: this API shows what is now; a moment can be asked of a recorded day (`unimargin board`, replay)"
    there = f"there are {', '.join(known)}" if known else "it takes none"
    near = did_you_mean(near_names(name, known), there)
    return f"{printable(name)!r} is no parameter of this question; {near}"


@cache
def _taken(handler: Callable[..., Any]) -> dict[str, tuple[str, ...]]:
    """The parameters that a query, or the path, gives to a handler, each with the words that it may be; empty for any."""
    found = inspect.signature(handler).parameters
    return {name: tuple(_choices(it.annotation)) for name, it in found.items() if name not in _GIVEN}


def _choices(annotation: object) -> Iterator[str]:
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        yield from annotation
    for part in get_args(annotation):
        yield from _choices(part)
