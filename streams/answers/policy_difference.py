"""What differs between two policies, by what it is of and by field."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from engine.policy import Policy

_NAMED = ("instruments", "assets", "tiers", "margin", "option_margin", "links")
"""Sections that hold one entry a name."""


class Change(msgspec.Struct, frozen=True):
    """One field that is another; an entry that is only in one of the two is a change of all of it."""

    where: str
    """`instruments.SYMBOL`, `tiers.NAME`, or the section."""
    field: str
    """Path within it; "" for an entry as a whole."""
    before: Any
    """None where it is not there."""
    after: Any
    instruments: tuple[str, ...]
    """Which instruments it concerns; all where it names none and they go by the section."""


class Difference(msgspec.Struct, frozen=True):
    """Two policies compared."""

    before: str
    """Digest."""
    after: str
    listed: tuple[str, ...]
    """Instruments that only the second lists."""
    delisted: tuple[str, ...]
    """Instruments that only the first lists."""
    changes: tuple[Change, ...]


def policy_difference(before: Policy, after: Policy) -> Difference:
    """What `after` says otherwise than `before`; `changes` is empty where the digests are equal."""
    one, other = msgspec.to_builtins(before), msgspec.to_builtins(after)
    return Difference(
        before=before.digest,
        after=after.digest,
        listed=tuple(sorted(after.instruments.keys() - before.instruments.keys())),
        delisted=tuple(sorted(before.instruments.keys() - after.instruments.keys())),
        changes=tuple(
            Change(where, field, was, now, _concerned(where, before, after))
            for where, field, was, now in _changes(one, other)
        ),
    )


def _changes(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, str, Any, Any]]:
    for section in _NAMED:
        for name in sorted(one[section].keys() | other[section].keys()):
            was, now = one[section].get(name), other[section].get(name)
            for field, was_there, is_there in _fields(was, now):
                yield f"{section}.{name}", field, was_there, is_there
    for section in sorted((one.keys() | other.keys()) - set(_NAMED)):
        for field, was, now in _fields(one.get(section), other.get(section)):
            yield section, field, was, now


def _fields(was: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if was == now:
        return
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for name in sorted(was.keys() | now.keys()):
            yield from _fields(was.get(name), now.get(name), f"{path}.{name}" if path else str(name))
        return
    if isinstance(was, list | tuple) and isinstance(now, list | tuple):
        for place in range(max(len(was), len(now))):
            yield from _fields(_item(was, place), _item(now, place), f"{path}[{place}]")
        return
    yield path, was, now


def _item(items: list[Any] | tuple[Any, ...], place: int) -> Any:
    return items[place] if place < len(items) else None


def _concerned(where: str, before: Policy, after: Policy) -> tuple[str, ...]:
    section, _, name = where.partition(".")
    if section == "instruments":
        return (name,)
    if section not in {"tiers", "margin", "assets"}:
        return ()
    found: set[str] = set()
    for policy in (before, after):
        found |= {symbol for symbol, it in policy.instruments.items() if name in _names(section, it)}
    return tuple(sorted(found))


def _names(section: str, instrument: Any) -> Iterable[str]:
    """The entries of a section that an instrument goes by."""
    if section == "assets":
        return instrument.settle, instrument.base
    return (getattr(instrument, section),)
