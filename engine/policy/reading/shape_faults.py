"""What is wrong with a policy, in the words of its file: line, table, and the nearest key that there is."""

import difflib
import re
import tomllib
import types
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from engine.policy.reading.toml_lines import Path, TomlLines, path_in

_UNKNOWN = re.compile(r"unknown field `(?P<key>[^`]*)`")
_PLACE = re.compile(r" - at `\$(?P<path>[^`]*)`")
_STEP = re.compile(r"\.([^.\[]+)|\[(\.\.\.|\d+)\]")
_CUTOFF = 0.5

_Step = str | int | None
"""Of the path that a decoder names: a key, the number of a row, or None for a key that it does not name."""


def shape_fault(message: str, text: str, kind: type, table: Path = ()) -> str:
    """The message of a decoder about a `table` of a TOML text (default: all of it) that is no `kind`, with the line, the place and the
    nearest key where they are known.
    """  # noqa: D205 - one sentence
    place, unknown = _PLACE.search(message), _UNKNOWN.search(message)
    steps = [_step(*found.groups()) for found in _STEP.finditer(place["path"] if place else "")]
    part = _kind_at(kind, steps)
    within = _document(text)
    for key in table:
        within = within[key]
    found = next((path for path, it in _places(within, steps) if _is_faulty(it, part, unknown)), None)
    if found is None:
        return message
    if place is not None:
        message = message.replace(place[0], f" - at `${_written(found)}`")
    if unknown is None:
        return _at(TomlLines(text).line_of((*table, *found))) + message
    nearest = difflib.get_close_matches(unknown["key"], _keys(part), 1, _CUTOFF)
    line = TomlLines(text).line_of((*table, *found, unknown["key"]))
    return f"{_at(line)}{message}{f'; did you mean `{nearest[0]}`?' if nearest else ''}"


def rule_fault(message: str, text: str) -> str:
    """The message about a rule that a policy's TOML `text` breaks, which begins with the key, with the line of it."""
    return _at(TomlLines(text).line_of(path_in(_document(text), message.partition(": ")[0]))) + message


def _at(line: int | None) -> str:
    return "" if line is None else f"line {line}: "


def _document(text: str) -> Any:
    return tomllib.loads(text, parse_float=Decimal)


def _step(name: str | None, row: str | None) -> _Step:
    return name if name is not None else None if row in (None, "...") else int(row)


def _places(value: Any, steps: list[_Step]) -> Iterator[tuple[Path, Any]]:
    """Every part of a document that the steps may lead to."""
    if not steps:
        yield (), value
        return
    first, rest = steps[0], steps[1:]
    if first is None:
        keys: list[str | int] = list(value) if isinstance(value, Mapping) else []
    else:
        keys = [first]
    for key in keys:
        try:
            inner = value[key]
        except (KeyError, IndexError, TypeError):
            continue
        yield from (((key, *path), it) for path, it in _places(inner, rest))


def _is_faulty(value: Any, kind: Any, unknown: re.Match[str] | None) -> bool:
    if unknown is not None:
        return isinstance(value, Mapping) and unknown["key"] in value and unknown["key"] not in _keys(kind)
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return True
    return False


def _written(path: Path) -> str:
    return "".join(f"[{it}]" if isinstance(it, int) else f".{it}" for it in path)


def _kind_at(kind: Any, steps: list[_Step]) -> Any:
    """What a document's kind wants at the end of the steps."""
    for step in steps:
        kind = _stripped(kind)
        if isinstance(step, str):
            is_table = isinstance(kind, type) and issubclass(kind, msgspec.Struct)
            kind = (
                {it.encode_name: it.type for it in msgspec.structs.fields(kind)}.get(step)
                if is_table
                else None
            )
        else:
            parts = [it for it in get_args(kind) if it is not Ellipsis]
            kind = parts[-1] if parts else None
    return kind


def _keys(kind: Any) -> list[str]:
    kind = _stripped(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [it.encode_name for it in msgspec.structs.fields(kind)]
    return []


def _stripped(kind: Any) -> Any:
    """Without Annotated, and without None and plain values beside tables."""
    if get_origin(kind) is Annotated:
        return _stripped(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        parts = [it for it in get_args(kind) if it is not type(None)]
        tables = [
            it for it in parts if get_origin(it) in (dict, tuple, list, Mapping) or isinstance(it, type)
        ]
        return _stripped((tables or parts)[0])
    return kind
