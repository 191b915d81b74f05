"""What every check of a policy is written with."""

import difflib
import itertools
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from typing import TypeVar

from engine.policy.rules.tables import Table

_T = TypeVar("_T")


class PolicyError(ValueError):
    """The policy text breaks a rule; the message names the key and the rule."""


def require(holds: bool, key: str, rule: str) -> None:  # noqa: FBT001 - reads as a sentence at each call
    """Raise `PolicyError` unless the rule holds."""
    if not holds:
        raise PolicyError(f"{key}: {rule}")


def require_listed(name: str, table: str, listed: Collection[str], key: str) -> None:
    """Raise `PolicyError`, with the nearest name, unless `listed`, the keys of `table`, has this one."""
    if name in listed:
        return
    near = difflib.get_close_matches(name, listed, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise PolicyError(f"{key}: {name!r} is not in {table}{hint}")


def check_floors(key: str, floors: Sequence[Decimal]) -> None:
    """Tier floors begin at 0 and rise."""
    require(bool(floors) and floors[0] == 0, key, "the first tier must have floor 0")
    require(all(a < b for a, b in itertools.pairwise(floors)), key, "floors must rise")


def amounts_of(key: str, value: object) -> Iterator[tuple[str, Decimal]]:
    """(key, amount) of every amount at or below `value`."""
    return found_in(key, value, Decimal)


def found_in(key: str, value: object, kind: type[_T]) -> Iterator[tuple[str, _T]]:
    """(key, value) of everything of `kind` at or below `value`, in tables, mappings and lists."""
    if isinstance(value, kind):
        yield key, value
    elif isinstance(value, Table):
        for name in value.__struct_fields__:
            yield from found_in(f"{key}.{name}".lstrip("."), getattr(value, name), kind)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from found_in(f"{key}.{name}", item, kind)
    elif isinstance(value, tuple):
        for place, item in enumerate(value):
            yield from found_in(f"{key}.{place}", item, kind)
